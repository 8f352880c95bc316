"""What is observed of the Celery workers, without a word to them: no ``inspect``, nothing on the broker.

A worker consumes its own control queue (``worker1@host.celery.pidbox``) and its task queues over the same
connection to RabbitMQ: so the broker itself knows which node consumes what. Flower adds the tasks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec import Struct

ACTIVE_TASKS = 50


def total(counts: Iterable[int | None]) -> int | None:
    """Return the sum of some counts; None where one of them is not known."""
    known = list(counts)
    return None if None in known else sum(filter(None, known))


class CeleryNode(Struct, frozen=True):
    """One connected worker. ``capacity`` is how many messages it may hold, 0 for no limit.

    How many it holds and may hold is None where the broker tells nothing of its channels.
    """

    name: str
    address: str
    queues: tuple[str, ...]
    unacknowledged: int | None
    capacity: int | None

    @property
    def key(self) -> str:
        """The part of the name before the @: the key of ``[celery.workers]``."""
        return self.name.partition("@")[0]


class OtherConsumer(Struct, frozen=True):
    """Who consumes a task queue without being a Celery worker that we recognise."""

    queue: str
    address: str


class ReplyQueue(Struct, frozen=True):
    """A queue for answers to control commands; its messages are answers nobody fetched."""

    name: str
    messages: int
    consumers: int


class ActiveTask(Struct, frozen=True):
    """A task that was started and has not ended. ``worker_active`` is the worker's own last count, if heard."""

    id: str
    name: str
    worker: str
    arguments: str
    runtime_seconds: float
    worker_active: int | None


class FailingReason(Struct, frozen=True):
    """One exception of failing tasks.

    ``of`` is how many tasks have ended from its first to its last, ``succeeded_since`` how many were well afterwards.
    """

    exception: str
    count: int
    of: int
    succeeded_since: int


class RecentTasks(Struct, frozen=True):
    """How the last tasks ended, newest first in ``outcomes`` (True: well)."""

    outcomes: tuple[bool, ...]
    exception: str  # the most frequent one
    exception_count: int
    failing_names: Mapping[str, int]
    window_seconds: int
    exception_of: int = 0  # how many failures it is the most frequent of: those since tasks last went well
    reasons: tuple[FailingReason, ...] = ()  # each kind of those failures, the most frequent first


class CeleryFacts(Struct, frozen=True):
    """One look at all workers. Parts that may be missing: ``replies``, ``tasks``."""

    nodes: tuple[CeleryNode, ...]
    others: tuple[OtherConsumer, ...]
    replies: tuple[ReplyQueue, ...] | None
    active: tuple[ActiveTask, ...] | None
    recent: RecentTasks | None

    def without_control(self, queues: Iterable[str]) -> tuple[str, ...]:
        """Return the addresses of those without a control queue that consume these queues; empty unless all are.

        A worker with ``worker_enable_remote_control`` off is one; so is any program that takes messages.
        """
        wanted = set(queues)
        consumers = [consumer for consumer in self.others if consumer.queue in wanted]
        if not wanted or {consumer.queue for consumer in consumers} != wanted:
            return ()
        return tuple(sorted({consumer.address for consumer in consumers}))
