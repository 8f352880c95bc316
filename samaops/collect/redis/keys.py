"""A bounded sample of the keys of Redis: what their prefixes hold, and which end by themselves."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator
from operator import itemgetter

from samaops.clients import redis_keys
from samaops.clients.redis import RedisClient
from samaops.facts.redis import (
    REPLY_ENDING,
    KeyGroup,
    KeySample,
)

SAMPLE_SECONDS = 1.0
SHOWN_PREFIXES = 12
KEY_CHARACTERS = 200
# What identifies one thing inside a key: a UUID, a number, a long hexadecimal word.
_IDENTIFIER = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f-]{22}|[0-9a-f]{12,}|\d+", re.IGNORECASE)


def sample_of(client: RedisClient, at_most: int, database_keys: int) -> KeySample:
    """Read the sizes and ends of some keys of the database, as far as time allows. Raises ClientError."""
    sampled: list[tuple[str, bool, int]] = []
    for keys in _batches(client, at_most):
        answers = redis_keys.ask(client, keys, redis_keys.SIZE, redis_keys.EXPIRY)
        for key, (size, milliseconds) in zip(keys, answers, strict=True):
            if milliseconds != redis_keys.GONE:
                sampled.append((shown(key), milliseconds == redis_keys.NEVER, size or 0))
    return summarize(sampled, database_keys)


def shown(key: bytes) -> str:
    """Return a key as a text."""
    return key.decode("utf-8", "backslashreplace")


def _batches(client: RedisClient, at_most: int) -> Iterator[list[bytes]]:
    """Yield keys until enough were seen, none are left, or the time is over."""
    ends_at, count = time.monotonic() + SAMPLE_SECONDS, 0
    if not at_most:
        return
    for named in redis_keys.names(client, at_once=min(500, at_most)):
        keys = named[: at_most - count]
        count += len(keys)
        if keys:
            yield keys
        if count >= at_most or time.monotonic() >= ends_at:
            return


def summarize(sampled: Iterable[tuple[str, bool, int]], database_keys: int) -> KeySample:
    """Group sampled keys, each given as name, whether it never expires, and size in bytes."""
    keys = list(sampled)
    largest_key, _never, largest_bytes = max(keys, key=itemgetter(2), default=("", False, 0))
    groups: dict[str, list[int]] = {}
    for name, never, size in keys:
        counts = groups.setdefault(prefix_of(name), [0, 0, 0, 0])
        for index, amount in enumerate((1, int(never), size, size if never else 0)):
            counts[index] += amount
    listed = sorted(
        (KeyGroup(prefix, *counts) for prefix, counts in groups.items()), key=lambda group: -group.bytes
    )
    return KeySample(
        database_keys=max(database_keys, len(keys)),
        sampled=len(keys),
        no_expiry=sum(group.no_expiry for group in listed),
        bytes=sum(group.bytes for group in listed),
        no_expiry_bytes=sum(group.no_expiry_bytes for group in listed),
        groups=(*listed[:SHOWN_PREFIXES], *_rest(listed[SHOWN_PREFIXES:])),
        largest_key=largest_key[:KEY_CHARACTERS],
        largest_bytes=largest_bytes,
    )


def _rest(groups: list[KeyGroup]) -> tuple[KeyGroup, ...]:
    if not groups:
        return ()
    sums = (
        sum(getattr(group, name) for group in groups)
        for name in ("keys", "no_expiry", "bytes", "no_expiry_bytes")
    )
    return (KeyGroup("(other)", *sums),)


def prefix_of(key: str) -> str:
    """Return what a key has in common with its like: all before the first identifier, or up to the last colon."""
    if key.endswith(REPLY_ENDING):  # <uuid>.reply.celery.pidbox: the identifier comes first
        return f"*{REPLY_ENDING}"
    match = _IDENTIFIER.search(key)
    if match and match.start() > 0:
        return key[: match.start()][:KEY_CHARACTERS]
    head, colon, _tail = key.rpartition(":")
    return (head + colon or key)[:KEY_CHARACTERS]
