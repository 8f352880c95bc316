"""End sessions: one, the root of a chain of locks, those that idle in a transaction; or a prepared transaction."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from samaops.changes.postgresql.sessions import (
    BACKENDS,
    IDLE,
    about,
    backends_in,
    ending,
    listed,
    looks_at,
    notes_of,
    require_client,
    require_configured,
    waiting_behind,
)
from samaops.changes.postgresql.statement import Statement, statement
from samaops.changes.readings import facts_in, known, reading
from samaops.changes.verbs import verb
from samaops.errors import RefusedError, UsageError
from samaops.facts.observation import Snapshot
from samaops.facts.postgresql import PostgresFacts
from samaops.facts.postgresql_changes import Backend, PreparedToEnd
from samaops.i18n import _, ngettext
from samaops.model.plan import Condition, Plan, Risk, Scalar, Step
from samaops.site.commands import as_superuser, sql_text
from samaops.site.site import Site

VERB = "db terminate"
# In place of a pid, what the command line has as options.
ROOT, IDLE_IN_TRANSACTION, PREPARED = "--root", "--idle-in-transaction", "--prepared"
PREPARED_TRANSACTION = 0  # the pid that pg_blocking_pids gives for one
PREPARED_CODES = ("postgresql.prepared_to_end",)


@reading("postgresql.is_prepared", codes=PREPARED_CODES)
def is_prepared(snapshot: Snapshot, gid: str, started: str) -> Scalar:
    """Return whether this very prepared transaction is open."""
    return any((each.gid, each.started) == (gid, started) for each in _prepared_in(snapshot))


def _prepared_in(snapshot: Snapshot) -> tuple[PreparedToEnd, ...]:
    prepared = facts_in(snapshot, PostgresFacts).prepared_to_end
    return known(prepared, _("which prepared transactions there are"))


def _looks(site: Site, what: str, value: str = "") -> tuple[str, ...]:
    if what not in (ROOT, IDLE_IN_TRANSACTION, PREPARED):
        return looks_at(site, what)
    require_configured(site)
    if what == IDLE_IN_TRANSACTION and not (value.isascii() and value.isdigit()):
        raise UsageError(_("{value!r} is no number of seconds").format(value=value))
    return {IDLE_IN_TRANSACTION: BACKENDS, PREPARED: PREPARED_CODES}.get(what, BACKENDS + PREPARED_CODES)


@verb(VERB, looks=_looks)
def plan_terminate(snapshot: Snapshot, site: Site, what: str, value: str = "") -> Plan:
    """Plan that one session ends, or the root of a chain of locks, or each that idles in its transaction for so long.

    Guards: of clients only, not our own, no superuser's, no backup's; of prepared transactions only those that our role
    may end, in this database.
    """
    arguments = (what, value) if value else (what,)
    if what == ROOT:
        return _root(snapshot, site, Plan(VERB, arguments, _("End what the others wait for"), target=what))
    if what == IDLE_IN_TRANSACTION:
        return _idle(snapshot, site, Plan(VERB, arguments, "", target="idle"), int(value))
    if what == PREPARED:
        plan = Plan(VERB, arguments, "", target=value)
        prepared = next((each for each in _prepared_in(snapshot) if each.gid == value), None)
        if prepared is None:
            text = _("there is no prepared transaction {gid}")
            return replace(plan, title=_rolling_back(value), nothing_to_do=text.format(gid=value))
        return _rollback(snapshot, site, plan, prepared)
    backends = backends_in(snapshot)
    backend = next((each for each in backends if each.pid == int(what)), None)
    plan = Plan(VERB, arguments, _("End the session of pid {pid}").format(pid=what), target=what)
    if backend is None:
        return replace(plan, nothing_to_do=_("no session has the pid {pid}").format(pid=what))
    return _one_session(site, plan, backend, backends)


def _one_session(site: Site, plan: Plan, backend: Backend, backends: Iterable[Backend]) -> Plan:
    require_client(backend)
    step = _step(site, backend)
    return replace(plan, title=step.title, steps=(step,), notes=notes_of(backend, backends))


def _step(site: Site, backend: Backend) -> Step:
    of, words = (backend.pid, backend.started), {"pid": backend.pid, "state": backend.state or "?"}
    is_active = backend.state == "active"
    same = Condition(
        "postgresql.still_does",
        (*of, backend.query_started, backend.state),
        True,
        _("pid {pid} is still {state}, of the same statement").format(**words),
    )
    # A cancelled statement may be enough: then the session stays.
    after = (
        replace(same, value=False, text=_("pid {pid} works on it no more").format(**words))
        if is_active
        else Condition(
            "postgresql.session_lives", of, False, _("the session of pid {pid} is gone").format(**words)
        )
    )
    return Step(
        "db.terminate",
        _end_title(backend, is_active=is_active),
        Risk.DISRUPTIVE,
        operation=ending(backend, require_configured(site)),
        before=(same,),
        after=(after,),
        no_undo=_("what its open transaction has changed is rolled back: its client has to do it again"),
        servers=(),
    )


def _end_title(backend: Backend, *, is_active: bool) -> str:
    if is_active:
        text = _("Cancel the statement of pid {pid} ({who}); end its session where that does not help")
    else:
        text = _("End the session of pid {pid} ({who}), {state} for {seconds:.0f} s")
    return text.format(
        pid=backend.pid,
        who=" / ".join(part for part in (backend.user, backend.application, backend.client) if part),
        state=backend.state or "?",
        seconds=backend.state_seconds or 0.0,
    )


def _root(snapshot: Snapshot, site: Site, plan: Plan) -> Plan:
    backends = backends_in(snapshot)
    roots = _roots(backends)
    if not roots:
        if any(backend.blocked_by for backend in backends):
            text = _("sessions wait for each other in a circle, or for one that has just ended: look again")
            return replace(plan, nothing_to_do=text)
        return replace(plan, nothing_to_do=_("no session waits for a lock"))
    root, others = roots[0], roots[1:]
    if root == PREPARED_TRANSACTION:
        plan = _rollback(snapshot, site, plan, _holder(_prepared_in(snapshot)))
    else:
        plan = _one_session(site, plan, next(each for each in backends if each.pid == root), backends)
    if others:
        text = _("It blocks most sessions; other roots: pid {pids} (0: a prepared transaction)")
        plan = replace(plan, notes=(*plan.notes, text.format(pids=listed(others))))
    return plan


def _roots(backends: Iterable[Backend]) -> list[int]:
    """Return who blocks others and does not wait, whoever blocks most first; 0 stands for prepared transactions."""
    known_pids = {backend.pid for backend in backends} | {PREPARED_TRANSACTION}
    waiting = {backend.pid for backend in backends if backend.blocked_by}
    blockers = {pid for backend in backends for pid in backend.blocked_by}
    return sorted(
        (blockers - waiting) & known_pids, key=lambda pid: (-len(waiting_behind(pid, backends)), pid)
    )


def _holder(prepared: tuple[PreparedToEnd, ...]) -> PreparedToEnd:
    """Return the prepared transaction that sessions wait for. Raises RefusedError where it is not plain which."""
    holders = [each for each in prepared if each.blocks]
    if len(holders) != 1:
        names = ", ".join(each.gid for each in holders or prepared)
        text = _("a prepared transaction blocks, and it is not plain which one: {names}")
        raise RefusedError(text.format(names=names or "?"), hint=f"samaops db terminate {PREPARED} GID")
    return holders[0]


def _rolling_back(gid: str) -> str:
    return _("Roll back the prepared transaction {gid}").format(gid=gid)


def _rollback(snapshot: Snapshot, site: Site, plan: Plan, prepared: PreparedToEnd) -> Plan:
    """Plan the end of a prepared transaction: what it wrote is lost, so its name is typed."""
    _require_ours(site, prepared)
    of, title, role = (prepared.gid, prepared.started), _rolling_back(prepared.gid), ""
    if prepared.owner != facts_in(snapshot, PostgresFacts).role:
        role = prepared.owner
    step = Step(
        "db.rollback_prepared",
        title,
        Risk.DESTRUCTIVE,
        operation=statement(
            Statement("rollback_prepared", values={"gid": prepared.gid}, role=role), require_configured(site)
        ),
        before=(Condition("postgresql.is_prepared", of, True, _("{gid} is open").format(gid=prepared.gid)),),
        after=(Condition("postgresql.is_prepared", of, False, _("{gid} is gone").format(gid=prepared.gid)),),
        no_undo=_("what a transaction wrote that was rolled back is nowhere any more"),
        destroys=_("what the prepared transaction {gid} wrote").format(gid=prepared.gid),
        servers=(),
    )
    return replace(plan, title=title, target=prepared.gid, steps=(step,), notes=_notes_of_prepared(prepared))


def _require_ours(site: Site, prepared: PreparedToEnd) -> None:
    """Raise RefusedError where only somebody else may end it, or elsewhere."""
    reason = ""
    if not prepared.is_here:
        reason = _("it was made in the database {database}, and ends only there")
    elif not prepared.may_end:
        reason = _("only its owner {owner} or a superuser may, and our role is no member of {owner}")
    if reason:
        words = {"gid": prepared.gid, "owner": prepared.owner, "database": prepared.database}
        text = _("the prepared transaction {gid} is not rolled back: {reason}")
        command = f"ROLLBACK PREPARED {sql_text(prepared.gid)}"
        raise RefusedError(
            text.format(gid=prepared.gid, reason=reason.format(**words)),
            hint=as_superuser(site, command, prepared.database),
        )


def _notes_of_prepared(prepared: PreparedToEnd) -> tuple[str, ...]:
    text = _(
        "{gid}: prepared by {owner} {seconds:.0f} s ago; whoever coordinates it may still want to commit"
    )
    notes = (text.format(gid=prepared.gid, owner=prepared.owner, seconds=prepared.seconds),)
    if not prepared.blocks:
        return notes
    waits = ngettext("pid {pids} waits for it", "pid {pids} wait for it", len(prepared.blocks))
    return (*notes, waits.format(pids=listed(prepared.blocks)))


def _idle(snapshot: Snapshot, site: Site, plan: Plan, seconds: int) -> Plan:
    """Plan that each session ends that idles in its transaction for so long; those that must not be ended stay."""
    title = _("End the sessions that idle in a transaction for {seconds} s or more").format(seconds=seconds)
    idle = sorted(
        (each for each in backends_in(snapshot) if _idles(each, seconds)),
        key=lambda each: -(each.state_seconds or 0.0),
    )
    steps, notes = [], []
    for backend in idle:
        try:
            require_client(backend)
        except RefusedError as error:
            notes.append(error.message)
        else:
            steps.append(_step(site, backend))
            notes.append(about(backend))
    nothing = "" if steps else _("no session may be ended that idles in a transaction for so long")
    if not idle:
        nothing = _("no session idles in a transaction for {seconds} s or more").format(seconds=seconds)
    return replace(
        plan,
        title=title,
        steps=tuple(steps),
        nothing_to_do=nothing,
        notes=tuple(notes),
        steps_stand_alone=True,
    )


def _idles(backend: Backend, seconds: int) -> bool:
    return backend.state.startswith(IDLE) and (backend.state_seconds or 0.0) >= seconds
