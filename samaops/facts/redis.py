"""What is observed of Redis: ``INFO``, the largest client buffers, and a bounded sample of its keys."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import ClassVar

from msgspec import Struct

from samaops.facts.portrait import Things
from samaops.facts.probing import Written


class RedisMemory(Struct, frozen=True):
    """Sizes in bytes. ``counted`` is what Redis holds against ``maximum`` (0: no limit).

    ``fragmented`` lies between what is used, where only moving the data or a restart frees it; ``purgeable`` the allocator
    keeps and would give back (MEMORY PURGE). None where the allocator does not tell.
    """

    used: int
    counted: int
    resident: int
    maximum: int
    policy: str
    system_total: int
    fragmentation_ratio: float
    fragmented: int | None = None
    purgeable: int | None = None

    @property
    def used_percent(self) -> float | None:
        """How full it is, None without a limit."""
        return round(100 * self.counted / self.maximum, 1) if self.maximum else None


class RedisTraffic(Struct, frozen=True):
    """Counters since the server started; ``evicted_per_second`` is measured now, None when nothing ever was.

    ``stale_percent`` of the keys with an expiry are estimated to be over and not yet removed; None where it is not told.
    """

    hits: int
    misses: int
    evicted: int
    evicted_per_second: float | None
    refused_writes: Mapping[str, int]  # OOM and MISCONF answers since the start
    stale_percent: float | None = None


class RedisConnections(Struct, frozen=True):
    """Who is connected; ``rejected`` counts since the start."""

    connected: int
    maximum: int
    blocked: int
    rejected: int


class RedisPersistence(Struct, frozen=True):
    """How saving to disk goes. ``save_points`` and ``stops_writes`` are None when CONFIG is not allowed."""

    bgsave_ok: bool
    seconds_since_save: int
    changes_since_save: int
    aof_enabled: bool
    aof_write_ok: bool
    aof_rewrite_ok: bool
    fork_microseconds: int
    copy_on_write_bytes: int
    save_points: str | None
    stops_writes: bool | None


class DeniedCommand(Struct, frozen=True):
    """A line of ``ACL LOG``: what a user was refused, how often, and how long ago for the last time."""

    user: str
    reason: str  # command, key, channel, auth
    what: str
    count: int
    age_seconds: float


class RedisWriting(Struct, frozen=True):
    """What decides whether Redis takes a write, beside its memory and its disk.

    ``is_read_only`` and ``primary`` are of a replica. ``replicas_good`` is None unless a number of replicas is asked
    for; ``replicas_needed`` is that number, None too where one is asked for and CONFIG is not allowed. ``is_held`` tells whether writes wait
    for the end of a CLIENT PAUSE. ``cluster_state`` is empty outside a cluster. ``refusal`` is why the user
    ``default`` may not write; None where that could not be asked (before Redis 7, or not allowed).
    """

    role: str
    is_read_only: bool | None = None
    primary: str = ""
    replicas_needed: int | None = None
    replicas_good: int | None = None
    is_held: bool | None = None
    held_reason: str = ""
    cluster_state: str = ""
    refusal: str | None = None


class ClientBuffer(Struct, frozen=True):
    """The client with the largest buffers, and the sum of all."""

    address: str
    name: str
    command: str
    largest_bytes: int
    total_bytes: int
    clients: int


class KeyGroup(Struct, frozen=True):
    """The sampled keys that share a prefix."""

    prefix: str
    keys: int
    no_expiry: int
    bytes: int
    no_expiry_bytes: int


class KeySample(Struct, frozen=True):
    """Some keys of the configured database. ``groups`` by bytes, largest first; the rest is ``(other)``."""

    database_keys: int
    sampled: int
    no_expiry: int
    bytes: int
    no_expiry_bytes: int
    groups: tuple[KeyGroup, ...]
    largest_key: str
    largest_bytes: int

    @property
    def is_complete(self) -> bool:
        """Whether (nearly) every key was seen, so that what was not found is not there."""
        return self.sampled >= 0.95 * self.database_keys

    @property
    def estimated_bytes(self) -> int:
        """What all keys would take if they were like the sampled ones."""
        return round(self.bytes * self.database_keys / self.sampled) if self.sampled else 0


class WaitingTasks(Struct, frozen=True):
    """A queue of a Celery broker in Redis, or the tasks that it has delivered (``unacked``), and how many wait there."""

    key: str
    count: int


class RedisClientSeen(Struct, frozen=True):
    """One connection, by its id. ``flags`` are those of CLIENT LIST: N for an ordinary client."""

    id: int
    address: str
    name: str
    flags: str
    idle_seconds: int
    command: str
    is_ours: bool = False


class KeysOf(Struct, frozen=True):
    """What was seen of the keys that a pattern takes, in a bounded look at all ``scanned`` names.

    ``bytes`` and ``no_expiry`` are of the ``sampled`` ones; ``largest_bytes`` too. Not ``is_complete``: there may be more.
    """

    pattern: str
    scanned: int
    matched: int
    sampled: int
    no_expiry: int
    bytes: int
    largest_bytes: int
    is_complete: bool

    @property
    def estimated_bytes(self) -> int:
        """What all that were matched would take if they were like the sampled ones."""
        return round(self.bytes * self.matched / self.sampled) if self.sampled else 0


RESULTS, REPLIES, BROKER, SESSIONS = "results", "replies", "broker", "sessions"
RESULT_PREFIX, REPLY_ENDING = "celery-task-meta-", ".reply.celery.pidbox"
# What kombu keeps in Redis where Redis is Celery's broker; its queues are lists of their own names.
_OF_BROKER = ("unacked", "_kombu.binding.")


def owner_of(prefix: str, queues: Collection[str] = ()) -> str:
    """Return whose the keys of a prefix are, as far as their names tell; empty: the application's, as a rule."""
    if prefix.startswith(("celery-task-meta", "celery-taskset-meta")):
        return RESULTS
    if prefix.endswith(REPLY_ENDING):
        return REPLIES
    # kombu puts a priority behind the name of a queue, after two control characters
    name = prefix.partition("\x06")[0]
    if prefix.startswith(_OF_BROKER) or name == "celery" or name in queues:
        return BROKER
    return SESSIONS if "session" in prefix.lower() else ""


class RedisFacts(Struct, frozen=True):
    """One look at one Redis. Parts that may be missing: ``client_list``, ``keys``, ``writing``,
    ``replicas``, ``held``, ``denied``, ``backlog``. ``clients`` and ``chosen`` are read for changes alone.
    """

    # Absent without a reason where nobody asked for them, and in looks of an earlier samaops: their checks say so.
    MAY_BE_UNASKED: ClassVar[tuple[str, ...]] = ("backlog", "denied", "writing")
    version: str
    uptime_seconds: int
    ping_ms: float
    container: str | None
    memory: RedisMemory
    traffic: RedisTraffic
    connections: RedisConnections
    persistence: RedisPersistence
    keys: int
    keys_with_expiry: int
    largest_buffer: ClientBuffer | None
    sample: KeySample | None
    configuration: Things | None = None
    writing: RedisWriting | None = None
    denied: tuple[DeniedCommand, ...] | None = None
    backlog: tuple[WaitingTasks, ...] | None = None
    clients: tuple[RedisClientSeen, ...] | None = None
    chosen: KeysOf | None = None


class RedisProbe(Written, frozen=True):
    """A key that was set, read and deleted."""
