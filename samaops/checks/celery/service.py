"""Judge the Celery workers: are they there, and do they consume. Their tasks are judged in ``celery_tasks``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from samaops.checks.celery.workers import nodes_of, see_worker, subject_of, workers_of
from samaops.checks.registry import Context, Explanation, check
from samaops.facts.celery import CeleryFacts
from samaops.i18n import N_, _
from samaops.model.finding import Finding
from samaops.model.status import Status

CONSUMERS = "rabbitmqctl -q list_consumers queue_name channel_pid"


@check(
    "celery.service.unreachable",
    title=N_("The workers can be seen through the broker"),
    facts=CeleryFacts,
    access=True,
    explain=Explanation(
        meaning=N_(
            "Who consumes what is read from RabbitMQ; when that is not possible, nothing is known of workers."
        ),
        confirm=(CONSUMERS, "docker ps -a --filter name=celery_worker"),
        fix=N_(
            "Repair the access to RabbitMQ's management API (tag monitoring); the workers may well be fine."
        ),
    ),
)
def seen(celery: CeleryFacts, context: Context) -> Iterator[Finding]:
    names = [node.name for node in celery.nodes]
    title = _("{count} Celery workers are connected to the broker").format(count=len(names))
    yield context.ok(title, evidence={"nodes": names[:20]})


@check(
    "celery.worker.missing",
    title=N_("Every expected worker is connected"),
    facts=CeleryFacts,
    explain=Explanation(
        meaning=N_("The worker has no connection to the broker: its container is down, or it lost RabbitMQ."),
        confirm=(
            "docker ps -a --filter name=celery_worker",
            "docker logs --tail 50 samaconso_celery_worker_1",
        ),
        fix=N_("Read why it ended (exit 137: out of memory), then start that one container."),
        avoid=N_("Do not restart the other workers: they still deliver."),
    ),
)
def missing(celery: CeleryFacts, context: Context) -> Iterator[Finding]:
    for key, worker in workers_of(context).items():
        nodes = nodes_of(celery, key)
        place: dict[str, Any] = {"subject": subject_of(key), "server": worker.server}
        place["evidence"] = {"nodes": [node.name for node in nodes], "queues": list(worker.queues)}
        if nodes:
            title = _("The worker {worker} is connected as {node}").format(worker=key, node=nodes[0].name)
            yield context.ok(title, **place)
        else:
            title = _("The worker {worker} is not connected to the broker").format(worker=key)
            yield context.crit(title, hint=see_worker(context, worker), **place)


@check(
    "celery.worker.not_consuming",
    title=N_("Every worker consumes its queues"),
    facts=CeleryFacts,
    explain=Explanation(
        meaning=N_(
            "The worker is connected but does not consume one of its queues: wrong -Q, or lost on reconnect."
        ),
        confirm=(CONSUMERS, "docker logs --tail 50 samaconso_celery_worker_2"),
        fix=N_(
            "celery control -d <worker> add_consumer <queue> (reversible), then correct -Q in the compose file."
        ),
        avoid=N_("Do not purge the queue. Each worker has two queues by design: not all four in each."),
    ),
)
def not_consuming(celery: CeleryFacts, context: Context) -> Iterator[Finding]:
    consumed_by_anybody = _consumed(celery)
    for key, worker in workers_of(context).items():
        nodes = nodes_of(celery, key)
        if not nodes:
            continue  # celery.worker.missing speaks
        consumed = {queue for node in nodes for queue in node.queues}
        lacking = [queue for queue in worker.queues if queue not in consumed]
        place: dict[str, Any] = {"subject": subject_of(key), "server": worker.server}
        place["evidence"] = {
            "consumed": sorted(consumed),
            "expected": list(worker.queues),
            "missing": lacking,
        }
        if not lacking:
            yield context.ok(_("The worker {worker} consumes its queues").format(worker=key), **place)
            continue
        title = _("The worker {worker} is connected but does not consume {queues}").format(
            worker=key, queues=", ".join(lacking)
        )
        is_covered = consumed_by_anybody.issuperset(lacking)
        status = Status.WARNING if is_covered else Status.CRITICAL
        yield context.finding(status, title, hint=see_worker(context, worker), **place)


def _consumed(celery: CeleryFacts) -> set[str]:
    by_workers = {queue for node in celery.nodes for queue in node.queues}
    return by_workers | {consumer.queue for consumer in celery.others}


@check(
    "celery.queue.uncovered",
    title=N_("The workers together consume every queue"),
    facts=CeleryFacts,
    explain=Explanation(
        meaning=N_(
            "No worker consumes this queue: its notifications wait for ever (the guide's own past incident)."
        ),
        confirm=(CONSUMERS,),
        fix=N_(
            "Bring the worker of that queue back, or let another one consume it (add_consumer, reversible)."
        ),
        avoid=N_("Do not purge the queue."),
    ),
)
def uncovered(celery: CeleryFacts, context: Context) -> Iterator[Finding]:
    workers = workers_of(context)
    expected = {queue: key for key, worker in workers.items() for queue in worker.queues}
    for queue in context.site.settings.rabbitmq.queues if context.site.settings.rabbitmq else ():
        expected.setdefault(queue, "")
    consumed = _consumed(celery)
    for queue, key in expected.items():
        place = {"subject": subject_of(queue), "evidence": {"queue": queue, "worker": key or None}}
        if queue in consumed:
            yield context.ok(_("The queue {queue} is consumed").format(queue=queue), **place)
        else:
            title = _("No worker consumes the queue {queue}").format(queue=queue)
            hint = see_worker(context, workers[key]) if key else f"samaops explain {context.rule.code}"
            yield context.crit(title, hint=hint, **place)


@check(
    "celery.broker.replies",
    title=N_("Replies to control commands do not pile up"),
    facts=CeleryFacts,
    needs=("replies",),
    warning=100,
    critical=10_000,
    unit="messages",
    explain=Explanation(
        meaning=N_(
            "Something asks the workers (inspect, Flower) and does not fetch the answers: they fill the broker."
        ),
        confirm=("rabbitmqctl -q list_queues name messages consumers | grep reply.celery.pidbox",),
        fix=N_(
            "Stop what runs inspect so often; set control_queue_ttl and control_queue_expires in the application."
        ),
        avoid=N_("Do not run celery inspect in a loop to look: it makes more of them."),
    ),
)
def replies(celery: CeleryFacts, context: Context) -> Iterator[Finding]:
    queues = celery.replies or ()
    count = sum(queue.messages for queue in queues)
    title = _("{count} replies of workers wait in {queues} reply queues").format(
        count=count, queues=len(queues)
    )
    evidence = {"queues": len(queues), "messages": count, "largest": queues[0].name if queues else None}
    yield context.above(count, title, subject=subject_of("replies"), evidence=evidence)
