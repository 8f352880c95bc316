"""A worker as a change meets it: its configuration, its node on the broker, the ``celery`` inside its container."""

from __future__ import annotations

import shlex

from samaops.changes.readings import facts_in, reading
from samaops.config import consistency
from samaops.config.settings import Celery, Worker
from samaops.errors import RefusedError, UsageError
from samaops.facts.celery import CeleryFacts, CeleryNode
from samaops.facts.observation import Snapshot
from samaops.i18n import _
from samaops.model.plan import Operation, Scalar, shell
from samaops.site.site import Site

# celery itself starts in seconds; the worker is asked for its answer this long.
REPLY_SECONDS = 5
CONTROL_SECONDS = 30.0
# Under which name the container runs now, in which celery is called.
CONTAINERS = ("docker.container",)


@reading("celery.node", codes=("celery.worker",))
def node_of(snapshot: Snapshot, worker: str) -> Scalar:
    """Return the full node name of a worker; empty when it is not connected, all names when it is not alone."""
    return " ".join(node.name for node in nodes(snapshot, worker))


def nodes(snapshot: Snapshot, worker: str) -> list[CeleryNode]:
    """Return the nodes that are connected under a worker's name. Raises UnreadableError."""
    return [node for node in facts_in(snapshot, CeleryFacts).nodes if node.key == worker]


def configured(site: Site, name: str) -> tuple[Celery, Worker]:
    """Return [celery] and one of its workers. Raises UsageError, RefusedError where it has no container."""
    workers = site.settings.celery.workers if site.settings.celery else {}
    if site.settings.celery is None or name not in workers:
        raise UsageError(
            _("There is no worker {name!r} in [celery.workers]").format(name=name),
            hint=consistency.not_one_of(name, workers),
        )
    if workers[name].container is None:
        text = _("[celery.workers.{name}] names no container: it cannot be told anything")
        raise RefusedError(text.format(name=name), hint="samaops config show")
    return site.settings.celery, workers[name]


def inside(section: Celery, worker: Worker, *words: str) -> str:
    """Return the command line that runs ``celery`` in a worker's container."""
    program = [*shlex.split(section.command), "-A", section.app]
    return shlex.join(["docker", "exec", str(worker.container), *program, *words])


def tell(site: Site, name: str, node: str, *command: str) -> Operation:
    """Return the operation that tells exactly one node: without ``--destination`` every worker would obey."""
    section, worker = configured(site, name)
    words = ("control", "--timeout", str(REPLY_SECONDS), "--destination", node, *command)
    return shell(inside(section, worker, *words), worker.server, CONTROL_SECONDS)
