"""What all changes of Redis share: its section, what was observed of it, and a command of it as an operation."""

from __future__ import annotations

from msgspec import Struct, to_builtins

from samaops.changes.readings import facts_in, reading
from samaops.config.settings import Redis
from samaops.errors import UsageError
from samaops.facts.observation import Snapshot
from samaops.facts.redis import RedisFacts
from samaops.i18n import _
from samaops.model.plan import Operation, Scalar
from samaops.site.site import Site

MEMORY = ("redis.memory",)
COMMAND = "redis.command"
_SECONDS = 15.0


class Command(Struct, frozen=True):
    """One command, word by word."""

    words: tuple[str, ...]


def command(site: Site, *words: str) -> Operation:
    """Return the operation that sends a command."""
    return Operation(COMMAND, to_builtins(Command(words)), configured(site).server, _SECONDS)


def configured(site: Site) -> Redis:
    """Return the section. Raises UsageError."""
    if site.settings.redis is None:
        raise UsageError(_("[redis] is not configured"), hint="samaops config show")
    return site.settings.redis


def facts(snapshot: Snapshot) -> RedisFacts:
    """Return what was observed of Redis. Raises UnreadableError."""
    return facts_in(snapshot, RedisFacts)


@reading("redis.maxmemory", codes=MEMORY)
def maxmemory(snapshot: Snapshot) -> Scalar:
    """Return the limit of its memory in bytes; 0: none."""
    return facts(snapshot).memory.maximum


@reading("redis.policy", codes=MEMORY)
def policy(snapshot: Snapshot) -> Scalar:
    """Return what it evicts when its memory is full."""
    return facts(snapshot).memory.policy
