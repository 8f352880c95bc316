"""Roots inside RabbitMQ while it answers: alarms, and queues that are wrong."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from samaops.causes.candidate import Candidate, View, any_of, codes
from samaops.config.command_lines import on_server, samaops
from samaops.i18n import _
from samaops.model.cause import Fix, Verdict
from samaops.model.finding import Finding
from samaops.model.plan import Risk

_ALARM_EFFECTS = (
    "rabbitmq.alarm.*",
    "rabbitmq.connection.blocked",
    "rabbitmq.memory.high",
    "rabbitmq.disk.low",
    "rabbitmq.queue.backlog",
    "rabbitmq.queue.stuck",
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


def _alarm(view: View, finding: Finding, cause_id: str, title: str, look: str) -> Candidate:
    container = view.settings.rabbitmq.container if view.settings.rabbitmq else None
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
                (on_server(view.settings, finding.server, command),),
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
                codes("rabbitmq.queue.*", "celery.queue.uncovered", subject=finding.subject),
                codes("celery.queue.*", subject=f"celery/{queue}"),
                codes("celery.worker.not_consuming", subject=f"celery/{worker}"),
                codes("celery.queue.uncovered"),
            ),
            verdict=Verdict.CONFIRMED,
            speaks_for=(finding.detail or finding.title, *alive),
            fixes=_add_consumer(view, queue, worker),
        )


def _worker_of(view: View, queue: str) -> str | None:
    workers = view.settings.celery.workers if view.settings.celery else {}
    return next((name for name, worker in workers.items() if queue in worker.queues), None)


def _add_consumer(view: View, queue: str, worker: str | None) -> tuple[Fix, ...]:
    configured = view.settings.celery.workers.get(worker or "") if view.settings.celery else None
    if configured is None or configured.container is None:
        return ()
    add = f"workers add-queue {shlex.quote(worker or '')} {shlex.quote(queue)}"
    return (
        Fix(
            "workers.add_queue",
            Risk.SAFE,
            _("Add the queue to the running worker, then repair its -Q option; never purge the queue"),
            (samaops(view.settings, add),),
            (samaops(view.settings, "undo ID"),),
        ),
    )
