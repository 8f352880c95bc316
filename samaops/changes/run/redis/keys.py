"""Run what a plan does to many keys: slices, at a pace, each slice on this machine's disk before Redis is changed.

So whatever is interrupted, also by a kill, each key is as it was or stands in the file.
"""

from __future__ import annotations

import base64
import shutil
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import redis
from msgspec import convert

from samaops.changes.redis.keys import (
    EXPIRE,
    MOST_KEY_BYTES,
    PERSIST,
    RESTORE,
    TAKE,
    Expiring,
    OfFile,
    Taking,
    is_group,
)
from samaops.changes.run import progress
from samaops.changes.run.held_back import held_back
from samaops.changes.run.operations import runs
from samaops.changes.run.rabbitmq import messages
from samaops.changes.run.redis.commands import connected
from samaops.clients import footprint, redis_keys
from samaops.clients.errors import ClientError
from samaops.clients.redis import RedisClient
from samaops.clients.redis_keys import Pace
from samaops.errors import RefusedError
from samaops.facts.redis import BROKER, owner_of
from samaops.i18n import _, ngettext
from samaops.model.failure import FailureKind
from samaops.model.plan import Operation, Outcome
from samaops.model.quantities import size
from samaops.site.commands import redis_cli
from samaops.site.shell_words import quoted
from samaops.site.site import Site

SLICE = 200
_SLICE_BYTES = 16 * 1024 * 1024
# base64, and the names
_FILE_FACTOR = 1.5


def _keys_of(client: RedisClient, word: str, queues: Sequence[str]) -> Iterator[list[bytes]]:
    """Yield what a word takes, in slices; without what is Celery's own of a broker."""
    name = word.encode("utf-8", "surrogateescape")
    if not is_group(word):
        yield [name]
        return
    for keys in redis_keys.names(client, redis_keys.pattern_of(name)):
        kept = [key for key in keys if owner_of(key.decode("utf-8", "replace"), queues) != BROKER]
        for at in range(0, len(kept), SLICE):
            yield kept[at : at + SLICE]


def _text(key: bytes) -> str:
    return base64.b64encode(key).decode("ascii")


def _bytes(text: str) -> bytes:
    return base64.b64decode(text)


def _told(count: int) -> None:
    progress.tell(ngettext("{count} key", "{count} keys", count).format(count=count))


def _expire_lines(operation: Operation, site: Site) -> tuple[str, ...]:
    expiring = convert(operation.arguments, Expiring)
    scan = redis_cli(site, f"--scan --pattern {quoted(expiring.word)}")
    each = _("# each of these that has no expiry, {rate:g} a second, its name before in {file}:")
    return (
        scan,
        each.format(rate=expiring.rate, file=expiring.file),
        redis_cli(site, f"EXPIRE KEY {expiring.after} NX"),
    )


@runs(EXPIRE, lines=_expire_lines)
def expire(operation: Operation, site: Site) -> Outcome:
    """Give the keys an expiry, spread over a tenth more than asked for. Raises ClientError."""
    expiring = convert(operation.arguments, Expiring)
    path, pace, count = Path(expiring.file), Pace(expiring.rate), 0
    messages.append(path, ())  # has it a place at all?
    with connected(site, operation.timeout_seconds) as client:
        first = int(client.time()[0]) * 1000 + expiring.after * 1000
        spread = max(1, expiring.after * 100)
        for keys in _keys_of(client, expiring.word, expiring.queues):
            pace.keep(len(keys))
            expiries = redis_keys.ask(client, keys, redis_keys.EXPIRY)
            never = [key for key, (expiry,) in zip(keys, expiries, strict=True) if expiry == redis_keys.NEVER]
            if not never:
                continue
            ends = {key: first + zlib.crc32(key) % spread for key in never}
            with held_back():
                messages.append(path, ({"key": _text(key), "at": at} for key, at in ends.items()))
                _run_all(client, [("PEXPIREAT", key, at, "NX") for key, at in ends.items()])
            count += len(never)
            _told(count)
    text = ngettext("{count} key has an expiry now", "{count} keys have an expiry now", count)
    return Outcome(True, text.format(count=count), is_seen=True, measured={"keys": count})


def _run_all(
    client: RedisClient,
    commands: Sequence[tuple[Any, ...]],
    is_fine: Callable[[str], bool] = lambda _words: False,
) -> list[Any]:
    """Run commands in one go and return their answers. Raises ClientError for the first that is refused."""
    if not commands:
        return []
    footprint.count(writes=len(commands))
    with client.pipeline(transaction=False) as pipeline:
        for command in commands:
            pipeline.execute_command(*command)  # type: ignore[no-untyped-call]
        try:
            answers = list(pipeline.execute(raise_on_error=False))
        except redis.RedisError as error:
            raise client.refused(str(error)) from error
    for answer in answers:
        if isinstance(answer, Exception) and not is_fine(str(answer)):
            raise client.refused(str(answer)) from answer
    return answers


def _is_given_back(operation: Operation) -> bool:
    """Return whether all that a file holds was given back. Raises RefusedError where that cannot be read."""
    path = Path(convert(operation.arguments, OfFile).file)
    try:
        return not path.exists() or messages.published_of(path) >= sum(1 for _entry in messages.read(path))
    except ClientError as error:
        raise RefusedError(error.message) from error


def _slices(path: Path) -> Iterator[tuple[list[dict[str, Any]], int]]:
    """Yield what is left of a file, of each key the last line, and how many lines are behind us with each slice."""
    done = messages.published_of(path)
    entries = list(messages.read(path)) if path.exists() else []
    last = {entry["key"]: number for number, entry in enumerate(entries)}
    for at in range(done, len(entries), SLICE):
        end = min(at + SLICE, len(entries))
        yield [entries[number] for number in range(at, end) if last[entries[number]["key"]] == number], end


def _persist_lines(operation: Operation, site: Site) -> tuple[str, ...]:
    each = _("# for each key of {file} that still has this expiry:")
    return (each.format(file=convert(operation.arguments, OfFile).file), redis_cli(site, "PERSIST KEY"))


@runs(PERSIST, lines=_persist_lines, is_done=_is_given_back)
def persist(operation: Operation, site: Site) -> Outcome:
    """Take the expiry of those keys away that still have ours. Raises ClientError."""
    path, count = Path(convert(operation.arguments, OfFile).file), 0
    with connected(site, operation.timeout_seconds) as client:
        for entries, behind in _slices(path):
            keys = [_bytes(entry["key"]) for entry in entries]
            ends = redis_keys.ask(client, keys, (b"PEXPIRETIME",))
            ours = [
                key for key, entry, (at,) in zip(keys, entries, ends, strict=True) if at == int(entry["at"])
            ]
            with held_back():
                _run_all(client, [("PERSIST", key) for key in ours])
                messages.keep_progress(path, behind)
            count += len(ours)
            _told(count)
    text = ngettext("{count} key has no expiry again", "{count} keys have no expiry again", count)
    return Outcome(True, text.format(count=count))


def _take_lines(operation: Operation, site: Site) -> tuple[str, ...]:
    taking = convert(operation.arguments, Taking)
    names = (redis_cli(site, f"--scan --pattern {quoted(taking.word)}"),) if is_group(taking.word) else ()
    key = "KEY" if is_group(taking.word) else quoted(taking.word)
    each = _("# each, {rate:g} a second at most, once it stands in {file}:")
    return (
        *names,
        redis_cli(site, f"DUMP {key}"),
        each.format(rate=taking.rate, file=taking.file),
        redis_cli(site, f"UNLINK {key}"),
    )


@runs(TAKE, lines=_take_lines)
def take(operation: Operation, site: Site) -> Outcome:
    """Write keys to the file, then unlink them; one that is changed in between is exported anew. Raises ClientError."""
    taking = convert(operation.arguments, Taking)
    path, pace, count = Path(taking.file), Pace(taking.rate), 0
    messages.append(path, ())
    free = shutil.disk_usage(path.parent).free
    if free < taking.bytes * _FILE_FACTOR:
        text = _("{file} would need about {size}, and {free} are free there")
        needed = size(taking.bytes * _FILE_FACTOR)
        return Outcome(False, text.format(file=path, size=needed, free=size(free)), is_seen=True)
    with connected(site, operation.timeout_seconds) as client:
        for keys in _keys_of(client, taking.word, taking.queues):
            pace.keep(len(keys))
            for part in _parts(client, keys):
                with held_back():
                    count += _take_part(client, part, path)
                _told(count)
    text = ngettext("{count} key is in {file}", "{count} keys are in {file}", count)
    return Outcome(True, text.format(count=count, file=path), is_seen=True, measured={"keys": count})


def _parts(client: RedisClient, keys: Sequence[bytes]) -> Iterator[list[bytes]]:
    """Yield keys so that what they hold fits into one answer."""
    part: list[bytes] = []
    total = 0
    for key, (size_bytes,) in zip(keys, redis_keys.ask(client, keys, redis_keys.SIZE), strict=True):
        if size_bytes is None:
            continue
        if size_bytes > MOST_KEY_BYTES:
            text = _("{key} holds {size}: too much to be exported in one piece")
            shown = key.decode("utf-8", "backslashreplace")[:200]
            raise ClientError(FailureKind.ERROR, text.format(key=shown, size=size(size_bytes)), "DUMP")
        if part and total + size_bytes > _SLICE_BYTES:
            yield part
            part, total = [], 0
        part.append(key)
        total += size_bytes
    if part:
        yield part


def _take_part(client: RedisClient, keys: list[bytes], path: Path) -> int:
    """Export some keys and unlink them in one moment with the proof that nobody changed them; return how many."""
    client.execute_command("WATCH", *keys)
    asked = [command for key in keys for command in (("DUMP", key), ("PEXPIRETIME", key))]
    answers = _run_all(client, asked)
    found = [
        {"key": _text(key), "dump": _text(dump), "at": int(at)}
        for key, dump, at in zip(keys, answers[::2], answers[1::2], strict=True)
        if dump is not None
    ]
    if not found:
        client.execute_command("UNWATCH")
        return 0
    messages.append(path, found)
    names = [_bytes(str(entry["key"])) for entry in found]
    with client.pipeline(transaction=True) as pipeline:
        pipeline.execute_command("UNLINK", *names)  # type: ignore[no-untyped-call]
        try:
            (count,) = pipeline.execute()
        except redis.WatchError:
            # The later line of the file is the newer one: it is what is given back.
            if len(keys) == 1:
                return _take_part(client, keys, path)
            return sum(_take_part(client, [key], path) for key in names)
        except redis.RedisError as error:
            raise client.refused(str(error)) from error
    footprint.count(writes=1)
    return int(count)


def _restore_lines(operation: Operation, site: Site) -> tuple[str, ...]:
    each = _("# for each key of {file} that is not there again:")
    file = convert(operation.arguments, OfFile).file
    return (each.format(file=file), redis_cli(site, "RESTORE KEY PEXPIRETIME DUMP ABSTTL"))


@runs(RESTORE, lines=_restore_lines, is_done=_is_given_back)
def restore(operation: Operation, site: Site) -> Outcome:
    """Give keys back as they were, with the rest of their time; what is there again stays. Raises ClientError."""
    path, count, there, over = Path(convert(operation.arguments, OfFile).file), 0, 0, 0
    with connected(site, operation.timeout_seconds) as client:
        now = int(client.time()[0]) * 1000
        for entries, behind in _slices(path):
            alive = [entry for entry in entries if not 0 <= int(entry["at"]) <= now]
            over += len(entries) - len(alive)
            with held_back():
                answers = _run_all(client, [_restored(entry) for entry in alive], _is_there)
                messages.keep_progress(path, behind)
            again = sum(isinstance(answer, Exception) for answer in answers)
            there += again
            count += len(alive) - again
            _told(count)
    text = _(
        "{count} keys are back; {there} were there again and stay as they are, {over} are over meanwhile"
    )
    return Outcome(True, text.format(count=count, there=there, over=over))


def _restored(entry: dict[str, Any]) -> tuple[Any, ...]:
    at = int(entry["at"])
    words = ("RESTORE", _bytes(entry["key"]), max(0, at), _bytes(entry["dump"]))
    return (*words, "ABSTTL") if at >= 0 else words


def _is_there(words: str) -> bool:
    return "BUSYKEY" in words or "already exists" in words
