"""What is observed of PgBouncer: its admin console, and what the application gets through a pool. Two connections a run."""

from __future__ import annotations

from msgspec import Struct

from samaops.facts.written import Written


class PooledDatabase(Struct, frozen=True):
    """One database that PgBouncer offers; limits are None where it has none."""

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
    """

    settings: dict[str, str]
    databases: tuple[PooledDatabase, ...]
    pools: tuple[Pool, ...]
    traffic: tuple[Traffic, ...]
    clients: int
    is_held: bool | None = None


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
    """How long ``SELECT 1`` took through the pool, or the pool's own words why there was none."""

    milliseconds: float | None
    error: str = ""
    kind: str = ""
    stage: str = ""
    session: PooledSession | None = None
    sequences: tuple[Sequence, ...] | None = None


class PgBouncerFacts(Struct, frozen=True):
    """One look at one PgBouncer: ``looked_through`` is "console", or "pool" where the console did not let us in.

    ``query`` is None where the application's password is not configured, and in looks saved before both were taken.
    """

    looked_through: str
    version: str | None
    console: Console | None = None
    query: PooledQuery | None = None


class PgBouncerProbe(Written, frozen=True):
    """A row that was written through the pool, as the application, and rolled back."""
