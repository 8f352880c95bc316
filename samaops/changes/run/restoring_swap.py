"""Put one database in the place of another while the clients of the pool wait: all or nothing, and never for long."""

from __future__ import annotations

import time

from msgspec import convert

from samaops.changes.restoring.swap import BETWEEN_SECONDS, HOLD_SECONDS, TRIES, in_the_way
from samaops.changes.restoring.work import SWAP, Swapping
from samaops.changes.run import progress
from samaops.changes.run.operations import runs
from samaops.changes.run.pgbouncer import held
from samaops.changes.run.restoring import Workshop, as_superuser, workshop
from samaops.clients.errors import ClientError
from samaops.clients.pgbouncer import command_of
from samaops.collect import restoring as look
from samaops.facts.restoring import Database, Mark
from samaops.i18n import _
from samaops.model.failure import FailureKind
from samaops.model.plan import Operation, Outcome
from samaops.model.quantities import duration
from samaops.site import commands as command_lines
from samaops.site.commands import sql_name
from samaops.site.site import Site

_LOOK_SECONDS = 15.0
# What is kept for RESUME of the time until the watchdog does it.
_RESERVE_SECONDS = 1.0
_LEAST_SECONDS = 1.0
_LONG_SECONDS = 2.0


def _lines(operation: Operation, site: Site) -> tuple[str, ...]:
    swapping = convert(operation.arguments, Swapping)
    pauses = [command_lines.console(site, command_of("pause", each)) for each in swapping.aliases]
    resumes = [command_lines.console(site, command_of("resume", each)) for each in swapping.aliases]
    live, outgoing = sql_name(swapping.live), sql_name(swapping.outgoing)
    incoming = sql_name(swapping.incoming) if swapping.incoming else f"(oid {swapping.incoming_oid})"
    away = f"ALTER DATABASE {live} RENAME TO {outgoing}; " if swapping.live_oid != 0 else ""
    statements = f"BEGIN; {away}ALTER DATABASE {incoming} RENAME TO {live}; COMMIT"
    return (*pauses, as_superuser(site, f'psql -d postgres -c "{statements}"'), *resumes)


class _NotAsPlannedError(Exception):
    """The databases are not those that a swap was planned for."""


@runs(SWAP, lines=_lines)
def swap(operation: Operation, site: Site) -> Outcome:
    """Swap, in as many attempts as it needs. Raises ClientError where not even its outcome can be looked at."""
    swapping = convert(operation.arguments, Swapping)
    with workshop(site) as at:
        try:
            incoming, live = _found(at, swapping)
        except _NotAsPlannedError as error:
            return Outcome(False, str(error), is_seen=True)
        if live is not None and live.oid == incoming.oid:
            return Outcome(True, _("it is in its place already"), is_seen=True)
        for attempt in range(TRIES):
            try:
                return _swapped(at, swapping, incoming, live, is_patient=attempt < TRIES // 2)
            except ClientError as error:
                if _is_in_place(at, swapping, incoming):
                    words = _("it is in its place, but: {reason}").format(reason=error.message)
                    return Outcome(True, words, is_seen=True)
                reason = error.message
            if attempt < TRIES - 1:
                progress.tell(_("not swapped yet: {reason}").format(reason=reason))
                time.sleep(BETWEEN_SECONDS)
    return Outcome(False, reason, is_seen=True)


def _found(at: Workshop, swapping: Swapping) -> tuple[Database, Database | None]:
    """Return what comes and what goes. Raises ClientError, _NotAsPlannedError."""
    databases = look.databases(at.server, _LOOK_SECONDS)
    live = next((each for each in databases if each.name == swapping.live), None)
    incoming = next(
        (
            each
            for each in databases
            if (
                each.oid == swapping.incoming_oid if swapping.incoming_oid else each.name == swapping.incoming
            )
        ),
        None,
    )
    if incoming is None:
        raise _NotAsPlannedError(_("the database that is to come in is not there any more"))
    if swapping.live_oid is not None and swapping.live_oid != (live.oid if live else 0):
        text = _("{database} is another database than the one that was looked at")
        raise _NotAsPlannedError(text.format(database=swapping.live))
    if incoming.mark is None and incoming is not live:
        text = _("{name} is not a database that samaops made or replaced: it is not touched")
        raise _NotAsPlannedError(text.format(name=incoming.name))
    return incoming, live


def _is_in_place(at: Workshop, swapping: Swapping, incoming: Database) -> bool:
    databases = look.databases(at.server, _LOOK_SECONDS)
    return any(each.name == swapping.live and each.oid == incoming.oid for each in databases)


def _swapped(
    at: Workshop, swapping: Swapping, incoming: Database, live: Database | None, *, is_patient: bool
) -> Outcome:
    """Make one attempt. Raises ClientError; then nothing was renamed, or it shows."""
    comment = incoming.mark.comment if incoming.mark else None
    values: dict[str, str | int] = {
        "live": swapping.live,
        "incoming": incoming.name,
        "incoming_oid": incoming.oid,
        "comment": comment or "",
        "has_comment": "true" if comment is not None else "false",
    }
    if live is None:
        at.server.swap("place", values, HOLD_SECONDS, ends_sessions=False)
        return Outcome(True, _("{database} is there again").format(database=swapping.live), is_seen=True)
    sessions = look.sessions(at.server, swapping.live)
    longest = max(sessions, key=lambda each: each.seconds or 0.0, default=None)
    if is_patient and longest is not None and (longest.seconds or 0.0) > _LONG_SECONDS:
        # PAUSE would hold all clients until it ends.
        text = _("pid {pid} ({user}/{application}) is in its transaction for {time}")
        words = text.format(
            pid=longest.pid,
            user=longest.user,
            application=longest.application,
            time=duration(longest.seconds or 0.0),
        )
        raise ClientError(FailureKind.UNAVAILABLE, words, "swap")
    busy = in_the_way(sessions)
    if busy:
        text = _("{database} cannot be replaced while others work on all of it: {who}")
        words = text.format(database=swapping.live, who=busy)
        raise ClientError(FailureKind.UNAVAILABLE, words, "swap")
    now = time.time()
    mark = Mark("replaced", swapping.of, swapping.live, now, now + swapping.keep_days * 86_400, live.comment)
    values |= {
        "old_oid": live.oid,
        "outgoing": swapping.outgoing,
        "outgoing_comment": mark.written(),
    }
    with held(swapping.aliases, HOLD_SECONDS, at.site) as pause:
        seconds = pause.remaining - _RESERVE_SECONDS
        if seconds < _LEAST_SECONDS:
            raise ClientError(FailureKind.DEADLINE, _("there was no time left to rename"), "swap")
        at.server.swap("swap", values, seconds / 1.5, ends_sessions=True)
    if not _is_in_place(at, swapping, incoming):
        raise ClientError(FailureKind.ERROR, _("it was renamed, and is not in its place"), "swap")
    measured = {"pause_ms": round(pause.seconds * 1000)} if swapping.aliases else {}
    words = _("the clients of the pool waited {ms} ms") if swapping.aliases else _("swapped")
    text = words.format(ms=measured.get("pause_ms"))
    return Outcome(True, text, is_seen=True, measured={**measured, "outgoing": swapping.outgoing})
