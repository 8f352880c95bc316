"""What is observed of PgBouncer: its admin console, and what the application gets through a pool. Two connections a run."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import ClassVar

from msgspec import Struct

from samaops.facts.probing import Written

ON, OFF = ("yes", "on", "true", "y", "t"), ("no", "off", "false", "n", "f")


class PooledDatabase(Struct, frozen=True):
    """One database that PgBouncer offers; limits are None where it has none.

    ``min_pool_size`` is its own, or that of all; None where the version does not show it.
    """

    name: str
    host: str
    pool_size: int
    reserve_pool: int
    pool_mode: str | None
    max_connections: int | None
    current_connections: int
    is_paused: bool
    is_disabled: bool
    port: int | None = None
    real_name: str = ""
    forced_user: str = ""
    min_pool_size: int | None = None


class Pool(Struct, frozen=True):
    """The pool of one database and user. ``servers_busy`` work for a client, ``servers_free`` could."""

    database: str
    user: str
    clients_active: int
    clients_waiting: int
    servers_busy: int
    servers_free: int
    servers_login: int
    maxwait_seconds: float
    pool_mode: str | None

    @property
    def is_stuck(self) -> bool:
        """Whether its clients wait, and have waited a moment, while it has no connection that could serve them."""
        has_server = self.servers_busy or self.servers_free
        return bool(self.clients_waiting and not has_server and self.maxwait_seconds >= 1)


class PooledServer(Struct, frozen=True):
    """One connection to PostgreSQL, by its process there; ``is_closing`` is None where the version does not tell."""

    database: str
    user: str
    state: str
    pid: int
    is_closing: bool | None = None


class PoolFile(Struct, frozen=True):
    """PgBouncer's configuration file as RELOAD would read it; of ``databases`` all but passwords.

    ``faults`` says what it would refuse, with the line; ``includes`` are files that it reads too, and we did not.
    """

    path: str
    settings: Mapping[str, str]
    databases: Mapping[str, Mapping[str, str]]
    faults: tuple[str, ...] = ()
    includes: tuple[str, ...] = ()

    def settings_changed(self, seen: Console) -> dict[str, tuple[str, str]]:
        """Return the settings that it would change, each with the value now and then.

        What a file leaves out goes back to its default, unless another file that it includes says something.
        """
        defaults = {} if self.includes else seen.defaults or {}
        then = {**defaults, **self.settings}
        return {
            name: (value, then[name])
            for name, value in seen.settings.items()
            if name in then and not is_same(then[name], value)
        }

    def sizes_changed(self, seen: Console) -> dict[str, tuple[int, int]]:
        """Return the databases whose pools would have another size, each with the size now and then."""
        default = self.settings.get("default_pool_size", (seen.defaults or {}).get("default_pool_size", ""))
        sizes = {name: parts.get("pool_size", default) for name, parts in self.databases.items()}
        return {
            database.name: (database.pool_size, int(sizes[database.name]))
            for database in seen.databases
            if sizes.get(database.name, "").isdecimal() and int(sizes[database.name]) != database.pool_size
        }


class Traffic(Struct, frozen=True):
    """Means of the last stats_period."""

    database: str
    queries_per_second: int
    query_ms: float
    transaction_ms: float
    wait_ms: float


class Console(Struct, frozen=True):
    """What the admin console shows, without its own database.

    ``is_held`` tells whether all of it is paused (PAUSE without a name) or suspended; None before 1.19.
    ``changeable`` names the settings that need no restart, ``defaults`` those that have one; None where the version
    does not tell.
    """

    settings: dict[str, str]
    databases: tuple[PooledDatabase, ...]
    pools: tuple[Pool, ...]
    traffic: tuple[Traffic, ...]
    clients: int
    is_held: bool | None = None
    changeable: tuple[str, ...] | None = None
    defaults: Mapping[str, str] | None = None

    def database(self, name: str) -> PooledDatabase | None:
        """Return a database by its name."""
        return next((database for database in self.databases if database.name == name), None)

    def most_of(self, database: PooledDatabase) -> int:
        """Return how many connections the pools of a database may open: one pool per user seen, at least one."""
        users = max(1, len({pool.user for pool in self.pools if pool.database == database.name}))
        most = users * (database.pool_size + database.reserve_pool)
        return min(most, database.max_connections) if database.max_connections else most

    @property
    def stuck(self) -> tuple[Pool, ...]:
        """The pools whose clients wait while they have no connection at all."""
        return tuple(pool for pool in self.pools if pool.is_stuck)

    @property
    def opens_nothing(self) -> bool:
        """Whether clients wait of what is not paused by name, and no pool has a connection, or opens one: as when all is paused."""
        has_servers = any(pool.servers_login or pool.servers_busy or pool.servers_free for pool in self.pools)
        paused = {database.name for database in self.databases if database.is_paused}
        return any(pool.database not in paused for pool in self.stuck) and not has_servers

    @property
    def seems_held(self) -> bool:
        """Whether all of it is paused; before 1.19, which shows that nowhere, whether it looks so."""
        return self.opens_nothing if self.is_held is None else self.is_held


def is_same(wanted: str, actual: str) -> bool:
    """Return whether two ways to write a value of a setting mean the same."""
    return _plain(wanted) == _plain(actual)


def _plain(text: str) -> str:
    value = text.strip().lower()
    if value in (*ON, *OFF):
        return "1" if value in ON else "0"
    if re.fullmatch("0[0-7]+", value):  # a mode, which is shown as a decimal number
        return str(int(value, 8))
    try:
        return f"{float(value):g}"
    except ValueError:
        return " ".join(value.replace(",", " ").split())


class Sequence(Struct, frozen=True):
    """How far a sequence is towards ``last``: its own end, or the last number of the column that it fills."""

    name: str
    of_column: str
    value: int
    last: int
    percent: float


class PooledSession(Struct, frozen=True):
    """The session of PostgreSQL that the application gets: whose and where it is, whether it may write.

    ``led_past`` are the schemas with tables when search_path leads to none of these.
    """

    user: str
    database: str
    server_started_at: float
    in_recovery: bool
    is_read_only: bool
    search_path: str
    led_past: tuple[str, ...] = ()


class PooledQuery(Struct, frozen=True):
    """How long ``SELECT 1`` took through the pool, or the pool's own words why there was none.

    ``sequences`` are the nearest to their end of those that were asked; ``sequences_not_asked`` counts the others.
    """

    milliseconds: float | None
    error: str = ""
    kind: str = ""
    stage: str = ""
    session: PooledSession | None = None
    sequences: tuple[Sequence, ...] | None = None
    sequences_not_asked: int = 0


class PgBouncerFacts(Struct, frozen=True):
    """One look at one PgBouncer: ``looked_through`` is "console", or "pool" where the console did not let us in.

    ``query`` is None where the application's password is not configured, and in looks saved before both were taken.
    What only a change needs to know: ``servers`` are its connections to PostgreSQL, ``file`` its configuration file, and
    ``guard`` says why no watchdog could resume a database from its server; "" where one can.
    """

    # Absent without a reason where nobody asked for them.
    MAY_BE_UNASKED: ClassVar[tuple[str, ...]] = ("servers", "file", "guard")

    looked_through: str
    version: str | None
    console: Console | None = None
    query: PooledQuery | None = None
    servers: tuple[PooledServer, ...] | None = None
    file: PoolFile | None = None
    guard: str | None = None


class PgBouncerProbe(Written, frozen=True):
    """A row that was written through the pool, as the application, and rolled back."""
