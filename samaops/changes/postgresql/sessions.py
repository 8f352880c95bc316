"""Changes of the database's sessions: cancel what one does, end it. Of clients only, one by one, the same that was shown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec import Struct, to_builtins
from msgspec.structs import replace

from samaops.changes.postgresql.statement import Statement, statement
from samaops.changes.readings import facts_in, known, reading
from samaops.changes.verbs import verb
from samaops.errors import RefusedError, UsageError
from samaops.facts.observation import Snapshot
from samaops.facts.postgresql import PostgresFacts
from samaops.facts.postgresql_changes import Backend, is_protected
from samaops.i18n import _, joined, ngettext
from samaops.model.plan import Condition, Operation, Plan, Risk, Scalar, Step
from samaops.site.site import Site

BACKENDS = ("postgresql.backends",)
CLIENT = "client backend"
END = "postgresql.end_session"
IDLE = "idle in transaction"
# pg_terminate_backend waits so long for the session to be gone.
WAIT_MS = 5000
MOST_SHOWN = 10


class Ending(Struct, frozen=True):
    """Which session is to be ended: the one that was shown, while it still does what it did.

    Where it works on a statement that is cancelled first; it is ended where that does not help.
    """

    pid: int
    started: str
    query_started: str
    state: str


def ending(backend: Backend, server: str) -> Operation:
    """Return the operation that ends what a session does."""
    of = Ending(backend.pid, backend.started, backend.query_started, backend.state)
    return Operation(END, to_builtins(of), server)


def backends_in(snapshot: Snapshot) -> tuple[Backend, ...]:
    """Return every process of the server. Raises UnreadableError."""
    return known(facts_in(snapshot, PostgresFacts).backends, _("which sessions there are"))


@reading("postgresql.still_does", codes=BACKENDS)
def still_does(snapshot: Snapshot, pid: int, started: str, query_started: str, state: str) -> Scalar:
    """Return whether this very session does what it did: in the same state, of the same statement."""
    wanted = (int(pid), started, query_started, state)
    return any(_mark(backend) == wanted for backend in backends_in(snapshot))


@reading("postgresql.session_lives", codes=BACKENDS)
def session_lives(snapshot: Snapshot, pid: int, started: str) -> Scalar:
    """Return whether this very session is there."""
    return any((backend.pid, backend.started) == (int(pid), started) for backend in backends_in(snapshot))


def _mark(backend: Backend) -> tuple[Scalar, ...]:
    return (backend.pid, backend.started, backend.query_started, backend.state)


def require_configured(site: Site) -> str:
    """Return the server of the database. Raises UsageError."""
    if site.settings.postgresql is None:
        raise UsageError(_("[postgresql] is not configured"), hint="samaops config show")
    return site.settings.postgresql.server


def require_client(backend: Backend) -> None:
    """Raise RefusedError for a session that must not be ended, with the reason."""
    reasons = tuple(_reasons(backend))
    if reasons:
        text = _("pid {pid} is not touched: {reason}")
        raise RefusedError(text.format(pid=backend.pid, reason=joined(reasons)), hint="samaops db activity")


def _reasons(backend: Backend) -> Iterator[str]:
    if backend.is_ours:
        yield _("it is our own session")
    elif backend.type != CLIENT:
        yield _("it is no client but {type}").format(type=backend.type or "?")
    elif is_protected(backend.application):
        yield _("{application} works in it").format(application=backend.application)
    elif backend.is_superuser:
        yield _("it belongs to the superuser {user}").format(user=backend.user)
    elif not backend.may_signal:
        yield _("our role may not signal it; it needs pg_signal_backend")


def looks_at(site: Site, pid: str) -> tuple[str, ...]:
    """Return what must be observed for a change of one session. Raises UsageError."""
    require_configured(site)
    if not (pid.isascii() and pid.isdigit()):
        raise UsageError(_("{pid!r} is no process number").format(pid=pid), hint="samaops db activity")
    return BACKENDS


@verb("db cancel", looks=looks_at)
def plan_cancel(snapshot: Snapshot, site: Site, pid: str) -> Plan:
    """Plan that the statement which one session works on is cancelled; its session stays.

    Guards: a client's, not our own, no superuser's, no backup's.
    """
    backends = backends_in(snapshot)
    backend = next((each for each in backends if each.pid == int(pid)), None)
    title = _("Cancel the statement of pid {pid}").format(pid=pid)
    plan = Plan("db cancel", (pid,), title, target=pid)
    if backend is None:
        return replace(plan, nothing_to_do=_("no session has the pid {pid}").format(pid=pid))
    require_client(backend)
    if backend.state != "active":
        text = _("pid {pid} works on no statement: it is {state}; to end its session: {command}")
        words = {"pid": pid, "state": backend.state or "?", "command": f"samaops db terminate {pid}"}
        return replace(plan, nothing_to_do=text.format(**words))
    step = _cancelling(backend, plan.title, require_configured(site))
    return replace(plan, steps=(step,), notes=notes_of(backend, backends))


def _cancelling(backend: Backend, title: str, server: str) -> Step:
    of = _mark(backend)
    words = {"pid": backend.pid}
    values: dict[str, Scalar] = {
        "pid": backend.pid,
        "started": backend.started,
        "query_started": backend.query_started,
    }
    works, works_no_more = _("pid {pid} works on a statement"), _("pid {pid} works on it no more")
    return Step(
        "db.cancel",
        title,
        Risk.DISRUPTIVE,
        operation=statement(Statement("cancel", values=values), server),
        before=(Condition("postgresql.still_does", of, True, works.format(**words)),),
        after=(Condition("postgresql.still_does", of, False, works_no_more.format(**words)),),
        no_undo=_("a statement that was cancelled has to be sent again by its client"),
        servers=(),
    )


def about(backend: Backend) -> str:
    """Return whose session it is and what it does, in a line."""
    text = _(
        "pid {pid}: {user} of {application} at {client}, in this transaction for {seconds:.0f} s: {query}"
    )
    return text.format(
        pid=backend.pid,
        user=backend.user or "?",
        application=backend.application or "?",
        client=backend.client or _("the server itself"),
        seconds=backend.transaction_seconds or 0.0,
        query=backend.query or "-",
    )


def notes_of(backend: Backend, backends: Iterable[Backend]) -> tuple[str, ...]:
    """Return whose session it is, and who waits behind it."""
    behind = waiting_behind(backend.pid, backends)
    if not behind:
        return (about(backend),)
    text = ngettext(
        "{count} session waits behind it: pid {pids}",
        "{count} sessions wait behind it: pid {pids}",
        len(behind),
    )
    return (about(backend), text.format(count=len(behind), pids=listed(behind)))


def waiting_behind(pid: int, backends: Iterable[Backend]) -> list[int]:
    """Return the sessions that wait for one, directly or not; 0 stands for the prepared transactions."""
    waiting = {backend.pid: set(backend.blocked_by) for backend in backends if backend.blocked_by}
    behind = {pid}
    while more := {waiter for waiter, blockers in waiting.items() if blockers & behind} - behind:
        behind |= more
    return sorted(behind - {pid})


def listed(pids: Iterable[int]) -> str:
    """Return some process numbers in a line."""
    shown = list(pids)
    return ", ".join(map(str, shown[:MOST_SHOWN])) + (", …" if len(shown) > MOST_SHOWN else "")
