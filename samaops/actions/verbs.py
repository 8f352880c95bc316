"""What can be changed, by the words of the command line. A verb makes a plan; the engine runs it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module

from msgspec import Struct

from samaops.config.settings import Settings
from samaops.facts.observation import Snapshot
from samaops.model.plan import Plan


class Verb(Struct, frozen=True):
    """One kind of change.

    ``codes`` returns what must be observed first, and raises UsageError for arguments that name nothing. ``plan``
    is pure: the same facts give the same plan. It raises RefusedError where a guard forbids the change.
    """

    name: str
    codes: Callable[[Settings, Sequence[str]], tuple[str, ...]]
    plan: Callable[[Snapshot, Settings, Sequence[str]], Plan]


# The verb's words, and where it is.
_PLACES = {
    "workers add-queue": ("samaops.actions.celery", "ADD_QUEUE"),
    "docker restart": ("samaops.actions.docker", "RESTART"),
    "workers restart": ("samaops.actions.celery_workers", "RESTART"),
    "workers scale": ("samaops.actions.celery_workers", "SCALE"),
    "queue purge": ("samaops.actions.rabbitmq", "PURGE"),
    "queue set-watermark": ("samaops.actions.rabbitmq", "SET_WATERMARK"),
    "queue clear-policy": ("samaops.actions.rabbitmq_policies", "CLEAR"),
    "queue park": ("samaops.actions.rabbitmq_parking", "PARK"),
    "queue unpark": ("samaops.actions.rabbitmq_parking", "UNPARK"),
    "workers revoke": ("samaops.actions.celery_revoke", "REVOKE"),
    "docker cleanup": ("samaops.actions.docker_images", "CLEANUP"),
}


def names() -> tuple[str, ...]:
    """Return all verbs."""
    return tuple(_PLACES)


def find(name: str) -> Verb:
    """Return a verb, importing the module of its system only."""
    module, attribute = _PLACES[name]
    found: Verb = getattr(import_module(module), attribute)
    return found
