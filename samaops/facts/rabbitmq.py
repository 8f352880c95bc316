"""What is observed of RabbitMQ through its management API, and on its AMQP port."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from msgspec import Struct

from samaops.facts.portrait import Things
from samaops.facts.probing import Written

SHOWN_QUEUES = 50


class BrokerNode(Struct, frozen=True):
    """One node of the broker, sizes in bytes.

    None is what the broker does not tell: a node that does not run tells nothing, one whose statistics are switched
    off or whose monitor has died not all.
    """

    name: str
    is_running: bool | None
    memory_used: int | None
    memory_limit: int | None
    memory_alarm: bool | None
    disk_free: int | None
    disk_free_limit: int | None
    disk_alarm: bool | None
    descriptors_used: int | None
    descriptors_total: int | None
    sockets_used: int | None
    sockets_total: int | None
    partitions: tuple[str, ...] | None
    uptime_seconds: int | None
    processes_used: int | None = None
    processes_total: int | None = None
    is_drained: bool | None = None  # in maintenance: it takes no new connection


class Count(Struct, frozen=True):
    """What the broker itself counts of a queue at this moment; its management API shows it up to five seconds later."""

    ready: int
    consumers: int


class BrokerQueue(Struct, frozen=True):
    """One queue. Rates per second over the broker's last interval; None is what the broker does not count."""

    name: str
    state: str
    consumers: int | None
    ready: int | None
    unacknowledged: int | None
    bytes: int | None
    is_durable: bool | None
    is_transient: bool | None  # exclusive or deleted with its last consumer
    publish_rate: float | None
    deliver_rate: float | None
    ack_rate: float | None
    redeliver_rate: float | None
    head_timestamp: int | None
    # arguments and policy that drop messages or the queue itself; None where the broker shows neither
    limits: Mapping[str, int | str] | None
    history: QueueHistory | None = None
    own_limits: tuple[str, ...] = ()  # those of its arguments: no policy takes them away
    policy: str = ""  # the name of the policy that holds for it
    operator_policy: str = ""
    limiting_policy: Policy | None = None  # that policy, when it limits the queue and could be read
    counted: Count | None = None  # None where it was not asked for, or could not be counted

    @property
    def messages(self) -> int | None:
        """Ready and unacknowledged together; None where the broker counts neither."""
        if self.ready is None or self.unacknowledged is None:
            return None
        return self.ready + self.unacknowledged


class BrokerConnections(Struct, frozen=True):
    """How many connections there are, and which cannot publish."""

    total: int
    blocked: tuple[str, ...]  # tried to publish and were stopped
    blocking: tuple[str, ...]  # will be stopped at their next publish
    stateless: int = 0  # of how many the broker does not say whether they are
    users: tuple[str, ...] = ()  # of the applications, on our virtual host


class ExchangeLoss(Struct, frozen=True):
    """Messages that an exchange took in the last ten minutes and gave to no queue."""

    name: str
    published: int
    lost: int


class Limit(Struct, frozen=True):
    """A limit of a virtual host or a user, such as ``max-connections``, and how much of it is used, None: not known."""

    kind: str  # "vhost" or "user"
    name: str
    what: str
    limit: int
    used: int | None


class Rights(Struct, frozen=True):
    """What a user may do on our virtual host: a pattern each, of names of queues and exchanges."""

    user: str
    configure: str
    write: str
    read: str


class Exchange(Struct, frozen=True):
    """An exchange that an application may publish to. ``published`` since the broker started, None: not counted.

    ``queues`` are those bound to it, directly or through other exchanges.
    """

    name: str
    type: str
    published: int | None
    queues: tuple[str, ...]


class Routing(Struct, frozen=True):
    """The exchanges of our virtual host, without those of the broker and of Celery's own talk, and who may use them.

    ``rights`` are None where our user may not list them.
    """

    exchanges: tuple[Exchange, ...]
    rights: tuple[Rights, ...] | None


class RabbitMQFacts(Struct, frozen=True):
    """One look at one broker. Parts that may be missing: nodes, queues, connections, exchanges, vhost, limits, routing,
    users."""

    # Absent without a reason where nobody asked for them, and in looks of an earlier samaops: their checks say so.
    MAY_BE_UNASKED: ClassVar[tuple[str, ...]] = ("limits", "routing")
    version: str
    cluster: str
    vhost: str
    our_tags: tuple[str, ...]
    uses_default_password: bool
    guest_exists: bool | None  # None: our user may not see the users
    publish_rate: float | None
    deliver_rate: float | None
    ack_rate: float | None
    queue_count: int | None
    nodes: tuple[BrokerNode, ...] | None
    queues: tuple[BrokerQueue, ...] | None
    connections: BrokerConnections | None
    losses: tuple[ExchangeLoss, ...] | None
    keeps_statistics: bool = True  # management.disable_stats leaves nearly all numbers out
    vhost_states: Mapping[str, str] | None = None  # node -> whether our virtual host runs there, in its words
    limits: tuple[Limit, ...] | None = None
    routing: Routing | None = None
    configuration: Things | None = None
    uncounted: str = ""  # why the queues could not be counted

    def queue(self, name: str) -> BrokerQueue | None:
        """Return a queue by its name, None when there is no such queue."""
        return next((queue for queue in self.queues or () if queue.name == name), None)


class Refusal(Struct, frozen=True):
    """How the broker refused a user of its AMQP port: at which step, by its own code and words."""

    stage: str
    code: int
    message: str


class AmqpFacts(Struct, frozen=True):
    """How the broker introduced itself on the port that the applications use, and whether it let our user in.

    ``stage`` is how far our user came: "channel" is the way of every client, "" when nobody tried.
    """

    product: str
    version: str
    milliseconds: float
    stage: str = ""
    refusal: Refusal | None = None


class QueueHistory(Struct, frozen=True):
    """Seconds are at-least values: what lasts longer than the window is given as the window."""

    window_seconds: int
    published: int  # in the window
    acknowledged: int
    waiting_seconds: int  # how long there have been ready messages without a break
    oldest_ready_seconds: int | None  # estimated from the publish counter; None when it is not known
    stuck_seconds: int  # how long messages were ready and unacknowledged while nothing was acknowledged
    redelivered: int | None = 0  # in the window, a message that comes back twice twice; None: not counted
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
    """One queue: what waits now, and what passed in the window; None is what the broker does not count.

    ``delivered`` counts redeliveries too.
    """

    name: str
    ready: int | None
    unacknowledged: int | None
    consumers: int | None
    published: int | None
    delivered: int | None
    acknowledged: int | None
    redelivered: int | None


class RabbitMQProbe(Written, frozen=True):
    """A message that was published, confirmed, received, and went away with its queue."""
