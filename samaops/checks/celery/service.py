"""Judge the Celery workers: are they there, and do they consume. Their tasks are judged in ``tasks``."""

from __future__ import annotations

from collections.abc import Iterator

from samaops.checks.celery.workers import nodes_of, see_worker, subject_of
from samaops.checks.rabbitmq.commands import list_connections
from samaops.checks.registry import Context, access, check
from samaops.facts.celery import CeleryFacts
from samaops.i18n import _
from samaops.model.finding import Finding
from samaops.model.status import Status

access(
    "celery.service.unreachable",
    CeleryFacts,
    title=lambda celery: _("{count} Celery workers are connected to the broker").format(
        count=len(celery.nodes)
    ),
    evidence=lambda celery: {"nodes": [node.name for node in celery.nodes][:20]},
)


@check("celery.worker.missing", CeleryFacts)
def missing(celery: CeleryFacts, context: Context) -> Iterator[Finding]:
    for key, worker in context.site.workers().items():
        about = context.about(subject_of(key), server=worker.server)
        nodes = nodes_of(celery, key)
        evidence: dict[str, object] = {
            "nodes": [node.name for node in nodes],
            "queues": list(worker.queues),
        }
        if nodes:
            title = _("The worker {worker} is connected as {node}").format(worker=key, node=nodes[0].name)
            yield about.ok(title, evidence=evidence)
        elif consumers := celery.without_control(worker.queues):
            title = _(
                "The queues of worker {worker} are consumed from {address} by a program without a control queue: "
                "is worker_enable_remote_control off?"
            ).format(worker=key, address=", ".join(consumers[:3]))
            evidence |= {"consumers": list(consumers)}
            yield about.warn(title, evidence=evidence, hint=see_worker(context, worker))
        else:
            title = _("The worker {worker} is not connected to the broker").format(worker=key)
            yield about.crit(title, evidence=evidence, hint=see_worker(context, worker))


# A worker whose pool is gevent or eventlet keeps its control queue on a connection of its own.
@check("celery.worker.not_consuming", CeleryFacts)
def not_consuming(celery: CeleryFacts, context: Context) -> Iterator[Finding]:
    consumed_by_any = _consumed(celery)
    for key, worker in context.site.workers().items():
        nodes = nodes_of(celery, key)
        if not nodes:
            continue  # celery.worker.missing speaks
        consumed = {queue for node in nodes for queue in node.queues}
        lacking = [queue for queue in worker.queues if queue not in consumed]
        about = context.about(subject_of(key), server=worker.server)
        evidence = {
            "consumed": sorted(consumed),
            "expected": list(worker.queues),
            "missing": lacking,
            "addresses": [node.address for node in nodes],
        }
        if not lacking:
            title = _("The worker {worker} consumes its queues").format(worker=key)
            yield about.ok(title, evidence=evidence)
            continue
        consumers = celery.without_control(worker.queues)
        hosts = {_host(node.address) for node in nodes}
        if not consumed and consumers and {_host(address) for address in consumers} <= hosts:
            title = _(
                "The worker {worker} consumes its queues, over another connection than its control queue"
            )
            yield about.ok(title.format(worker=key), evidence={**evidence, "consumers": list(consumers)})
            continue
        title = _("The worker {worker} is connected but does not consume {queues}").format(
            worker=key, queues=", ".join(lacking)
        )
        status = Status.WARNING if consumed_by_any.issuperset(lacking) else Status.CRITICAL
        yield about.finding(status, title, evidence=evidence, hint=see_worker(context, worker))


def _host(address: str) -> str:
    return address.rpartition(":")[0]


def _consumed(celery: CeleryFacts) -> set[str]:
    by_workers = {queue for node in celery.nodes for queue in node.queues}
    return by_workers | {consumer.queue for consumer in celery.others}


@check("celery.queue.uncovered", CeleryFacts)
def uncovered(celery: CeleryFacts, context: Context) -> Iterator[Finding]:
    workers = context.site.workers()
    expected = {queue: key for key, worker in workers.items() for queue in worker.queues}
    for queue in context.site.queues():
        expected.setdefault(queue, "")
    consumed = _consumed(celery)
    for queue, key in expected.items():
        about = context.about(subject_of(queue))
        evidence = {"queue": queue, "worker": key or None}
        if queue in consumed:
            yield about.ok(_("The queue {queue} is consumed").format(queue=queue), evidence=evidence)
        else:
            title = _("No worker consumes the queue {queue}").format(queue=queue)
            hint = see_worker(context, workers[key]) if key else None
            yield about.crit(title, evidence=evidence, hint=hint)


# What it takes reaches nobody, while every service is well. Where a worker is not seen to consume, the stranger may be
# that worker itself: celery.worker.missing and .not_consuming speak.
@check("celery.queue.foreign", CeleryFacts)
def foreign(celery: CeleryFacts, context: Context) -> Iterator[Finding]:
    workers = context.site.workers()
    for queue in sorted({queue for worker in workers.values() for queue in worker.queues}):
        about = context.about(subject_of(queue))
        owners = [key for key, worker in workers.items() if queue in worker.queues]
        seen = {node.key for node in celery.nodes if queue in node.queues}
        strangers = {
            node.address for node in celery.nodes if queue in node.queues and node.key not in workers
        }
        strangers |= {other.address for other in celery.others if other.queue == queue}
        evidence = {"queue": queue, "workers": owners, "consumers": sorted(strangers)[:20]}
        if not strangers or not seen.issuperset(owners):
            title = _("Nobody consumes the queue {queue} beside its workers").format(queue=queue)
            yield about.ok(title, evidence=evidence)
            continue
        title = _("A consumer that is none of the workers takes messages of the queue {queue}: {addresses}")
        title = title.format(queue=queue, addresses=", ".join(sorted(strangers)[:3]))
        yield about.warn(title, evidence=evidence, hint=list_connections(context.site))


@check(
    "celery.broker.replies", CeleryFacts, needs=("replies",), warning=100, critical=10_000, unit="messages"
)
def replies(celery: CeleryFacts, context: Context) -> Iterator[Finding]:
    queues = celery.replies or ()
    count = sum(queue.messages for queue in queues)
    title = _("{count} replies of workers wait in {queues} reply queues").format(
        count=count, queues=len(queues)
    )
    evidence = {"queues": len(queues), "messages": count, "largest": queues[0].name if queues else None}
    yield context.about(subject_of("replies")).above(count, title, evidence=evidence)
