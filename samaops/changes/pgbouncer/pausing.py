"""Hold the clients of a database for a limited time, and let them go on: pause, kill, resume, disable, enable."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec import Struct
from msgspec.structs import asdict, replace

from samaops.changes.pgbouncer.admin import (
    CONSOLE,
    FILE,
    GUARD,
    Command,
    command,
    configured,
    console_in,
    database_in,
    databases_in,
    facts,
    missing,
    typed,
)
from samaops.changes.readings import UnreadableError
from samaops.changes.verbs import verb
from samaops.errors import RefusedError, UsageError
from samaops.facts.observation import Snapshot
from samaops.facts.pgbouncer import Console, PooledDatabase
from samaops.i18n import _
from samaops.model.plan import Condition, Operation, Plan, Risk, Step
from samaops.site import commands as command_lines
from samaops.site.shell_words import operands
from samaops.site.site import Site

HOLD, RESUME = "pgbouncer.hold", "pgbouncer.resume"
LEAST_SECONDS, MOST_SECONDS = 2.0, 300.0
# Who waits longer than query_wait_timeout is cut off: half of it leaves them time to be served.
_SHARE_OF_TIMEOUT = 0.5
# The rest is for what people want to do while it is paused.
SHARE_FOR_PAUSE = 0.5
START_SECONDS = 15.0
_MOST_DATABASES = 10
# PgBouncer's default of server_login_retry.
_RETRY_SECONDS = 15.0


class Holding(Struct, frozen=True):
    """What to hold, by PAUSE or KILL (a file of ``sql/pgbouncer``), and after how long it ends by itself.

    ``kept_open`` is the min_pool_size that PgBouncer has before and afterwards, and not meanwhile; 0: it has none.
    """

    file: str
    database: str
    seconds: float
    kept_open: int = 0


class Resuming(Struct, frozen=True):
    """What to let go on; "" stands for what is paused as a whole. ``kept_open`` is that of its pause, where it is known."""

    database: str
    kept_open: int = 0


def resume(database: str, site: Site, kept_open: int = 0) -> Operation:
    """Return the operation that lets a database go on and ends its watchdog."""
    return Operation(RESUME, asdict(Resuming(database, kept_open)), configured(site).server)


def _looks(site: Site, _database: str, seconds: str) -> tuple[str, ...]:
    configured(site)
    if not LEAST_SECONDS <= float(seconds) <= MOST_SECONDS:
        text = _("{seconds:g} is not between {least:g} and {most:g} seconds")
        words = {"seconds": float(seconds), "least": LEAST_SECONDS, "most": MOST_SECONDS}
        raise UsageError(text.format(**words))
    return (*CONSOLE, GUARD, FILE)


def _typed(database: str, seconds: str) -> tuple[str, ...]:
    return (*typed(database), "--for", seconds)


@verb("pool pause", looks=_looks, typed=_typed)
def plan_pause(snapshot: Snapshot, site: Site, database: str, seconds: str) -> Plan:
    """Plan that a database gives no connection to its clients for a while; they wait, none is cut off.

    Guards: it ends well before its clients are cut off, a watchdog on the server can end it, and PAUSE can come to an
    end, which it does not while a client in session mode is connected.
    """
    seen = console_in(snapshot)
    chosen_ones = [each for each in databases_in(seen, database) if not (each.is_paused or seen.is_held)]
    title = _("Pause {databases} for {seconds:g} s").format(
        databases=database or _("every database of the pool"), seconds=float(seconds)
    )
    plan = Plan("pool pause", (database, seconds), title, target=database or "pgbouncer")
    if not chosen_ones:
        text = _("{database} is paused already") if database else _("every database is paused already")
        return replace(plan, nothing_to_do=text.format(database=database))
    if len(chosen_ones) > _MOST_DATABASES:
        text = _("PgBouncer has {count} databases: name the one to pause")
        raise RefusedError(text.format(count=len(chosen_ones)), hint="samaops pool databases")
    require_guarded(snapshot, site, float(seconds))
    for each in chosen_ones:
        refuse_session_mode(seen, each)
    kept_open = _kept_open(snapshot)
    steps = tuple(
        _hold_step(site, Holding("pause", each.name, float(seconds), kept_open)) for each in chosen_ones
    )
    waits = _("PAUSE waits until the transactions have ended, at most {seconds:g} s; then it is taken back")
    notes = (
        waits.format(seconds=float(seconds) * SHARE_FOR_PAUSE),
        *_notes(site, database, seconds),
        *_log_in_notes(snapshot, chosen_ones),
    )
    return replace(plan, steps=steps, notes=notes)


@verb("pool kill", looks=_looks, typed=_typed)
def plan_kill(snapshot: Snapshot, site: Site, database: str, seconds: str) -> Plan:
    """Plan that all clients of a database are cut off, and that new ones wait for a while.

    Guards: as for a pause.
    """
    seen = console_in(snapshot)
    known = database_in(seen, database)
    title = _("Cut off all clients of {database}, and let new ones wait for {seconds:g} s")
    plan = Plan(
        "pool kill",
        (database, seconds),
        title.format(database=database, seconds=float(seconds)),
        target=database,
    )
    if known.is_paused or seen.is_held:
        text = _("{database} is paused: it would stay so; let it go on first")
        raise RefusedError(text.format(database=database), hint=_resume_command(site, database))
    require_guarded(snapshot, site, float(seconds))
    clients = sum(
        pool.clients_active + pool.clients_waiting for pool in seen.pools if pool.database == database
    )
    cut = _("{count} clients are cut off, their transactions are rolled back").format(count=clients)
    step = replace(
        _hold_step(site, Holding("kill", database, float(seconds), _kept_open(snapshot))),
        undo_restores=_("{database} serves; who was cut off has to connect again").format(database=database),
    )
    notes = (cut, *_notes(site, database, seconds), *_log_in_notes(snapshot, [known]))
    return replace(plan, steps=(step,), notes=notes)


def require_guarded(snapshot: Snapshot, site: Site, seconds: float) -> None:
    """Raise RefusedError where a pause would last too long, or nothing would end it."""
    timeout = console_in(snapshot).settings.get("query_wait_timeout", "")
    try:
        limit = float(timeout) * _SHARE_OF_TIMEOUT
    except ValueError as error:
        raise UnreadableError(_("it is not known {what}").format(what="query_wait_timeout")) from error
    if limit:
        # Who waits since it began is to be served before he is cut off, also where PgBouncer tries no log-in at once.
        limit = max(1.0, min(limit, float(timeout) - _retry_seconds(snapshot)))
    if limit and seconds > limit:
        text = _(
            "{seconds:g} s are too long: PgBouncer cuts off who waits {timeout} s (query_wait_timeout); at most {limit:g} s"
        )
        raise RefusedError(
            text.format(seconds=seconds, timeout=timeout, limit=limit), hint=f"--for {limit:g}"
        )
    guard = facts(snapshot).guard
    if guard is None:
        raise UnreadableError(missing(snapshot, "guard"))
    if guard:
        server = configured(site).server
        text = _("Nothing would end the pause if samaops died: no watchdog can work on {server}: {reason}")
        raise RefusedError(text.format(server=server, reason=guard), hint=command_lines.log_in(site, server))


def _retry_seconds(snapshot: Snapshot) -> float:
    """Return how long clients may wait after a pause: the log-ins that PAUSE cuts count as failed."""
    try:
        return float(console_in(snapshot).settings.get("server_login_retry", ""))
    except ValueError:
        return _RETRY_SECONDS


def refuse_session_mode(seen: Console, database: PooledDatabase) -> None:
    """Raise RefusedError where PAUSE would not come to an end."""
    pools = [pool for pool in seen.pools if pool.database == database.name and pool.servers_busy]
    mode = database.pool_mode or seen.settings.get("pool_mode")
    clients = sum(pool.servers_busy for pool in pools if (pool.pool_mode or mode) == "session")
    if clients:
        text = _("{database} is in session mode: PAUSE would wait until its {count} clients have left")
        raise RefusedError(text.format(database=database.name, count=clients), hint="samaops pool clients")


def _kept_open(snapshot: Snapshot) -> int:
    """Return min_pool_size; while another database is paused, as the file has it: it is 0 then, for that pause."""
    seen, file = console_in(snapshot), facts(snapshot).file
    text = seen.settings.get("min_pool_size", "")
    if text == "0" and file and any(each.is_paused for each in seen.databases):
        text = file.settings.get("min_pool_size", "")
    return int(text) if text.isdecimal() else 0


def _keeps_its_own(snapshot: Snapshot, database: PooledDatabase) -> bool:
    """Return whether a database keeps connections open by a number of its own, which the console cannot set."""
    file, size = facts(snapshot).file, database.min_pool_size
    line = file.databases.get(database.name) if file else None
    if line is not None:
        return line.get("min_pool_size", "0") != "0"
    return bool(size) and str(size) != console_in(snapshot).settings.get("min_pool_size", "")


def _log_in_notes(snapshot: Snapshot, databases: Sequence[PooledDatabase]) -> Iterator[str]:
    """Say what becomes of min_pool_size, and where a pause cuts log-ins all the same."""
    kept_open = _kept_open(snapshot)
    if kept_open:
        text = _(
            "min_pool_size is 0 meanwhile and {size} again after it: a log-in that PAUSE cuts counts as failed"
        )
        yield text.format(size=kept_open)
    if own := [each.name for each in databases if _keeps_its_own(snapshot, each)]:
        text = _(
            "After it clients of {databases} may wait up to {seconds:g} s more, until the next log-in (server_login_retry): "
            "its min_pool_size stands in the file"
        )
        yield text.format(databases=", ".join(own), seconds=_retry_seconds(snapshot))


def _hold_step(site: Site, holding: Holding) -> Step:
    section, database, file = configured(site), holding.database, holding.file
    paused = _("{database} is paused").format(database=database)
    serves = _("{database} is not paused").format(database=database)
    title = _("Pause {database}") if file == "pause" else _("Cut off all clients of {database}")
    return Step(
        id=f"pool.{file}",
        title=title.format(database=database),
        risk=Risk.DISRUPTIVE,
        operation=Operation(
            HOLD, asdict(holding), section.server, START_SECONDS + holding.seconds * SHARE_FOR_PAUSE
        ),
        undo=resume(database, site, holding.kept_open),
        before=(Condition("pgbouncer.is_paused", (database,), False, serves),),
        after=(Condition("pgbouncer.is_paused", (database,), True, paused),),
        servers=(section.server,),
    )


def _notes(site: Site, database: str, seconds: str) -> Iterator[str]:
    ends = _(
        "A watchdog on {server} ends it {seconds} s after it began, also when samaops is killed; earlier: {command}"
    )
    yield ends.format(
        server=configured(site).server, seconds=seconds, command=_resume_command(site, database)
    )


def _resume_command(site: Site, database: str) -> str:
    words = f"pool resume {operands(database)}" if database else "pool resume"
    return command_lines.typed(site, words)


def _resume_looks(site: Site, _database: str = "") -> tuple[str, ...]:
    configured(site)
    return CONSOLE


@verb("pool resume", looks=_resume_looks, typed=typed)
def plan_resume(snapshot: Snapshot, site: Site, database: str = "") -> Plan:
    """Plan that the clients of a paused database go on, or those of all that are paused."""
    seen = console_in(snapshot)
    paused = [each for each in databases_in(seen, database) if each.is_paused]
    title = _("Let {databases} go on").format(databases=database or _("every database of the pool"))
    plan = Plan("pool resume", (database,), title, target=database or "pgbouncer")
    if database and seen.is_held and not paused:
        text = _("not {database} alone is paused, but PgBouncer as a whole")
        raise RefusedError(text.format(database=database), hint=_resume_command(site, ""))
    steps = [_resume_step(site, each.name) for each in paused]
    if seen.seems_held and not database:
        steps.append(_resume_all_step(site))
    if not steps:
        text = _("{database} is not paused") if database else _("no database of the pool is paused")
        return replace(plan, nothing_to_do=text.format(database=database))
    is_all = len(paused) == sum(each.is_paused for each in seen.databases) and not (database and seen.is_held)
    cures = (f"pgbouncer.pool.paused@pgbouncer/{configured(site).server}",) if is_all else ()
    return replace(plan, steps=tuple(steps), cures=cures)


def _resume_step(site: Site, database: str) -> Step:
    words = {"database": database}
    of, name = (database,), "pgbouncer.is_paused"
    return Step(
        id="pool.resume",
        title=_("Let {databases} go on").format(databases=database),
        risk=Risk.SAFE,
        operation=resume(database, site),
        before=(Condition(name, of, True, _("{database} is paused").format(**words)),),
        after=(Condition(name, of, False, _("{database} is not paused").format(**words)),),
        no_undo=_no_undo(site, database),
        servers=(configured(site).server,),
    )


def _resume_all_step(site: Site) -> Step:
    """Before 1.19 only what waits shows that all is paused, and that it goes on."""
    name = "pgbouncer.seems_held"
    return Step(
        id="pool.resume",
        title=_("Let what is paused as a whole go on"),
        risk=Risk.SAFE,
        operation=resume("", site),
        before=(Condition(name, (), True, _("PgBouncer as a whole gives nobody a connection")),),
        after=(Condition(name, (), False, _("PgBouncer gives its clients connections")),),
        no_undo=_no_undo(site, ""),
        servers=(configured(site).server,),
    )


def _no_undo(site: Site, database: str) -> str:
    words = f"pool pause {operands(database)}" if database else "pool pause"
    text = _("a pause is made anew, with its end: {command}")
    return text.format(command=command_lines.typed(site, words))


def _database_looks(site: Site, _database: str) -> tuple[str, ...]:
    configured(site)
    return CONSOLE


@verb("pool disable", looks=_database_looks)
def plan_disable(snapshot: Snapshot, site: Site, database: str) -> Plan:
    """Plan that a database refuses new clients until it is enabled again; those that are connected stay."""
    known = database_in(console_in(snapshot), database)
    title = _("Refuse new clients of {database}").format(database=database)
    plan = Plan("pool disable", (database,), title, target=database)
    if known.is_disabled:
        return replace(plan, nothing_to_do=_("{database} is disabled").format(database=database))
    note = _("It lasts until a restart of PgBouncer, or until {command}").format(
        command=command_lines.typed(site, f"pool enable {operands(database)}")
    )
    return replace(plan, steps=(_switch_step(site, database, title, is_on=False),), notes=(note,))


@verb("pool enable", looks=_database_looks)
def plan_enable(snapshot: Snapshot, site: Site, database: str) -> Plan:
    """Plan that a disabled database takes new clients again."""
    seen = console_in(snapshot)
    known = database_in(seen, database)
    title = _("Let new clients of {database} in").format(database=database)
    plan = Plan("pool enable", (database,), title, target=database)
    if not known.is_disabled:
        return replace(plan, nothing_to_do=_("{database} is not disabled").format(database=database))
    is_last = sum(each.is_disabled for each in seen.databases) == 1
    cures = (f"pgbouncer.database.disabled@pgbouncer/{configured(site).server}",) if is_last else ()
    return replace(plan, steps=(_switch_step(site, database, title, is_on=True),), cures=cures)


def _switch_step(site: Site, database: str, title: str, *, is_on: bool) -> Step:
    file, inverse = ("enable", "disable") if is_on else ("disable", "enable")
    of, name = (database,), "pgbouncer.is_disabled"
    disabled = Condition(name, of, True, _("{database} is disabled").format(database=database))
    enabled = Condition(name, of, False, _("{database} is not disabled").format(database=database))
    return Step(
        id=f"pool.{file}",
        title=title,
        risk=Risk.SAFE if is_on else Risk.DISRUPTIVE,
        operation=command(Command(file, database), site),
        undo=command(Command(inverse, database), site),
        before=(disabled if is_on else enabled,),
        after=(enabled if is_on else disabled,),
        servers=(configured(site).server,),
    )
