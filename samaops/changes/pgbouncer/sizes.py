"""Set how many connections a pool may open, where PostgreSQL has room for them."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct
from msgspec.structs import replace

from samaops.changes.pgbouncer.admin import (
    CONSOLE,
    FILE,
    SERVERS,
    Command,
    command,
    configured,
    console_in,
    database_in,
    facts,
    missing,
)
from samaops.changes.readings import UnreadableError, facts_in, known, reading
from samaops.changes.verbs import verb
from samaops.errors import RefusedError, UsageError
from samaops.facts.observation import Snapshot
from samaops.facts.pgbouncer import Console, PooledDatabase
from samaops.facts.postgresql import PostgresFacts, usable_connections
from samaops.i18n import _
from samaops.model.plan import Condition, Plan, Risk, Scalar, Step
from samaops.site.commands import typed
from samaops.site.site import Site

_SETTING = "default_pool_size"
_MOST = 10_000
# With the sessions that are there and the settings that limit them.
_POSTGRESQL = "postgresql.connections.high"


class Room(Struct, frozen=True):
    """How many connections PostgreSQL takes, and who else than the pools has some."""

    limit: int
    others: int


@reading("pgbouncer.default_pool_size", codes=CONSOLE)
def default_size(snapshot: Snapshot) -> Scalar:
    """Return the size of the pools whose database has none of its own."""
    text = console_in(snapshot).settings.get(_SETTING, "")
    return int(text) if text.isdecimal() else known(None, _SETTING)


@reading("pgbouncer.pool_size", codes=CONSOLE)
def size_of(snapshot: Snapshot, database: str) -> Scalar:
    """Return the size of the pools of a database."""
    seen = console_in(snapshot).database(database)
    return known(seen, _("whether PgBouncer has the database {name}").format(name=database)).pool_size


def _looks(site: Site, _database: str, size: str) -> tuple[str, ...]:
    configured(site)
    if not size.isdecimal() or not 1 <= int(size) <= _MOST:
        raise UsageError(_("{size!r} is no number of connections, 1 to {most}").format(size=size, most=_MOST))
    more = (_POSTGRESQL,) if site.settings.postgresql else ()
    return (*CONSOLE, SERVERS, FILE, *more)


def _typed(database: str, size: str) -> tuple[str, ...]:
    return (database, size) if database else (size,)


@verb("pool set-size", looks=_looks, typed=_typed)
def plan_size(snapshot: Snapshot, site: Site, database: str, size: str) -> Plan:
    """Plan another size of the pools, by SET.

    Guards: a database with a size of its own is not touched by it; all pools together, and who else is connected, have
    room in PostgreSQL.
    """
    seen, wanted, now = console_in(snapshot), int(size), int(str(default_size(snapshot)))
    own = [each.name for each in seen.databases if _has_own(snapshot, each, now)]
    title = _("Set the size of the pools ({setting}) from {now} to {size}").format(
        setting=_SETTING, now=now, size=wanted
    )
    plan = Plan("pool set-size", (database, size), title, target=database or "pgbouncer")
    if database:
        _refuse_own_size(site, snapshot, database_in(seen, database), own, wanted)
    ruled = tuple(each for each in seen.databases if each.name not in own)
    if not ruled:
        text = _("every database has a pool_size of its own: {names}")
        raise RefusedError(text.format(names=", ".join(own) or "-"), hint="samaops pool databases")
    if wanted == now:
        return replace(plan, nothing_to_do=_("{setting} is {size}").format(setting=_SETTING, size=now))
    if wanted > now:
        _guard_room(seen, ruled, wanted, _room(snapshot, site))
    step = _step(site, title, (now, wanted), database)
    busiest = max((pool.servers_busy for pool in seen.pools if pool.database not in own), default=0)
    if wanted < busiest:
        step = replace(step, risk=Risk.DISRUPTIVE)
    return replace(plan, steps=(step,), notes=tuple(_notes(snapshot, wanted, ruled, own)))


def _has_own(snapshot: Snapshot, database: PooledDatabase, default: int) -> bool:
    """Return whether a database has a size of its own: as its line says, or because it has another than the default."""
    file = facts(snapshot).file
    line = file.databases.get(database.name) if file else None
    return database.pool_size != default or (line is not None and "pool_size" in line)


def _refuse_own_size(
    site: Site, snapshot: Snapshot, database: PooledDatabase, own: list[str], wanted: int
) -> None:
    if database.name not in own:
        return
    text = _(
        "{database} has a pool_size of its own, {size}, which the console cannot set: write pool_size={wanted} in its line of "
        "{file}, then {command}"
    )
    words = {"database": database.name, "size": database.pool_size, "wanted": wanted}
    command = typed(site, "pool reload")
    raise RefusedError(text.format(file=_path(snapshot), command=command, **words), hint=command)


def _path(snapshot: Snapshot) -> str:
    return console_in(snapshot).settings.get("conffile", "pgbouncer.ini")


def _room(snapshot: Snapshot, site: Site) -> Room:
    """Return what PostgreSQL has room for. Raises UnreadableError, UsageError."""
    if site.settings.postgresql is None:
        raise UsageError(_("[postgresql] is not configured"), hint="samaops config show")
    server, servers = facts_in(snapshot, PostgresFacts), facts(snapshot).servers
    if servers is None:
        raise UnreadableError(missing(snapshot, "servers"))
    limit = known(usable_connections(server.settings or {}), "max_connections")
    connections = known(server.connections, _("who is connected to PostgreSQL"))
    ours = sum(bool(each.pid) for each in servers)
    return Room(limit, max(0, connections.used - ours))


def _guard_room(seen: Console, ruled: tuple[PooledDatabase, ...], wanted: int, room: Room) -> None:
    """Raise RefusedError where the pools could open more connections than PostgreSQL takes."""

    def most(size: int) -> dict[str, int]:
        names = {each.name for each in ruled}
        sized = (replace(each, pool_size=size) if each.name in names else each for each in seen.databases)
        return {each.name: seen.most_of(each) for each in sized}

    pools = most(wanted)
    if sum(pools.values()) + room.others <= room.limit:
        return
    fitting = next(
        (size for size in range(wanted - 1, 0, -1) if sum(most(size).values()) + room.others <= room.limit), 0
    )
    text = _(
        "{size} does not fit: the pools could open {most} connections ({pools}), {others} are taken by others, and PostgreSQL "
        "has room for {limit}; at most {fitting}"
    )
    words = {
        "size": wanted,
        "most": sum(pools.values()),
        "pools": ", ".join(f"{name} {count}" for name, count in pools.items()),
        "others": room.others,
        "limit": room.limit,
        "fitting": fitting,
    }
    raise RefusedError(text.format(**words), hint="samaops pool databases")


def _step(site: Site, title: str, sizes: tuple[int, int], database: str) -> Step:
    now, wanted = sizes

    def is_so(size: int) -> tuple[Condition, ...]:
        text = _("{setting} is {size}").format(setting=_SETTING, size=size)
        conditions = (Condition("pgbouncer.default_pool_size", (), size, text),)
        if not database:
            return conditions
        own = _("the pools of {database} may have {size} connections").format(database=database, size=size)
        return (*conditions, Condition("pgbouncer.pool_size", (database,), size, own))

    return Step(
        id="pool.set_size",
        title=title,
        risk=Risk.SAFE,
        operation=command(Command("set_pool_size", size=wanted), site),
        undo=command(Command("set_pool_size", size=now), site),
        before=is_so(now),
        after=is_so(wanted),
        servers=site.servers_of("pgbouncer", "postgresql"),
    )


def _notes(
    snapshot: Snapshot, wanted: int, ruled: tuple[PooledDatabase, ...], own: list[str]
) -> Iterator[str]:
    names = ", ".join(each.name for each in ruled)
    yield _("{setting} rules for: {names}").format(setting=_SETTING, names=names)
    if own:
        yield _("A size of their own keep: {names}").format(names=", ".join(own))
    text = _(
        "It lasts until a restart of PgBouncer or RELOAD; to keep it, write in {file} under [pgbouncer]: {setting} = {size}"
    )
    yield text.format(file=_path(snapshot), setting=_SETTING, size=wanted)
