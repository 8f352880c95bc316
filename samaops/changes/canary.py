"""Publish one canary: the plan, and the reasons for which none is published.

It goes only where somebody takes it: one that nobody takes would lie among customers' notifications until its turn.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct
from msgspec.structs import asdict

from samaops.changes.rabbitmq.broker import count_in
from samaops.changes.readings import UnreadableError, facts_in, known, reading
from samaops.changes.verbs import verb
from samaops.config import consistency
from samaops.config.settings import RabbitMQ
from samaops.errors import UnavailableError, UsageError
from samaops.facts.observation import Snapshot
from samaops.facts.rabbitmq import BrokerNode, RabbitMQFacts
from samaops.i18n import _
from samaops.model.plan import Condition, Operation, Plan, Risk, Scalar, Step
from samaops.site.site import Site

NAME = "troubleshoot notifications --canary"
_QUEUE = ("rabbitmq.queue",)
_ALARM = ("rabbitmq.alarm",)
USUAL_QUEUE = "normal"
PUBLISH = "canary.publish"
PUBLISH_SECONDS = 35.0
# Its only argument: nothing of it is a customer's.
MARK = "samaops-canary-{task_id}"


class Canary(Struct, frozen=True):
    """One canary: where it goes, the task that gets it, its id, and after how long the broker drops it."""

    queue: str
    task: str
    task_id: str
    lifetime_ms: int


class Obstacle(Struct, frozen=True):
    """Why a canary would not get through: the hop at which, and why in a sentence."""

    hop: str
    text: str


@reading("canary.has_consumers", codes=_QUEUE)
def has_consumers(snapshot: Snapshot, queue: str) -> Scalar:
    """Return whether somebody consumes a queue."""
    return _consumers(snapshot, queue) > 0


@reading("canary.takes_messages", codes=_ALARM)
def takes_messages(snapshot: Snapshot) -> Scalar:
    """Return whether the broker takes messages: no node has an alarm."""
    alarms = [alarm for node in _nodes(snapshot) for alarm in (node.memory_alarm, node.disk_alarm)]
    return not any(alarms) and all(
        known(alarm, _("whether a node has an alarm")) is False for alarm in alarms
    )


def _consumers(snapshot: Snapshot, queue: str) -> int:
    facts = facts_in(snapshot, RabbitMQFacts)
    if facts.queues is None:
        raise UnreadableError(_("the broker's queues could not be read"))
    seen = facts.queue(queue)
    return count_in(snapshot, seen).consumers if seen else 0


def _nodes(snapshot: Snapshot) -> tuple[BrokerNode, ...]:
    return facts_in(snapshot, RabbitMQFacts).nodes or ()  # only a monitoring user may see them


def queue_of(site: Site, queue: str | None) -> str:
    """Return the queue of a canary. Raises UsageError when there is none of this name."""
    known = _broker(site).queues
    if queue is not None and queue not in known:
        text = _("The configuration knows no queue {queue!r}")
        raise UsageError(text.format(queue=queue), hint=consistency.not_one_of(queue, known))
    return queue or (USUAL_QUEUE if USUAL_QUEUE in known else next(iter(known)))


def task_of(site: Site) -> str:
    """Return the application's own task for canaries. Raises UsageError when the site names none."""
    task = site.settings.celery.canary_task if site.settings.celery else None
    if task is None:
        text = _(
            "[celery] canary_task is not set: a canary needs a task of the application that validates and does not"
            " send; no other task is ever used"
        )
        raise UsageError(text, hint=_("docs/troubleshooting.md describes this task, in ten lines"))
    return task


def _broker(site: Site) -> RabbitMQ:
    if site.settings.rabbitmq is None or not site.settings.rabbitmq.queues:
        raise UsageError(_("[rabbitmq] is not configured"), hint="samaops config show")
    return site.settings.rabbitmq


def _looks(site: Site, queue: str, *_rest: str) -> tuple[str, ...]:
    queue_of(site, queue)
    task_of(site)
    if site.settings.redis is None:
        text = _("[redis] is not configured: what the task reports is read there")
        raise UsageError(text, hint="samaops config show")
    return (*_QUEUE, *_ALARM)


def obstacle(snapshot: Snapshot, queue: str) -> Obstacle | None:
    """Return what already says that a canary would not get through. Raises UnavailableError when that is not known."""
    try:
        return next(_obstacles(snapshot, queue), None)
    except UnreadableError as error:
        raise UnavailableError(_("Could not look at the broker: {reason}").format(reason=error)) from error


def _obstacles(snapshot: Snapshot, queue: str) -> Iterator[Obstacle]:
    for node in _nodes(snapshot):
        kind = _("memory") if node.memory_alarm else _("disk")
        if node.memory_alarm or node.disk_alarm:
            text = _("RabbitMQ takes no message: {node} has its {kind} alarm").format(
                node=node.name, kind=kind
            )
            yield Obstacle("published", text)
    if not _consumers(snapshot, queue):
        facts = facts_in(snapshot, RabbitMQFacts).queue(queue)
        if facts is None:
            yield Obstacle("ready", _("the broker has no queue {queue}").format(queue=queue))
        else:
            yield Obstacle("ready", _("nobody consumes {queue}").format(queue=queue))


@verb(NAME, looks=_looks)
def plan(snapshot: Snapshot, site: Site, queue: str, task_id: str, seconds: str) -> Plan:
    """Plan that one canary is published: to a queue, under an id, to be dropped after so many seconds."""
    title = _("Publish one canary to {queue}: FCM validates it and sends nothing").format(queue=queue)
    consumed = _("somebody consumes {queue}").format(queue=queue)
    calm = _("no node of the broker has an alarm")
    needs = [Condition("canary.has_consumers", (queue,), True, consumed)]
    if _nodes(snapshot):
        needs.append(Condition("canary.takes_messages", (), True, calm))
    canary = Canary(queue, task_of(site), task_id, max(1000, round(float(seconds) * 1000)))
    step = Step(
        id="canary.publish",
        title=title,
        risk=Risk.SAFE,
        operation=Operation(PUBLISH, asdict(canary), timeout_seconds=PUBLISH_SECONDS),
        before=(),
        after=(),
        needs=tuple(needs),
        no_undo=_(
            "a message that a worker has taken cannot be called back; one that none takes ends after {n:g} s"
        ).format(n=float(seconds)),
        servers=site.servers_of("rabbitmq"),
    )
    return Plan(NAME, ("--queue", queue, "--wait", seconds), title, target=queue, steps=(step,))
