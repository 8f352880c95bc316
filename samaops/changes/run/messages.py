"""Run what a plan does to messages: take them out of a queue into a file, publish a file's messages again.

A batch is read, and written to ``FILE.next``, before it is taken: so a message is always in the queue or on this
machine's disk, also when the broker's answer is lost or this process is killed.
"""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from msgspec import convert

from samaops.changes.rabbitmq.queues import RESTORE, TAKE, Restoring, Taking, beforehand, progress
from samaops.changes.run.held_back import held_back
from samaops.changes.run.operations import runs
from samaops.clients.errors import ClientError
from samaops.clients.rabbitmq import ManagementApi
from samaops.config import files
from samaops.config.settings import RabbitMQ
from samaops.errors import RefusedError, reason_of
from samaops.i18n import _, ngettext
from samaops.model.encoding import keyed
from samaops.model.failure import FailureKind
from samaops.model.plan import Operation, Outcome
from samaops.site.site import Site

BATCH = 100
_MOST_DIGITS = 20


def _take_lines(operation: Operation, site: Site) -> tuple[str, ...]:
    """Show the call of the management API that a person would type; it asks for the password."""
    taking = convert(operation.arguments, Taking)
    body = json.dumps({"count": taking.most, "ackmode": "ack_requeue_false", "encoding": "auto"})
    call = _post(site, f"queues/{{vhost}}/{quote(taking.queue, safe='')}/get", body)
    return (f"{call} >> {shlex.quote(taking.file)}",)


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
    return f"curl -u {shlex.quote(broker.username)} -X POST {shlex.quote(url)} -d {shlex.quote(body)}"


@runs(TAKE, lines=_take_lines)
def take(operation: Operation, site: Site) -> Outcome:
    """Take the messages out of the queue, into the file. Raises ClientError."""
    taking = convert(operation.arguments, Taking)
    left, path = taking.most, Path(taking.file)
    with _api(site) as api:
        while left > 0:
            with held_back():  # its answer holds the messages
                taken = _take_batch(api, taking.queue, min(BATCH, left), path)
            if not taken:
                break
            left -= taken
    count = taking.most - left
    text = ngettext("{count} message is in {file}", "{count} messages are in {file}", count)
    return Outcome(True, text.format(count=count, file=taking.file))


def _take_batch(api: ManagementApi, queue: str, most: int, path: Path) -> int:
    """Move one batch from the queue to the file; return how many. What found no place is published again."""
    under_way = beforehand(path)
    if files.exists(under_way):
        raise ClientError(FailureKind.ERROR, _in_the_middle(path), "file")
    append(path, ())  # has it a place at all?
    seen = api.read(queue, most)
    append(under_way, seen)
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
    """Return whether all messages of a file were published again.

    Raises RefusedError when a purge was killed in the middle of a batch: whether that was taken is for a person to see.
    """
    restoring = convert(operation.arguments, Restoring)
    path = Path(restoring.file)
    if files.exists(beforehand(path)):
        raise RefusedError(_in_the_middle(path), hint=f"samaops queue peek {shlex.quote(restoring.queue)}")
    try:
        return not files.exists(path) or published_of(path) >= sum(1 for _message in read(path))
    except ClientError as error:
        raise RefusedError(error.message) from error


def _in_the_middle(path: Path) -> str:
    text = _(
        "{next} holds the batch at which samaops was killed: what of it is no longer in the queue stands nowhere else. "
        "Append that to {file}, remove {next}, then try again"
    )
    return text.format(next=beforehand(path), file=path)


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
    if files.exists(beforehand(path)):
        raise ClientError(FailureKind.ERROR, _in_the_middle(path), "file")
    published = published_of(path)
    messages = list(read(path))[published:] if files.exists(path) else []
    with _api(site) as api:
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
