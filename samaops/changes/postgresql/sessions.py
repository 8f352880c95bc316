"""Changes of the database's sessions: cancel what one does. Of clients only, one by one, the same that was shown."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from samaops.changes.postgresql.statement import Statement, statement
from samaops.changes.readings import facts_in, known, reading
from samaops.changes.verbs import verb
from samaops.errors import RefusedError, UsageError
from samaops.facts.observation import Snapshot
from samaops.facts.postgresql import Backend, PostgresFacts
from samaops.i18n import _
from samaops.model.plan import Condition, Plan, Risk, Scalar, Step
from samaops.site.site import Site

BACKENDS = ("postgresql.backends",)
# Under these names dumps, base backups and samaops itself work: what they have done would be lost.
PROTECTED = (
    "pg_dump",
    "pg_dumpall",
    "pg_restore",
    "pg_basebackup",
    "pg_receivewal",
    "barman",
    "pgbackrest",
    "samaops",
)
CLIENT = "client backend"


def backends_in(snapshot: Snapshot) -> tuple[Backend, ...]:
    """Return every process of the server. Raises UnreadableError."""
    return known(facts_in(snapshot, PostgresFacts).backends, _("which sessions there are"))


@reading("postgresql.runs_query", codes=BACKENDS)
def runs_query(snapshot: Snapshot, pid: int, started: str) -> Scalar:
    """Return whether this very session still works on a statement."""
    return any(
        backend.pid == int(pid) and backend.started == started and backend.state == "active"
        for backend in backends_in(snapshot)
    )


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
        raise RefusedError(
            text.format(pid=backend.pid, reason="; ".join(reasons)), hint="samaops db activity"
        )


def _reasons(backend: Backend) -> Iterator[str]:
    application = backend.application.split(" ")[0].split(":")[0]
    if backend.is_ours:
        yield _("it is our own session")
    elif backend.type != CLIENT:
        yield _("it is no client but {type}").format(type=backend.type or "?")
    elif application in PROTECTED:
        yield _("{application} works in it").format(application=backend.application)
    elif backend.is_superuser:
        yield _("it belongs to the superuser {user}").format(user=backend.user)
    elif not backend.may_signal:
        yield _("our role may not signal it; it needs pg_signal_backend")


def _looks(site: Site, pid: str) -> tuple[str, ...]:
    require_configured(site)
    if not pid.isdigit():
        raise UsageError(_("{pid!r} is no process number").format(pid=pid), hint="samaops db activity")
    return BACKENDS


@verb("db cancel", looks=_looks)
def plan_cancel(snapshot: Snapshot, site: Site, pid: str) -> Plan:
    """Plan that the statement which one session works on is cancelled; its session stays.

    Guards: a client's, not our own, no superuser's, no backup's.
    """
    backend = next((each for each in backends_in(snapshot) if each.pid == int(pid)), None)
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
    return replace(plan, steps=(step,), notes=(about(backend),))


def _cancelling(backend: Backend, title: str, server: str) -> Step:
    of = (backend.pid, backend.started)
    words = {"pid": backend.pid}
    works, works_no_more = _("pid {pid} works on a statement"), _("pid {pid} works on it no more")
    return Step(
        "db.cancel",
        title,
        Risk.DISRUPTIVE,
        operation=statement(
            Statement("cancel", values={"pid": backend.pid, "started": backend.started}), server
        ),
        before=(Condition("postgresql.runs_query", of, True, works.format(**words)),),
        after=(Condition("postgresql.runs_query", of, False, works_no_more.format(**words)),),
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
