"""What can be changed, by the words of the command line. A verb makes a plan; the engine runs it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module

from msgspec import Struct

from samaops.facts.observation import Snapshot
from samaops.model.plan import Plan
from samaops.site.site import Site


class Verb(Struct, frozen=True):
    """One kind of change.

    ``codes`` returns what must be observed first, and raises UsageError for arguments that name nothing. ``plan``
    is pure: the same facts give the same plan. It raises RefusedError where a guard forbids the change.
    """

    name: str
    codes: Callable[[Site, Sequence[str]], tuple[str, ...]]
    plan: Callable[[Snapshot, Site, Sequence[str]], Plan]


# The verb's words, and where it is.
_PLACES = {
    "workers add-queue": ("samaops.changes.celery.add_queue", "ADD_QUEUE"),
    "docker restart": ("samaops.changes.docker.restart", "RESTART"),
    "workers restart": ("samaops.changes.celery.workers", "RESTART"),
    "workers scale": ("samaops.changes.celery.workers", "SCALE"),
    "queue purge": ("samaops.changes.rabbitmq.queues", "PURGE"),
    "queue set-watermark": ("samaops.changes.rabbitmq.queues", "SET_WATERMARK"),
    "queue clear-policy": ("samaops.changes.rabbitmq.policies", "CLEAR"),
    "queue park": ("samaops.changes.rabbitmq.parking", "PARK"),
    "queue unpark": ("samaops.changes.rabbitmq.parking", "UNPARK"),
    "workers revoke": ("samaops.changes.celery.revoke", "REVOKE"),
    "docker cleanup": ("samaops.changes.docker.images", "CLEANUP"),
}


def names() -> tuple[str, ...]:
    """Return all verbs."""
    return tuple(_PLACES)


def find(name: str) -> Verb:
    """Return a verb, importing the module of its system only."""
    module, attribute = _PLACES[name]
    found: Verb = getattr(import_module(module), attribute)
    return found
