"""What is observed of PgBouncer: its admin console, or one query through a pool. One connection a run."""

from __future__ import annotations

from msgspec import Struct


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
    database: str | None = None
    user: str | None = None


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


class PooledQuery(Struct, frozen=True):
    """How long ``SELECT 1`` took through the pool, or the pool's own words why there was none."""

    milliseconds: float | None
    error: str = ""
    kind: str = ""
    stage: str = ""


class PgBouncerFacts(Struct, frozen=True):
    """One look at one PgBouncer: ``looked_through`` is "console" or "pool"; the other part is None."""

    looked_through: str
    version: str | None
    console: Console | None = None
    query: PooledQuery | None = None
