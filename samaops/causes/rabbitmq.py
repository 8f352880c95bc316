"""Roots inside RabbitMQ while it answers: alarms, and queues that are wrong."""

from __future__ import annotations

from collections.abc import Iterator

from samaops.causes.effects import Effects, OfSite, codes, in_part, name_of
from samaops.causes.root import Rank, Root, root, safe, words_of
from samaops.causes.topology import NOT_PUBLISHED, QUEUE_WAITS, WORKER_GONE, effects_of_worker
from samaops.causes.view import View
from samaops.i18n import _
from samaops.model.cause import Fix, Verdict
from samaops.model.finding import Finding
from samaops.model.status import Status
from samaops.site.commands import in_broker, samaops
from samaops.site.shell_words import operands
from samaops.site.site import Site

_PUBLISHERS_BLOCKED = codes(
    "rabbitmq.alarm.*",
    "rabbitmq.connection.blocked",
    "rabbitmq.memory.high",
    "rabbitmq.disk.low",
    "rabbitmq.queue.backlog",
    "rabbitmq.queue.stuck",
    NOT_PUBLISHED,
    "api.latency.*",
    "api.health.*",
    "docker.log.requests",
    "loadbalancer.vip.*",
    "docker.container.unhealthy",
    # Workers cannot publish their events and results either.
    "flower.worker*",
)


def _holds_no_task(stuck: Finding) -> bool:
    """Return whether a worker holds fewer messages than it may: its tasks ended, and Flower was not told."""
    held, capacity = (stuck.evidence.get(name) for name in ("unacknowledged", "capacity"))
    return held is not None and (held == 0 or held < (capacity or 0))


_UNHEARD = codes("celery.task.stuck", when=_holds_no_task)
_ALARM_SHOWN = (*_PUBLISHERS_BLOCKED, *_UNHEARD, *in_part(WORKER_GONE.shown))


@root(
    "broker-memory-alarm",
    on="rabbitmq.alarm.memory",
    rank=Rank.STATE,
    runbook="notifications",
    effects=_ALARM_SHOWN,
    distinguished_from=("broker-disk-alarm",),
)
def broker_memory_alarm(finding: Finding, view: View) -> Root:
    """It is above its memory watermark."""
    title = _("RabbitMQ's memory alarm blocks every publisher")
    return _alarm(finding, view, title, "rabbitmq-diagnostics memory_breakdown")


@root(
    "broker-disk-alarm",
    on="rabbitmq.alarm.disk",
    rank=Rank.STATE,
    runbook="notifications",
    effects=_ALARM_SHOWN,
    distinguished_from=("disk-full", "worker-down", "worker-not-consuming"),
)
def broker_disk_alarm(finding: Finding, view: View) -> Root:
    """It has less free disk than its limit."""
    title = _("RabbitMQ's disk alarm blocks every publisher")
    return _alarm(finding, view, title, "df -h /var/lib/rabbitmq")


def _alarm(finding: Finding, view: View, title: str, look: str) -> Root:
    text = _("Let the consumers drain, free what the alarm names; keep the broker up, never purge")
    blocked = [connection.title for connection in view.bad("rabbitmq.connection.blocked")]
    cut_off = _cut_off(view)
    comes_back = _("{worker} runs and lost its connection to it: it comes back by itself once the alarm ends")
    return Root(
        title,
        (safe("broker.free", text, in_broker(view.site, look)),),
        effects=(
            *_PUBLISHERS_BLOCKED,
            *_UNHEARD,
            *(effect for worker in cut_off for effect in effects_of_worker(view.site, worker)),
        ),
        speaks_for=(
            words_of(finding),
            *blocked,
            *(comes_back.format(worker=worker) for worker in cut_off),
        ),
    )


def _cut_off(view: View) -> list[str]:
    """Return the workers that an alarm holds off: their containers run, and they have no consumer at the broker.

    RabbitMQ reads nothing more from who publishes: their heartbeats are lost, and those who come again hang in their
    first message, before they consume.
    """
    running = {container.subject for container in view.ok("docker.container.stopped")}
    blocked = {
        str(name).partition(" -> ")[0]
        for connections in view.bad("rabbitmq.connection.blocked")
        for name in connections.evidence.get("blocked") or ()
    }
    away = {missing.subject for missing in view.bad("celery.worker.missing")} | {
        deaf.subject
        for deaf in view.bad("celery.worker.not_consuming")
        if not deaf.evidence.get("consumed") and blocked & set(deaf.evidence.get("addresses") or ())
    }
    return [
        name
        for name, worker in view.site.workers().items()
        if f"celery/{name}" in away and f"docker/{worker.container}" in running
    ]


@root(
    "queue-missing",
    on="rabbitmq.queue.missing",
    rank=Rank.PART,
    runbook="notifications",
    effects=(*codes("celery.queue.*", subject="celery/{name}"), *codes("celery.worker.not_consuming")),
)
def queue_missing(finding: Finding, _view: View) -> Root:
    """Nobody has declared it."""
    title = _("Queue {queue} does not exist: what is published to it is lost")
    return Root(
        title.format(queue=name_of(finding)),
        (safe("queue.declare", _("Restart the worker that declares it")),),
    )


def _of_queue(finding: Finding, site: Site) -> Effects:
    return _of_no_consumer(name_of(finding), str(site.worker_of(name_of(finding))))


def _of_no_consumer(queue: str, worker: str) -> Effects:
    return (
        *codes(*QUEUE_WAITS, subject=f"rabbitmq/{queue}"),
        *codes("celery.queue.*", subject=f"celery/{queue}"),
        *codes("celery.worker.not_consuming", subject=f"celery/{worker}"),
        *codes("celery.queue.uncovered"),
    )


@root(
    "queue-without-consumer",
    on="rabbitmq.queue.no_consumer",
    rank=Rank.CONSUMER,
    runbook="notifications",
    effects=OfSite(_of_queue, _of_no_consumer("QUEUE", "WORKER")),
    distinguished_from=("worker-down", "worker-not-consuming"),
)
def queue_without_consumer(finding: Finding, view: View) -> Root:
    """Its worker is up and takes other queues."""
    queue = name_of(finding)
    worker = view.site.worker_of(queue)
    connected = {seen.subject for seen in view.ok("celery.worker.missing")}
    alive = _("{worker} is up and consumes other queues").format(worker=worker)
    return Root(
        _("No worker consumes the queue {queue}").format(queue=queue),
        _add_consumer(view.site, queue, worker),
        speaks_for=(words_of(finding), *((alive,) if worker and f"celery/{worker}" in connected else ())),
    )


def _add_consumer(site: Site, queue: str, worker: str | None) -> tuple[Fix, ...]:
    configured = site.worker(worker or "")
    if configured is None or configured.container is None:
        return ()
    add = samaops(site, f"workers add-queue {operands(worker or '', queue)}")
    text = _("Add the queue to the running worker, then repair its -Q option; never purge the queue")
    return (safe("workers.add_queue", text, add, undo=samaops(site, "undo ID")),)


@root(
    "messages-dropped",
    on="rabbitmq.queue.arguments",
    rank=Rank.WORK,
    runbook="notifications",
    effects=codes(NOT_PUBLISHED),
)
def messages_dropped(finding: Finding, view: View) -> Root | None:
    """The queue's own settings throw messages away."""
    if not finding.evidence.get("limits"):
        return None
    is_seen = finding.status is Status.CRITICAL
    nothing = _("nothing was seen to vanish in the last ten minutes: the limit was not reached")
    return Root(
        fixes=tuple(_take_limits_away(finding, view.site)),
        verdict=Verdict.CONFIRMED if is_seen else Verdict.PROBABLE,
        speaks_for=tuple(_of_limits(finding)),
        speaks_against=() if is_seen else (nothing,),
        # One that drops takes what is published; only one that refuses keeps its publishers from it.
        effects=codes(NOT_PUBLISHED) if finding.evidence.get("refuses") else (),
    )


def _of_limits(finding: Finding) -> Iterator[str]:
    evidence = finding.evidence
    if evidence.get("refuses"):
        yield finding.title
    vanished, published = evidence.get("vanished_in_window"), evidence.get("published_in_window")
    if finding.status is Status.CRITICAL and not evidence.get("refuses"):
        text = _(
            "{published} messages were published in ten minutes, {vanished} left the queue and reached nobody"
        )
        yield text.format(published=published, vanished=vanished)
    if evidence.get("own_limits"):
        yield _("its own arguments limit it: {names}").format(names=", ".join(evidence["own_limits"]))
    if evidence.get("policy"):
        text = _("the policy {policy} holds for it (pattern {pattern})")
        yield text.format(policy=evidence["policy"], pattern=evidence.get("pattern") or "?")
    if evidence.get("operator_policy"):
        yield _("the operator policy {policy} holds for it").format(policy=evidence["operator_policy"])


def _take_limits_away(finding: Finding, site: Site) -> Iterator[Fix]:
    """Yield how what limits the queue is taken away: a policy at once, arguments only with the queue made anew."""
    evidence = finding.evidence
    if set(evidence.get("limits", ())) - set(evidence.get("own_limits") or ()) and evidence.get("policy"):
        text = _(
            "See what the policy sets and for which queues, then clear it; what was dropped is not there again"
        )
        name = operands(str(evidence["policy"]))
        see = in_broker(site, "rabbitmqctl -q list_policies", of_vhost=True)
        yield safe(
            "broker.clear_policy",
            text,
            see,
            in_broker(site, f"rabbitmqctl -q clear_policy {name}", of_vhost=True),
        )
    if evidence.get("own_limits"):
        text = _(
            "Correct the arguments in the application; when the queue is empty, delete it and restart its worker, "
            "which makes it anew"
        )
        yield safe("application.team", text)
