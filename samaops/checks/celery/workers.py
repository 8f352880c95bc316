"""The configured workers and their nodes, for the rules about Celery."""

from __future__ import annotations

from samaops.checks.registry import Context
from samaops.config.settings import Worker
from samaops.facts.celery import CeleryFacts, CeleryNode
from samaops.site.commands import on_server
from samaops.site.shell_words import operands


def subject_of(name: str) -> str:
    """Return the subject of findings about one worker, queue or kind of thing."""
    return f"celery/{name}"


def nodes_of(celery: CeleryFacts, key: str) -> list[CeleryNode]:
    """Return the connected nodes of one configured worker."""
    return [node for node in celery.nodes if node.key == key]


def see_worker(context: Context, worker: Worker, command: str = "logs --tail 50") -> str:
    """Return the command line that looks at a worker's container, by default at its log."""
    container = worker.container or "samaconso_celery_worker_1"
    return on_server(context.site, worker.server, f"docker {command} {operands(container)}")
