"""Run what a plan does to Redis itself: one command, a save that is waited for, memory given back."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from msgspec import convert

from samaops.changes.redis.memory import PURGE
from samaops.changes.redis.saving import SAVE
from samaops.changes.redis.server import COMMAND, Command
from samaops.changes.run import progress
from samaops.changes.run.operations import runs
from samaops.clients import footprint
from samaops.clients.errors import ClientError
from samaops.clients.redis import RedisClient
from samaops.i18n import _
from samaops.model.failure import FailureKind
from samaops.model.plan import Operation, Outcome
from samaops.model.quantities import size
from samaops.site.commands import redis_cli
from samaops.site.shell_words import joined
from samaops.site.site import Site

_LOOK_EVERY_SECONDS = 0.1
# The allocator gives back in the background what a purge set free.
_SETTLE_SECONDS = 1.0


@contextmanager
def connected(site: Site, seconds: float) -> Iterator[RedisClient]:
    """Yield a connection, for so many seconds at most. Raises ClientError."""
    settings = site.settings.redis
    if settings is None:
        raise ClientError(FailureKind.MISSING, _("[redis] is not configured"), "redis")
    client = RedisClient(site.host_of(settings), settings, seconds)
    try:
        client.connect()
        yield client
    finally:
        client.close()


def _command_lines(operation: Operation, site: Site) -> tuple[str, ...]:
    return (redis_cli(site, joined(convert(operation.arguments, Command).words)),)


@runs(COMMAND, lines=_command_lines)
def run_command(operation: Operation, site: Site) -> Outcome:
    """Send one command. Raises ClientError."""
    words = convert(operation.arguments, Command).words
    with connected(site, operation.timeout_seconds) as client:
        footprint.count(writes=1)
        client.execute_command(*words)
    return Outcome(True)


def _save_lines(_operation: Operation, site: Site) -> tuple[str, ...]:
    return (redis_cli(site, "BGSAVE SCHEDULE"),)


@runs(SAVE, lines=_save_lines)
def save(operation: Operation, site: Site) -> Outcome:
    """Let it save, and wait until it has. Raises ClientError."""
    with connected(site, operation.timeout_seconds) as client:
        before, began = client.info("persistence"), time.monotonic()
        footprint.count(writes=1)
        answer = client.execute_command("BGSAVE", "SCHEDULE")
        has_begun = b"started" in answer if isinstance(answer, bytes) else "started" in str(answer)
        progress.tell(_("waiting for the end of the save"))
        while True:
            now = client.info("persistence")
            has_begun = (
                has_begun
                or bool(now["rdb_bgsave_in_progress"])
                or any(now.get(name) != before.get(name) for name in ("rdb_saves", "rdb_last_save_time"))
            )
            if has_begun and not now["rdb_bgsave_in_progress"]:
                break
            time.sleep(_LOOK_EVERY_SECONDS)
    if now["rdb_last_bgsave_status"] != "ok":
        return Outcome(False, _("the save failed: read why in the log of Redis"), is_seen=True)
    seconds = time.monotonic() - began
    text = _("saved in {seconds:.1f} s").format(seconds=seconds)
    return Outcome(True, text, is_seen=True, measured={"seconds": round(seconds, 2)})


def _purge_lines(_operation: Operation, site: Site) -> tuple[str, ...]:
    return (redis_cli(site, "MEMORY PURGE"),)


@runs(PURGE, lines=_purge_lines)
def purge(operation: Operation, site: Site) -> Outcome:
    """Let the allocator give back what it keeps, and see how much the process holds then. Raises ClientError."""
    with connected(site, operation.timeout_seconds) as client:
        before = int(client.info("memory")["used_memory_rss"])
        client.execute_command("MEMORY", "PURGE")
        ends_at = time.monotonic() + _SETTLE_SECONDS
        after = before
        while after >= before and time.monotonic() < ends_at:
            time.sleep(_LOOK_EVERY_SECONDS)
            after = int(client.info("memory")["used_memory_rss"])
    text = _("the process holds {after}, it was {before}").format(after=size(after), before=size(before))
    return Outcome(
        True, text, is_seen=True, measured={"resident_before_bytes": before, "resident_after_bytes": after}
    )
