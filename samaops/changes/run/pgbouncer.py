"""Run commands on PgBouncer's console: one that ends by itself, what holds its clients, under a watchdog."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from msgspec import convert

from samaops.changes.pgbouncer.admin import COMMAND, Command
from samaops.changes.pgbouncer.pausing import HOLD, RESUME, SHARE_FOR_PAUSE, START_SECONDS, Holding, Resuming
from samaops.changes.run import progress
from samaops.changes.run.operations import runs
from samaops.clients.errors import ClientError
from samaops.clients.pgbouncer import ConsoleAdministrator, command_of
from samaops.clients.pool_watchdog import Watchdog
from samaops.clients.shells import ShellPool
from samaops.config.settings import PgBouncer
from samaops.i18n import _
from samaops.model.failure import FailureKind
from samaops.model.plan import Operation, Outcome
from samaops.site import commands as command_lines
from samaops.site.commands import typed
from samaops.site.shell_words import quoted
from samaops.site.site import Site

_END_SECONDS = 5.0
_RELEASE_SECONDS = 15.0
# Between the watchdog and PAUSE lies a log-in to the console: who needs longer was frozen, and the watchdog may be gone.
_LATE_SECONDS = 10.0
_IS_NOT_PAUSED = "is not paused"
_MOST_NAMED = 5
_LOG_IN_SECONDS = 2.0


def _configured(site: Site) -> PgBouncer:
    if site.settings.pgbouncer is None:
        raise ClientError(FailureKind.MISSING, _("[pgbouncer] is not configured"), "pgbouncer")
    return site.settings.pgbouncer


def _console(site: Site, seconds: float) -> ConsoleAdministrator:
    settings = _configured(site)
    return ConsoleAdministrator(site.host_of(settings), settings, seconds)


@contextmanager
def _watchdog(site: Site) -> Iterator[Watchdog]:
    """Yield who can start and end watchdogs on PgBouncer's server. Raises ClientError."""
    settings, shells = _configured(site), ShellPool(site.settings)
    try:
        yield Watchdog(shells.of(settings.server), site.host_of(settings), settings)
    finally:
        shells.close()


def _command_lines(operation: Operation, site: Site) -> tuple[str, ...]:
    of = convert(operation.arguments, Command)
    return (command_lines.console(site, command_of(of.file, of.database, of.size)),)


@runs(COMMAND, lines=_command_lines)
def run_command(operation: Operation, site: Site) -> Outcome:
    """Run one command. Raises ClientError."""
    of = convert(operation.arguments, Command)
    with _console(site, operation.timeout_seconds) as console:
        console.run(of.file, of.database, of.size)
    return Outcome(True)


def _hold_lines(operation: Operation, site: Site) -> tuple[str, ...]:
    holding = convert(operation.arguments, Holding)
    psql = f"psql -p {_configured(site).port} -c {quoted(command_of('resume', holding.database))} pgbouncer"
    guard = _("# on {server}, by itself {seconds:g} s later: {command}")
    quiet = (command_of("set_min_pool_size", size=0),) if holding.kept_open else ()
    return (
        guard.format(server=operation.server, seconds=holding.seconds, command=psql),
        *(command_lines.console(site, words) for words in quiet),
        command_lines.console(site, command_of(holding.file, holding.database)),
    )


@runs(HOLD, lines=_hold_lines)
def hold(operation: Operation, site: Site) -> Outcome:
    """Start the watchdog, then hold the database; take it back where that has no end. Raises ClientError."""
    holding = convert(operation.arguments, Holding)
    begun = _now()
    with _watchdog(site) as watchdog:
        watchdog.start(holding.database, holding.seconds, START_SECONDS, _keeping_open(holding.kept_open))
    guarded, seconds = _now(), holding.seconds * SHARE_FOR_PAUSE
    with _console(site, seconds) as console:
        if _now() - guarded > min(_LATE_SECONDS, seconds):
            return Outcome(False, _("this machine stood still: the watchdog may have ended"))
        if holding.kept_open:
            console.run("set_min_pool_size", size=0)
        with suppress(
            ClientError
        ):  # one that does not end is one that PostgreSQL does not answer: it fails anyhow
            _await_log_ins(console, (holding.database,))
        progress.tell(
            _("waiting for the transactions of {database} to end").format(database=holding.database)
        )
        try:
            console.run(holding.file, holding.database)
        except ClientError as error:
            if error.kind is not FailureKind.NO_ANSWER:
                raise
            return Outcome(False, _taken_back(holding, site))
    if _now() - begun > holding.seconds:  # nobody may be there any more who would end it
        return Outcome(False, _taken_back(holding, site))
    return Outcome(True)


class Held:
    """Databases of the pool that are held: for how long their clients waited, in the end."""

    def __init__(self, seconds: float) -> None:
        self._ends_at = _now() + seconds
        self.asked_at = _now()
        self.seconds = 0.0

    @property
    def remaining(self) -> float:
        """How long it is until the watchdogs let them go on."""
        return self._ends_at - _now()


@contextmanager
def held(databases: Sequence[str], seconds: float, site: Site) -> Iterator[Held]:
    """Hold databases under their watchdogs for what is done meanwhile, and let them go on, however that ends.

    Raises ClientError where they cannot be held: then all of them go on. Without databases nothing is done.
    """
    if not databases:
        yield Held(seconds)
        return
    with _watchdog(site) as watchdog, _console(site, START_SECONDS + seconds) as console:
        kept_open = _kept_open(console)
        then = _keeping_open(kept_open)
        state = Held(seconds)
        for database in databases:
            watchdog.start(database, seconds, START_SECONDS, then)
        try:
            if state.remaining < seconds * SHARE_FOR_PAUSE:
                text = _("the watchdogs took too long to begin")
                raise ClientError(FailureKind.NO_ANSWER, text, "watchdog")
            with _console(site, seconds * SHARE_FOR_PAUSE) as pausing:
                if kept_open:
                    console.run("set_min_pool_size", size=0)
                _refuse_kept_open(console, databases)
                _await_log_ins(console, databases)
                state.asked_at = _now()
                for database in databases:
                    _pause(pausing, database, seconds, site)
            yield state
        finally:
            _let_go(console, databases, site)
            state.seconds = _now() - state.asked_at
            if kept_open:
                console.run("set_min_pool_size", size=kept_open)
            for database in databases:
                with suppress(ClientError):  # it ends by itself
                    watchdog.end(database, _END_SECONDS)


def _kept_open(console: ConsoleAdministrator) -> int:
    """Return min_pool_size: so many connections a pool is to keep open, also while it is paused."""
    values = {row["key"]: row["value"] for row in console.show("config")}
    words = str(values.get("min_pool_size") or "0")
    return int(words) if words.isdigit() else 0


def _keeping_open(kept_open: int) -> str:
    """Return the command by which min_pool_size is again what it was; "" where it was none."""
    return command_of("set_min_pool_size", size=kept_open) if kept_open else ""


def _refuse_kept_open(console: ConsoleAdministrator, databases: Sequence[str]) -> None:
    """Raise ClientError where a database keeps connections open by its line of the file, which the console cannot set."""
    own = [
        row["name"]
        for row in console.show("databases")
        if row["name"] in databases and int(row.get("min_pool_size") or 0)
    ]
    if own:
        text = _(
            "{database} has a min_pool_size of its own in PgBouncer's file: a pause would break its log-ins"
        )
        raise ClientError(FailureKind.UNAVAILABLE, text.format(database=own[0]), "PAUSE")


def _await_log_ins(console: ConsoleAdministrator, databases: Sequence[str]) -> None:
    """See that nobody logs in to PostgreSQL for these databases. Raises ClientError.

    A pause cuts off a log-in, and PgBouncer takes that for one that failed: its clients are then refused until
    server_login_retry is over. For min_pool_size it logs in during a pause too (seen with 1.18).
    """
    until = _now() + _LOG_IN_SECONDS
    while any(int(row["sv_login"] or 0) for row in console.show("pools") if row["database"] in databases):
        if _now() > until:
            raise ClientError(FailureKind.NO_ANSWER, _("a log-in of the pool does not end"), "PAUSE")
        time.sleep(0.01)


def _pause(console: ConsoleAdministrator, database: str, seconds: float, site: Site) -> None:
    try:
        console.run("pause", database)
    except ClientError as error:
        if error.kind is not FailureKind.NO_ANSWER:
            raise
        words = _taken_back(Holding("pause", database, seconds), site)
        raise ClientError(FailureKind.NO_ANSWER, words, "PAUSE") from error


def _let_go(console: ConsoleAdministrator, databases: Sequence[str], site: Site) -> None:
    """Let all go on, over a new connection where the one that held them is lost. Raises ClientError."""
    try:
        for database in databases:
            _resume(console, database)
    except ClientError:
        with _console(site, _END_SECONDS) as another:
            for database in databases:
                _resume(another, database)


def _now() -> float:
    """Return a time that goes on while this machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def _taken_back(holding: Holding, site: Site) -> str:
    """Let the database go on at once, and say who kept PAUSE from its end."""
    with _console(site, _END_SECONDS) as console:
        busy = [
            row["remote_pid"]
            for row in console.show("servers")
            if row["database"] == holding.database and row["state"] == "active" and row["remote_pid"]
        ]
        _resume(console, holding.database)
    pids = ", ".join(map(str, busy[:_MOST_NAMED])) + ("…" if len(busy) > _MOST_NAMED else "")
    text = _(
        "it did not come to an end within {seconds:g} s: in PostgreSQL still worked pid {pids}, see {command}"
    )
    command = typed(site, "db activity")
    return text.format(seconds=holding.seconds * SHARE_FOR_PAUSE, pids=pids or "-", command=command)


def _resume(console: ConsoleAdministrator, database: str) -> None:
    """Let it go on; nothing is wrong where it was not paused."""
    try:
        console.run("resume", database)
    except ClientError as error:
        if _IS_NOT_PAUSED not in error.message:
            raise


def _resume_lines(operation: Operation, site: Site) -> tuple[str, ...]:
    database = convert(operation.arguments, Resuming).database
    words = command_of("resume", database) if database else command_of("resume_all")
    return (command_lines.console(site, words),)


@runs(RESUME, lines=_resume_lines)
def resume(operation: Operation, site: Site) -> Outcome:
    """Let a database go on; its watchdog, which would end a later pause too, ends as well. Raises ClientError.

    What the pools keep open is as before once none is paused any more: what the plan does not know of it, the watchdog does.
    """
    resuming = convert(operation.arguments, Resuming)
    database = resuming.database
    with _console(site, operation.timeout_seconds) as console:
        if not database:
            console.run("resume_all")  # where that is refused, something else keeps the clients waiting
            return Outcome(True)
        _resume(console, database)
        is_last = not any(int(row["paused"]) for row in console.show("databases"))
        if is_last and resuming.kept_open:
            console.run("set_min_pool_size", size=resuming.kept_open)
    try:
        with _watchdog(site) as watchdog:
            if is_last:
                watchdog.release(database, _RELEASE_SECONDS)
            else:
                watchdog.end(database, _END_SECONDS)
    except ClientError as error:  # it ends by itself
        return Outcome(True, _("a watchdog may still be there: {reason}").format(reason=error.message))
    return Outcome(True)
