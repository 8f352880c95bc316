"""Run what a plan does to messages: take them out of a queue into a file, publish a file's messages again.

A batch is read, and written to ``FILE.next``, before it is taken: so a message is always in the queue or on this
machine's disk, also when the broker's answer is lost or this process is killed. What a killed one left there is settled
by whatever publishes the file again.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from msgspec import convert

from samaops.changes.rabbitmq.queues import (
    MOST_MESSAGES,
    RESTORE,
    TAKE,
    Restoring,
    Taking,
    beforehand,
    progress,
)
from samaops.changes.run.held_back import held_back
from samaops.changes.run.operations import runs
from samaops.clients.amqp import AmqpSession
from samaops.clients.errors import ClientError
from samaops.clients.rabbitmq import ManagementApi
from samaops.config import files
from samaops.config.settings import RabbitMQ
from samaops.errors import RefusedError, reason_of
from samaops.facts.rabbitmq import Count
from samaops.i18n import _, ngettext
from samaops.model.encoding import keyed
from samaops.model.failure import FailureKind
from samaops.model.plan import Operation, Outcome
from samaops.site import shell_words
from samaops.site.site import Site

BATCH = 100
# How many messages the file had before the batch that stands beside it.
_KEPT_BEFORE = "kept_before"
# What makes a message: the rest is of the moment at which it was read.
_OF_A_MESSAGE = ("exchange", "routing_key", "properties", "payload", "payload_encoding")
_MOST_DIGITS = 20


def _take_lines(operation: Operation, site: Site) -> tuple[str, ...]:
    """Show the call of the management API that a person would type; it asks for the password."""
    taking = convert(operation.arguments, Taking)
    body = json.dumps({"count": taking.most, "ackmode": "ack_requeue_false", "encoding": "auto"})
    call = _post(site, f"queues/{{vhost}}/{quote(taking.queue, safe='')}/get", body)
    return (f"{call} >> {shell_words.quoted(taking.file)}",)


def _restore_lines(operation: Operation, site: Site) -> tuple[str, ...]:
    restoring = convert(operation.arguments, Restoring)
    body = json.dumps(
        {"routing_key": restoring.queue, "properties": {}, "payload": "…", "payload_encoding": "string"},
        ensure_ascii=False,
    )
    each = _("for each line of {file}:").format(file=restoring.file)
    return (f"# {each}\n{_post(site, 'exchanges/{vhost}/amq.default/publish', body)}",)


def _post(site: Site, path: str, body: str) -> str:
    broker = _broker(site)
    base = f"http{'s' if broker.management_tls else ''}://{site.host_of(broker)}:{broker.management_port}/api"
    url = f"{base}/{path.format(vhost=quote(broker.vhost, safe=''))}"
    return f"curl -u {shell_words.quoted(broker.username)} -X POST {shell_words.quoted(url)} -d {shell_words.quoted(body)}"


@runs(TAKE, lines=_take_lines)
def take(operation: Operation, site: Site) -> Outcome:
    """Take the messages out of the queue, into the file. Raises ClientError."""
    taking = convert(operation.arguments, Taking)
    left = taking.most
    with _api(site) as api:
        while left > 0:
            with held_back():  # its answer holds the messages
                taken = _take_batch(
                    api, Taking(taking.queue, min(BATCH, left), taking.file), taking.most - left
                )
            if not taken:
                break
            left -= taken
    count = taking.most - left
    text = ngettext("{count} message is in {file}", "{count} messages are in {file}", count)
    return Outcome(True, text.format(count=count, file=taking.file))


def _take_batch(api: ManagementApi, of: Taking, kept: int) -> int:
    """Move one batch from the queue to the file, which has ``kept``; return how many.

    What found no place is published again.
    """
    queue, path = of.queue, Path(of.file)
    under_way = beforehand(path)
    if files.exists(under_way):
        raise ClientError(FailureKind.ERROR, _in_the_middle(queue, path), "file")
    append(path, ())  # has it a place at all?
    seen = api.read(queue, of.most)
    append(under_way, ({**message, _KEPT_BEFORE: kept} for message in seen))
    batch = api.take(queue, len(seen)) if seen else []
    try:
        append(path, batch)
    except ClientError:
        for message in batch:
            api.publish(queue, message)
        under_way.unlink(missing_ok=True)
        raise
    under_way.unlink(missing_ok=True)
    return len(batch)


def is_restored(operation: Operation) -> bool:
    """Return whether all messages of a file were published again. Raises RefusedError where it cannot be read."""
    restoring = convert(operation.arguments, Restoring)
    path = Path(restoring.file)
    if files.exists(beforehand(path)):  # of a purge that was killed in the middle of a batch
        return False
    try:
        return not files.exists(path) or published_of(path) >= sum(1 for _message in read(path))
    except ClientError as error:
        raise RefusedError(error.message) from error


def _settle(api: ManagementApi, queue: str, path: Path, site: Site) -> None:
    """Put what stands only in ``FILE.next`` into the file, where a purge was killed in the middle of a batch.

    Done twice it does no harm. Raises ClientError, and changes nothing, where it cannot be told who has it.
    """
    under_way = beforehand(path)
    if not files.exists(under_way):
        return
    batch = list(read(under_way))
    kept_before = batch[0].get(_KEPT_BEFORE) if batch else 0
    if not isinstance(kept_before, int):
        raise ClientError(FailureKind.ERROR, _in_the_middle(queue, path), "file")
    _cut_off_half_a_line(path)
    kept = list(read(path))[kept_before:] if files.exists(path) else []
    rest = _without(batch, kept)
    is_taken = _were_taken(api, queue, rest, site, is_begun=bool(kept)) if rest else False
    if is_taken is None:
        raise ClientError(FailureKind.ERROR, _in_the_middle(queue, path), "file")
    rest = rest if is_taken else []
    append(path, ({key: message[key] for key in message if key != _KEPT_BEFORE} for message in rest))
    under_way.unlink(missing_ok=True)


def _were_taken(
    api: ManagementApi, queue: str, batch: Sequence[Mapping[str, Any]], site: Site, *, is_begun: bool
) -> bool | None:
    """Return whether a batch was taken, and not only read; the broker does it all or not at all.

    So its messages are gone, or each that has no equal is there once. None where both are seen, or neither, as of equal
    messages, and where a consumer may have taken them. ``is_begun``: some of it is in the file already.
    """
    count = _counted(site, queue)
    if count.ready <= MOST_MESSAGES:
        there = Counter(map(_identity, api.read(queue, count.ready) if count.ready else ()))
        wanted = Counter(map(_identity, batch))
        is_gone = any(there[message] < wanted[message] for message in wanted)
        is_there = any(there[message] == wanted[message] == 1 for message in wanted)
        if is_there and not is_gone and not is_begun:
            return False
        if not is_there and (is_gone or is_begun) and not count.consumers:
            return True
    return None


def _without(
    messages: Iterable[Mapping[str, Any]], others: Iterable[Mapping[str, Any]]
) -> list[Mapping[str, Any]]:
    """Return the messages that are not among the others; of equal ones, as many as there are more."""
    left, rest = Counter(map(_identity, others)), []
    for message in messages:
        if left[_identity(message)]:
            left[_identity(message)] -= 1
        else:
            rest.append(message)
    return rest


def _identity(message: Mapping[str, Any]) -> str:
    return json.dumps([message.get(key) for key in _OF_A_MESSAGE], sort_keys=True)


def _cut_off_half_a_line(path: Path) -> None:
    """Remove a last line that was not written to its end; its message stands in the batch."""
    with _sorting_errors(path):
        if files.exists(path) and not (text := path.read_bytes()).endswith(b"\n"):
            os.truncate(path, text.rfind(b"\n") + 1)


def _counted(site: Site, queue: str) -> Count:
    """Return what the broker itself counts of a queue; nothing of one that is gone. Raises ClientError."""
    broker = _broker(site)
    with AmqpSession(site.host_of(broker), broker) as session:
        return session.count(queue) or Count(0, 0)


def _in_the_middle(queue: str, path: Path) -> str:
    text = _(
        "{next} holds the batch at which samaops was killed, and it cannot be told whether samaops took it, or a consumer of "
        "{queue}. Append what nobody processed, and is no longer in the queue, to {file}, remove {next}, then try again"
    )
    return text.format(next=beforehand(path), file=path, queue=queue)


def published_of(path: Path) -> int:
    """Return how many of a file's messages were given back. Raises ClientError."""
    kept = progress(path)
    with _sorting_errors(kept):
        return int(files.read(kept, _MOST_DIGITS)) if files.exists(kept) else 0


def keep_progress(path: Path, count: int) -> None:
    """Keep how many messages of a file were published again: the old number or the new one. Raises ClientError."""
    kept = progress(path)
    with _sorting_errors(kept):
        files.write_private(kept, str(count).encode("ascii"))


@runs(RESTORE, lines=_restore_lines, is_done=is_restored)
def restore(operation: Operation, site: Site) -> Outcome:
    """Publish the messages that were not published yet. Raises ClientError."""
    restoring = convert(operation.arguments, Restoring)
    queue, path = restoring.queue, Path(restoring.file)
    with _api(site) as api:
        _settle(api, queue, path, site)
        published = published_of(path)
        messages = list(read(path))[published:] if files.exists(path) else []
        for number, message in enumerate(messages, start=published + 1):
            with held_back():  # else it is published twice
                api.publish(queue, message)
                keep_progress(path, number)
    text = ngettext(
        "{count} message is in {queue} again", "{count} messages are in {queue} again", len(messages)
    )
    return Outcome(True, text.format(count=len(messages), queue=queue))


def append(path: Path, messages: Iterable[Mapping[str, Any]]) -> None:
    """Add messages to a file that only its owner may read, one JSON line each, on the disk at once."""
    with _sorting_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with os.fdopen(files.open_to_append(path, 0o600), "a", encoding="utf-8") as stream:
            stream.writelines(json.dumps(message, ensure_ascii=False) + "\n" for message in messages)
            stream.flush()
            os.fsync(stream.fileno())


def read(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the messages of a file. Raises ClientError."""
    with _sorting_errors(path):
        files.require_regular(path)
        with path.open(encoding="utf-8") as stream:
            lines = stream.readlines()
        for number, line in enumerate(lines, start=1):
            try:
                message = keyed(json.loads(line))
            except ValueError:
                if number < len(lines):  # of any other line a message would be lost without a word
                    raise
                return  # a last line that a full disk cut short
            yield message


@contextmanager
def _sorting_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:
        reason = reason_of(error) if isinstance(error, OSError) else str(error)
        raise ClientError(FailureKind.ERROR, f"{path}: {reason}", "file") from error


def _broker(site: Site) -> RabbitMQ:
    if site.settings.rabbitmq is None:
        raise ClientError(FailureKind.MISSING, _("[rabbitmq] is not configured"), "rabbitmq")
    return site.settings.rabbitmq


def _api(site: Site) -> ManagementApi:
    broker = _broker(site)
    return ManagementApi(site.host_of(broker), broker)
