"""Which incidents can be live and seen at the same time, and in which order they must be caused.

Two cannot when they change the same part, or when one hides what the other is caused or seen by: on a server that is
gone nobody sees a second fault. Each incident says so of itself; a pair follows from its two.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

from msgspec import Struct

from samaops.lab.incidents import running
from samaops.lab.incidents.incident import Incident


class Place(Struct, frozen=True):
    """What an incident changes, what it hides from everybody, and what it is caused and seen by.

    ``stops`` is what it hides only from those that come after it: who is to be caused by notifications comes before
    the broker takes none. What fails to be sent counts the tasks of its own, so it comes first.
    """

    changes: tuple[str, ...]
    hides: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    stops: tuple[str, ...] = ()
    uses: tuple[str, ...] = ()


_CONTAINERS_OF_WORKERS = ("worker1", "worker2", "redis", "flower", "docker of workers")
_TASKS = ("broker", "worker1", "flower", "queries", "results")
_MEMBER = Place(("api_1",))
_WORKER = Place(("worker2",), needs=("broker", "publishing"), uses=("queries",))
# Nobody publishes any more, and the workers' heartbeats do not come.
_SILENT = ("publishing over minutes", "heartbeats")
_ALARM = Place(("broker", "disk alarm"), hides=_SILENT, stops=("publishing", "sending"))
_PROXY = Place(("way out",), stops=("sending",))
# FCM and Google's token host answer one thing at a time, and behind a proxy that refuses they are not asked.
_GOOGLE = Place(("way out",), needs=_TASKS, uses=("sending", "publishing"))
_NO_DATABASE = Place(("postgresql",), hides=("database",), stops=("queries", "publishing", "sending"))
_NO_RESULTS = Place(("redis",), hides=("results",), stops=("sending",))

PLACES = {
    "bucket-emptied": Place(("objects",), needs=("storage",)),
    "api-container-stopped": _MEMBER,
    "api-container-oom-killed": _MEMBER,
    "api-hung": _MEMBER,
    # What is told apart by the other member's release, environment, answers needs that member, and its server.
    "member-taken-out": Place(("balancer",), needs=("api_1",)),
    "bad-release-on-one-member": Place(("api_1", "releases"), needs=("worker1",), uses=("queries",)),
    # Errors of one member are taken for those of a broker or a cache that is gone, which all members need.
    "api-answers-errors": Place(("api_1",), needs=("broker", "results")),
    "api-port-taken": _MEMBER,
    "environment-differs": Place(("api_1",), needs=("database", "pool")),
    "pgbouncer-disabled": Place(("pool",), hides=("publishing over minutes",), stops=("queries", "publishing", "sending")),
    "pgbouncer-paused": Place(("pool",), hides=("publishing over minutes",), stops=("queries", "publishing", "sending")),
    "pgbouncer-login-refused": Place(
        ("pool", "postgresql"), hides=("publishing over minutes",), stops=("queries", "publishing", "sending")
    ),
    "server-down": Place(
        ("server workers", "disk of workers", *_CONTAINERS_OF_WORKERS),
        hides=("flower", "results", "worker1"),
        stops=("publishing", "sending"),
    ),
    # Which release runs, and what is kept of the others, is read from the engines of both servers.
    "rollback-impossible": Place(("releases",), needs=("worker1",)),
    "docker-down": Place(
        ("server workers", *_CONTAINERS_OF_WORKERS),
        hides=("flower", "results", "worker1"),
        stops=("publishing", "sending"),
    ),
    "queue-without-consumer": _WORKER,
    "worker-not-consuming": _WORKER,
    "worker-frozen": Place(("worker2",), needs=("broker", "flower", "heartbeats"), uses=("publishing",)),
    "worker-hung": Place(("worker2",), needs=("broker", "flower"), uses=("publishing",)),
    "worker-container-stopped": Place(("worker2",), uses=("publishing",)),
    "broker-stopped": Place(
        ("broker",), hides=("broker", "publishing over minutes"), stops=("publishing", "sending")
    ),
    "broker-memory-alarm": Place(("broker",), hides=_SILENT, stops=("publishing", "sending")),
    "broker-disk-alarm": _ALARM,
    "messages-dropped": Place(("policy",), needs=("broker",), uses=("publishing", "sending")),
    "nothing-published": Place(
        ("source",), needs=("database", "publishing over minutes", "queries"), stops=("sending",)
    ),
    **dict.fromkeys(
        ("proxy-down", "proxy-requires-password", "proxy-blocks-host", "google-host-unreachable",
         "proxy-intercepts-tls"),
        _PROXY,
    ),
    **dict.fromkeys(
        ("fcm-quota", "fcm-unavailable", "sender-id-mismatch", "apns-key", "wrong-service-account-key",
         "clock-skew", "dead-tokens"),
        _GOOGLE,
    ),
    "poison-message": Place(("worker2",), needs=("broker",), uses=("publishing",)),
    "task-unregistered": Place(("unknown task",), needs=_TASKS, uses=("publishing",)),
    "postgresql-stopped": _NO_DATABASE,
    "database-renamed": _NO_DATABASE,
    "lock-chain": Place(("locks",), needs=("database",), stops=("sending",)),
    "postgresql-connections-exhausted": Place(("postgresql",), hides=("database",)),
    # Where a lock is seen, the pool is not called too small; and without autovacuum nothing is analysed.
    "pool-too-small": Place(("pool", "locks"), needs=("database",), stops=("queries", "publishing", "sending")),
    "ddl-behind-long-read": Place(("locks",), needs=("database",), stops=("queries",)),
    "idle-in-transaction": Place(("notifications table",), needs=("database",)),
    "application-holds-transactions": Place(("pool",), needs=("database",), stops=("queries", "publishing", "sending")),
    **dict.fromkeys(("query-storm", "index-dropped"), Place(("pool",), needs=("database",))),
    "statistics-stale": Place(("autovacuum",), needs=("database",)),
    "autovacuum-off": Place(("autovacuum",), needs=("database",)),
    "connections-bypass-pool": Place(("postgresql",), needs=("database",)),
    "checkpoints-requested": Place(("checkpoints",), needs=("database",)),
    "disk-filled": Place(("disk of api", "disk alarm"), hides=_SILENT, stops=("publishing", "sending")),
    **dict.fromkeys(
        ("deleted-open-file", "application-log-grown",
         "docker-volume-filled", "images-filled", "redis-save-left", "core-dumps"),
        Place(("disk of workers",)),
    ),
    # Whose log it is, the engine tells; and a disk without inodes is why an engine or Redis stops.
    "container-log-grown": Place(("disk of workers", "docker of workers")),
    "inodes-exhausted": Place(("disk of workers", "docker of workers", "redis")),
    **dict.fromkeys(
        ("wal-kept-by-setting", "query-temporary-files", "database-grown"),
        Place(("disk of db",), needs=("database",)),
    ),
    **dict.fromkeys(("backups-not-expired", "uploads-unfinished"), Place(("disk of db",))),
    "inactive-replication-slot": Place(("disk of db",), needs=("database",)),
    "redis-maxmemory-noeviction": _NO_RESULTS,
    "redis-results-without-ttl": Place(("redis",), stops=("sending",)),
    "redis-stopped": _NO_RESULTS,
    "redis-refusing-writes": _NO_RESULTS,
    "redis-control-replies": Place(("redis",), stops=("sending",)),
    "redis-big-key": Place(("redis",), stops=("sending",)),
    "redis-broker-backlog": Place(("redis",), stops=("sending",)),
    "redis-cache-without-ttl": Place(("redis",), stops=("sending",)),
    "redis-policy-random": Place(("redis",), stops=("sending",)),
    "redis-without-limit": Place(("redis",)),
    "redis-fragmented": Place(("redis",)),
}  # fmt: skip


class Pair(Struct, frozen=True):
    """Two incidents in the order in which they are caused; ``reason`` says why they cannot be live together."""

    first: Incident
    second: Incident
    reason: str = ""

    @property
    def name(self) -> str:
        return f"{self.first.id}+{self.second.id}"


def pairs() -> Iterator[Pair]:
    """Yield every pair of incidents."""
    for one, other in combinations(running.INCIDENTS, 2):
        yield pair(one, other)


def possible() -> tuple[Pair, ...]:
    """Return the pairs that can be live together."""
    return tuple(each for each in pairs() if not each.reason)


def pair(one: Incident, other: Incident) -> Pair:
    """Return two incidents in an order in which both can be caused, or why there is none."""
    for incident in (one, other):
        if incident.id not in PLACES:
            raise LookupError(f"{incident.id} has no line in PLACES: what it changes, hides and needs")
    first, second = PLACES[one.id], PLACES[other.id]
    if same := _common(first.changes, second.changes):
        return Pair(one, other, f"both change: {same}")
    for hiding, hidden, name in ((first, second, one.id), (second, first, other.id)):
        if lost := _common(hiding.hides, hidden.needs):
            return Pair(one, other, f"{name} hides: {lost}")
    if not _common(first.stops, _used(second)):
        return Pair(one, other)
    if not _common(second.stops, _used(first)):
        return Pair(other, one)
    return Pair(one, other, "each stops what the other is caused by")


def _used(place: Place) -> tuple[str, ...]:
    return (*place.uses, *place.needs)


def _common(some: tuple[str, ...], others: tuple[str, ...]) -> str:
    return ", ".join(name for name in some if name in others)
