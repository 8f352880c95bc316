"""Roots inside RabbitMQ while it answers: alarms, and queues that are wrong."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from samaops.causes.candidate import NOTHING, Candidate, View, any_of, codes
from samaops.causes.topology import NOT_PUBLISHED, QUEUE_WAITS
from samaops.i18n import _
from samaops.model.cause import Fix, Verdict
from samaops.model.finding import Finding
from samaops.model.plan import Risk
from samaops.model.status import Status
from samaops.site.commands import on_server, samaops

_ALARM_EFFECTS = (
    "rabbitmq.alarm.*",
    "rabbitmq.connection.blocked",
    "rabbitmq.memory.high",
    "rabbitmq.disk.low",
    "rabbitmq.queue.backlog",
    "rabbitmq.queue.stuck",
    NOT_PUBLISHED,
    "api.latency.*",
    "api.health.*",
    "loadbalancer.vip.*",
    "docker.container.unhealthy",
    # Workers cannot publish their events and results either.
    "flower.worker*",
)


def candidates(view: View) -> Iterator[Candidate]:
    """Yield what is wrong in the broker."""
    for finding in view.bad("rabbitmq.alarm.memory"):
        title = _("RabbitMQ's memory alarm blocks every publisher")
        yield _alarm(view, finding, "broker-memory-alarm", title, "rabbitmq-diagnostics memory_breakdown")
    for finding in view.bad("rabbitmq.alarm.disk"):
        title = _("RabbitMQ's disk alarm blocks every publisher")
        yield _alarm(view, finding, "broker-disk-alarm", title, "df -h /var/lib/rabbitmq")
    yield from _missing_queues(view)
    yield from _consumerless_queues(view)
    yield from _dropping_queues(view)


def _alarm(view: View, finding: Finding, cause_id: str, title: str, look: str) -> Candidate:
    container = view.site.settings.rabbitmq.container if view.site.settings.rabbitmq else None
    command = f"docker exec {shlex.quote(container)} {look}" if container else look
    blocked = view.bad("rabbitmq.connection.blocked")
    return Candidate(
        id=cause_id,
        rank=5,
        runbook="notifications",
        subject=finding.subject,
        title=title,
        triggers=(finding,),
        effects=codes(*_ALARM_EFFECTS),
        speaks_for=(finding.detail or finding.title, *(one.title for one in blocked)),
        fixes=(
            Fix(
                "broker.free",
                Risk.SAFE,
                _("Let the consumers drain, free what the alarm names; keep the broker up, never purge"),
                (on_server(view.site, finding.server, command),),
            ),
        ),
    )


def _missing_queues(view: View) -> Iterator[Candidate]:
    for finding in view.bad("rabbitmq.queue.missing"):
        queue = finding.subject.partition("/")[2]
        yield Candidate(
            id="queue-missing",
            rank=6,
            runbook="notifications",
            subject=finding.subject,
            title=_("Queue {queue} does not exist: what is published to it is lost").format(queue=queue),
            triggers=(finding,),
            effects=any_of(
                codes("celery.*", subject=f"celery/{queue}"), codes("celery.worker.not_consuming")
            ),
            speaks_for=(finding.detail or finding.title,),
            fixes=(Fix("queue.declare", Risk.SAFE, _("Restart the worker that declares it"), ()),),
        )


def _consumerless_queues(view: View) -> Iterator[Candidate]:
    for finding in view.bad("rabbitmq.queue.no_consumer"):
        queue = finding.subject.partition("/")[2]
        worker = _worker_of(view, queue)
        alive = [
            _("{worker} is up and consumes other queues").format(worker=worker)
            for one in view.ok("celery.worker.missing")
            if worker and one.subject == f"celery/{worker}"
        ]
        yield Candidate(
            id="queue-without-consumer",
            rank=8,
            runbook="notifications",
            subject=finding.subject,
            title=_("No worker consumes the queue {queue}").format(queue=queue),
            triggers=(finding,),
            effects=any_of(
                codes(*QUEUE_WAITS, "celery.queue.uncovered", subject=finding.subject),
                codes("celery.queue.*", subject=f"celery/{queue}"),
                codes("celery.worker.not_consuming", subject=f"celery/{worker}"),
                codes("celery.queue.uncovered"),
            ),
            verdict=Verdict.CONFIRMED,
            speaks_for=(finding.detail or finding.title, *alive),
            fixes=_add_consumer(view, queue, worker),
        )


def _dropping_queues(view: View) -> Iterator[Candidate]:
    for finding in view.bad("rabbitmq.queue.arguments"):
        if not finding.evidence.get("limits"):
            continue
        is_seen = finding.status is Status.CRITICAL
        nothing = _("nothing was seen to vanish in the last ten minutes: the limit was not reached")
        yield Candidate(
            id="messages-dropped",
            rank=7,
            runbook="notifications",
            subject=finding.subject,
            title=finding.title,
            triggers=(finding,),
            effects=NOTHING,
            verdict=Verdict.CONFIRMED if is_seen else Verdict.PROBABLE,
            speaks_for=tuple(_of_limits(finding)),
            speaks_against=() if is_seen else (nothing,),
            fixes=_clear_policy(view, finding),
        )


def _of_limits(finding: Finding) -> Iterator[str]:
    evidence = finding.evidence
    vanished, published = evidence.get("vanished_in_window"), evidence.get("published_in_window")
    if finding.status is Status.CRITICAL:
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


def _clear_policy(view: View, finding: Finding) -> tuple[Fix, ...]:
    """Return how what limits the queue is taken away: a policy at once, arguments only with the queue made anew."""
    evidence, fixes = finding.evidence, []
    if set(evidence.get("limits", ())) - set(evidence.get("own_limits") or ()) and evidence.get("policy"):
        name = shlex.quote(str(evidence["policy"]))
        fixes.append(
            Fix(
                "broker.clear_policy",
                Risk.SAFE,
                _(
                    "See what the policy sets and for which queues, then clear it; what was dropped is not there again"
                ),
                (
                    _in_broker(view, "rabbitmqctl -q list_policies"),
                    _in_broker(view, f"rabbitmqctl -q clear_policy {name}"),
                ),
            )
        )
    if evidence.get("own_limits"):
        text = _(
            "Correct the arguments in the application; when the queue is empty, delete it and restart its worker, "
            "which makes it anew"
        )
        fixes.append(Fix("application.team", Risk.SAFE, text))
    return tuple(fixes)


def _in_broker(view: View, command: str) -> str:
    rabbitmq = view.site.settings.rabbitmq
    if rabbitmq is None:
        return command
    if rabbitmq.vhost != "/":
        command += f" -p {shlex.quote(rabbitmq.vhost)}"
    inside = f"docker exec {shlex.quote(rabbitmq.container)} {command}" if rabbitmq.container else command
    return on_server(view.site, rabbitmq.server, inside)


def _worker_of(view: View, queue: str) -> str | None:
    workers = view.site.settings.celery.workers if view.site.settings.celery else {}
    return next((name for name, worker in workers.items() if queue in worker.queues), None)


def _add_consumer(view: View, queue: str, worker: str | None) -> tuple[Fix, ...]:
    configured = view.site.settings.celery.workers.get(worker or "") if view.site.settings.celery else None
    if configured is None or configured.container is None:
        return ()
    add = f"workers add-queue {shlex.quote(worker or '')} {shlex.quote(queue)}"
    return (
        Fix(
            "workers.add_queue",
            Risk.SAFE,
            _("Add the queue to the running worker, then repair its -Q option; never purge the queue"),
            (samaops(view.site, add),),
            (samaops(view.site, "undo ID"),),
        ),
    )
