"""The Celery workers as a list, as the broker sees them: nobody is asked."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from samaops.config.settings import Celery
from samaops.errors import UsageError
from samaops.facts.celery import CeleryFacts
from samaops.i18n import _
from samaops.model.table import Column, Table
from samaops.site.site import Site
from samaops.workflows import diagnose


def listed(site: Site) -> Table:
    """Return every worker, configured or connected, with what it consumes. Raises UnavailableError."""
    celery, facts = _celery(site), _facts(site)
    columns = (
        Column("worker", _("worker")),
        Column("connected", _("connected")),
        Column("queues", _("consumes")),
        Column("missing", _("does not consume")),
        Column("unacknowledged", _("in hand"), True),
        Column("capacity", _("at most"), True),
    )
    return Table("workers", columns, tuple(_workers(celery, facts)), _("No worker is configured"))


def _workers(celery: Celery, facts: CeleryFacts) -> Iterator[dict[str, Any]]:
    for name, worker in celery.workers.items():
        nodes = [node for node in facts.nodes if node.key == name]
        for node in nodes or (None,):
            queues = node.queues if node else ()
            yield {
                "worker": name, "node": node.name if node else None, "connected": node is not None,
                "queues": list(queues), "missing": [queue for queue in worker.queues if queue not in queues],
                "unacknowledged": node.unacknowledged if node else None,
                "capacity": node.capacity if node else None,
                "container": worker.container, "server": worker.server,
            }  # fmt: skip
    for node in facts.nodes:
        if node.key not in celery.workers:
            yield {
                "worker": node.key, "node": node.name, "connected": True, "queues": list(node.queues),
                "missing": [], "unacknowledged": node.unacknowledged, "capacity": node.capacity,
                "container": None, "server": None,
            }  # fmt: skip


def queues(site: Site) -> Table:
    """Return every task queue with the workers that consume it, and those that must. Raises UnavailableError."""
    celery, facts = _celery(site), _facts(site)
    names = dict.fromkeys(site.settings.rabbitmq.queues if site.settings.rabbitmq else ())
    for worker in celery.workers.values():
        names.update(dict.fromkeys(worker.queues))
    for node in facts.nodes:
        names.update(dict.fromkeys(node.queues))
    columns = (
        Column("queue", _("queue")),
        Column("consumed_by", _("consumed by")),
        Column("configured", _("must be consumed by")),
    )
    rows = tuple(_queue(name, celery, facts) for name in names)
    return Table("worker_queues", columns, rows, _("No queue is configured"))


def _queue(name: str, celery: Celery, facts: CeleryFacts) -> dict[str, Any]:
    others = [consumer.address for consumer in facts.others if consumer.queue == name]
    return {
        "queue": name,
        "consumed_by": [node.key for node in facts.nodes if name in node.queues] + others,
        "configured": [key for key, worker in celery.workers.items() if name in worker.queues],
    }


def _facts(site: Site) -> CeleryFacts:
    message = _("Could not look at the workers: {reason}")
    return diagnose.facts_of(site, "celery.worker", CeleryFacts, message)


def _celery(site: Site) -> Celery:
    if site.settings.celery is None:
        raise UsageError(_("[celery] is not configured"), hint="samaops config show")
    return site.settings.celery
