"""One database in the place of another: the step, and what must hold for it: the pool can be held and let go again."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from samaops.changes.beside import Work, work_of
from samaops.changes.pgbouncer.admin import CONSOLE, GUARD, console_in
from samaops.changes.pgbouncer.pausing import refuse_session_mode, require_guarded
from samaops.changes.restoring.work import SHORT_SECONDS, SWAP, Swapping, configured, operation
from samaops.errors import RefusedError
from samaops.facts.observation import Snapshot
from samaops.facts.pgbouncer import PgBouncerFacts
from samaops.facts.postgresql_changes import Backend
from samaops.facts.restoring import REPLACED, Database, RestoringFacts, Session
from samaops.i18n import _
from samaops.model.failure import FailureKind
from samaops.model.plan import Risk, Step
from samaops.site.commands import typed
from samaops.site.shell_words import operands
from samaops.site.site import Site

# The watchdog lets the clients go on after so long, whatever has become of us.
HOLD_SECONDS = 9.0
# A transaction that does not end, and somebody who must not be cut off, are waited for; what was restored is ready.
TRIES, BETWEEN_SECONDS = 10, 15.0
_MUST_END = (Work.DUMP, Work.BACKUP, Work.MIGRATION, Work.ROLLBACK, Work.REINDEX, Work.INDEX, Work.FULL)
_MOST_NAMED = 3


def require_swappable(site: Site, live: Database, seen: RestoringFacts) -> None:
    """Raise RefusedError where the live database could not be swapped."""
    if live.prepared:
        text = _("{count} prepared transactions are open in {database}: it cannot be renamed")
        words = text.format(count=live.prepared, database=live.name)
        raise RefusedError(words, hint=typed(site, "db locks"))
    busy = in_the_way(seen.sessions)
    if busy:
        text = _("{database} cannot be replaced while others work on all of it: {who}")
        raise RefusedError(text.format(database=live.name, who=busy), hint=typed(site, "db activity"))


def codes(site: Site) -> tuple[str, ...]:
    """Return what of the pool must be looked at."""
    return (*CONSOLE, GUARD) if site.settings.pgbouncer is not None else ()


def outgoing_name(seen: RestoringFacts, stamp: str) -> str:
    """Return the name of the one that leaves its place; ``stamp`` is the day and the time."""
    return f"{REPLACED}{stamp}_{seen.token}"


def aliases_in(snapshot: Snapshot, site: Site, live: str) -> tuple[str, ...]:
    """Return the databases of the pool that lead to one, where all of them can be held. Raises RefusedError."""
    if site.settings.pgbouncer is None or _is_pool_down(snapshot):
        return ()
    seen = console_in(snapshot)
    leading = [each for each in seen.databases if (each.real_name or each.name) == live]
    for each in leading:
        if each.is_paused or seen.is_held:
            text = _("{database} is paused: let it go on first")
            words = f"pool resume {operands(each.name)}"
            raise RefusedError(text.format(database=each.name), hint=typed(site, words))
        refuse_session_mode(seen, each)
    if leading:
        require_guarded(snapshot, site, HOLD_SECONDS)
    return tuple(each.name for each in leading)


def _is_pool_down(snapshot: Snapshot) -> bool:
    """Return whether nothing listens there: then nobody is served, and there is nothing to hold."""
    looks = [each for each in snapshot.observations if each.facts_type == PgBouncerFacts.__name__]
    return any(each.failure is not None and each.failure.kind is FailureKind.REFUSED for each in looks)


def in_the_way(sessions: tuple[Session, ...]) -> str:
    """Return who works on the database and must not be cut off; "" where nobody does."""
    busy = [(each, work) for each in sessions if (work := _work_of(each)) in _MUST_END]
    return ", ".join(
        f"{work}: pid {each.pid} ({each.user}/{each.application})" for each, work in busy[:_MOST_NAMED]
    )


def _work_of(session: Session) -> Work | None:
    if session.type not in ("client backend", "walsender"):
        return None
    return work_of(
        Backend(
            pid=session.pid,
            started="",
            is_ours=False,
            type=session.type,
            user=session.user,
            is_superuser=False,
            may_signal=True,
            database="",
            application=session.application,
            client=session.client,
            state=session.state,
            wait="",
            blocked_by=(),
            transaction_seconds=None,
            query_seconds=None,
            state_seconds=None,
            query=session.query,
        )
    )


def swap_step(site: Site, swapping: Swapping, destroys: str, undo: Swapping | None) -> Step:
    """Return the step that swaps."""
    servers = [configured(site).server]
    if site.settings.pgbouncer is not None:
        servers.append(site.settings.pgbouncer.server)
    title = _("Put {incoming} in the place of {live}")
    text = _("what was written since this swap goes out of sight: it is kept closed for {days} days")
    seconds = TRIES * (BETWEEN_SECONDS + HOLD_SECONDS) + SHORT_SECONDS
    return Step(
        id="restore.swap",
        title=title.format(incoming=swapping.incoming or _("the restored database"), live=swapping.live),
        risk=Risk.DESTRUCTIVE if destroys else Risk.DISRUPTIVE,
        operation=operation(SWAP, swapping, site, seconds),
        before=(),
        after=(),
        undo=operation(SWAP, undo, site, seconds) if undo else None,
        no_undo="" if undo else _("there was no database in its place"),
        destroys=destroys,
        undo_restores=_("the database that was there before, as it was when it was replaced") if undo else "",
        undo_destroys=text.format(days=swapping.keep_days) if undo else "",
        is_undo_final=undo is not None,
        servers=tuple(dict.fromkeys(servers)),
    )


def back(swapping: Swapping, outgoing: str) -> Swapping:
    """Return what takes a swap back: the one that was in the place, whatever it is called by then."""
    return replace(swapping, incoming="", incoming_oid=swapping.live_oid, live_oid=None, outgoing=outgoing)


def notes(site: Site, swapping: Swapping, sessions: tuple[Session, ...]) -> Iterator[str]:
    """Yield what people should know of a swap."""
    if swapping.live_oid:
        if swapping.aliases:
            text = _(
                "Clients of the pool wait meanwhile, a second or less, at most {seconds:g} s; none is cut off. A watchdog on {server} lets them go on, also when samaops is killed"
            )
            pool = site.settings.pgbouncer
            yield text.format(seconds=HOLD_SECONDS, server=pool.server if pool else "-")
        else:
            yield _("No pool leads there: all sessions of the database are ended, and must connect again")
        beside = [each for each in sessions if each.type == "client backend"]
        if swapping.aliases and beside:
            text = _(
                "Whoever is connected without the pool is cut off: {count} sessions are there now, those of the pool among them"
            )
            yield text.format(count=len(beside))
        text = _("The old one is kept closed as {name} for {days} days; back: {command}")
        yield text.format(
            name=swapping.outgoing, days=swapping.keep_days, command=typed(site, "restore undo")
        )
