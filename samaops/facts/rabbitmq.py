"""What is observed of RabbitMQ through its management API, and on its AMQP port."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from samaops.facts.portrait import Things
from samaops.facts.written import Written

SHOWN_QUEUES = 50


class BrokerNode(Struct, frozen=True):
    """One node of the broker. Sizes in bytes; limits are 0 when the node does not run."""

    name: str
    is_running: bool
    memory_used: int
    memory_limit: int
    memory_alarm: bool
    disk_free: int
    disk_free_limit: int
    disk_alarm: bool
    descriptors_used: int
    descriptors_total: int
    sockets_used: int
    sockets_total: int
    partitions: tuple[str, ...]
    uptime_seconds: int


class BrokerQueue(Struct, frozen=True):
    """One queue. Rates per second over the broker's last interval."""

    name: str
    state: str
    consumers: int
    ready: int
    unacknowledged: int
    bytes: int
    is_durable: bool
    is_transient: bool  # exclusive or deleted with its last consumer
    publish_rate: float
    deliver_rate: float
    ack_rate: float
    redeliver_rate: float
    head_timestamp: int | None
    limits: Mapping[str, int | str]  # arguments and policy that drop messages or the queue itself
    history: QueueHistory | None = None
    own_limits: tuple[str, ...] = ()  # those of its arguments: no policy takes them away
    policy: str = ""  # the name of the policy that holds for it
    operator_policy: str = ""
    limiting_policy: Policy | None = None  # that policy, when it limits the queue and could be read

    @property
    def messages(self) -> int:
        """Ready and unacknowledged together."""
        return self.ready + self.unacknowledged


class BrokerConnections(Struct, frozen=True):
    """How many connections there are, and which cannot publish."""

    total: int
    blocked: tuple[str, ...]  # tried to publish and were stopped
    blocking: tuple[str, ...]  # will be stopped at their next publish


class ExchangeLoss(Struct, frozen=True):
    """Messages that an exchange took in the last ten minutes and gave to no queue."""

    name: str
    published: int
    lost: int


class RabbitMQFacts(Struct, frozen=True):
    """One look at one broker. Parts that may be missing: nodes, queues, connections, exchanges."""

    version: str
    cluster: str
    vhost: str
    our_tags: tuple[str, ...]
    uses_default_password: bool
    guest_exists: bool | None  # None: our user may not see the users
    publish_rate: float
    deliver_rate: float
    ack_rate: float
    queue_count: int
    nodes: tuple[BrokerNode, ...] | None
    queues: tuple[BrokerQueue, ...] | None
    connections: BrokerConnections | None
    losses: tuple[ExchangeLoss, ...] | None
    configuration: Things | None = None

    def queue(self, name: str) -> BrokerQueue | None:
        """Return a queue by its name, None when there is no such queue."""
        return next((queue for queue in self.queues or () if queue.name == name), None)


class AmqpFacts(Struct, frozen=True):
    """How the broker introduced itself on the port that the applications use."""

    product: str
    version: str
    milliseconds: float


class QueueHistory(Struct, frozen=True):
    """Seconds are at-least values: what lasts longer than the window is given as the window."""

    window_seconds: int
    published: int  # in the window
    acknowledged: int
    waiting_seconds: int  # how long there have been ready messages without a break
    oldest_ready_seconds: int | None  # estimated from the publish counter; None when it is not known
    stuck_seconds: int  # how long messages were ready and unacknowledged while nothing was acknowledged
    redelivered: int = 0  # in the window; a message that comes back twice counts twice
    calm_seconds: int = 0  # since the last redelivery
    vanished: int = 0  # in the window: left the queue and reached nobody (dropped, expired or purged)


TEXT_CHARACTERS = 200


# The last one does not drop: it says where to what is dropped goes.
LIMITS = ("max-length", "max-length-bytes", "message-ttl", "expires", "overflow", "dead-letter-exchange")


class Policy(Struct, frozen=True):
    """One policy as it was declared. ``definition`` has what it sets, by its names."""

    name: str
    pattern: str
    apply_to: str
    priority: int
    definition: Mapping[str, int | str]


WINDOW_SECONDS = 600


class QueueFlow(Struct, frozen=True):
    """One queue: what waits now, and what passed in the window. ``delivered`` counts redeliveries too."""

    name: str
    ready: int
    unacknowledged: int
    consumers: int
    published: int
    delivered: int
    acknowledged: int
    redelivered: int


class RabbitMQProbe(Written, frozen=True):
    """A message that was published, confirmed, received, and went away with its queue."""
