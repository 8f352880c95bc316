"""Run what a plan does to messages: take them out of a queue into a file, publish a file's messages again.

A batch is read, and written to ``FILE.next``, before it is taken: so a message is always in the queue or on this
machine's disk, also when the broker's answer is lost or this process is killed.
"""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

from samaops.clients.errors import ClientError
from samaops.clients.rabbitmq import ManagementApi
from samaops.config.settings import RabbitMQ
from samaops.errors import RefusedError
from samaops.i18n import _, ngettext
from samaops.model.failure import FailureKind
from samaops.model.plan import Operation
from samaops.site.site import Site

TAKE, RESTORE = "rabbitmq.take", "rabbitmq.restore"
BATCH = 100
SECONDS = 600.0


def take(queue: str, most: int, file: Path) -> Operation:
    """Return the operation that takes at most so many messages out of a queue, into a new file."""
    return Operation(TAKE, shlex.join([queue, str(most), str(file)]), None, SECONDS)


def restore(queue: str, file: Path) -> Operation:
    """Return the operation that publishes to a queue what a file holds, and what was not yet published."""
    return Operation(RESTORE, shlex.join([queue, str(file)]), None, SECONDS)


def shown(operation: Operation, site: Site) -> str:
    """Return the operation as a person would do it: calls of the management API, which ask for the password."""
    broker = _broker(site)
    words = shlex.split(operation.text)
    base = f"http{'s' if broker.management_tls else ''}://{site.host_of(broker)}:{broker.management_port}/api"
    vhost, user = quote(broker.vhost, safe=""), shlex.quote(broker.username)
    if operation.kind == TAKE:
        queue, most, file = words
        url = f"{base}/queues/{vhost}/{quote(queue, safe='')}/get"
        body = json.dumps({"count": int(most), "ackmode": "ack_requeue_false", "encoding": "auto"})
        return f"curl -u {user} -X POST {shlex.quote(url)} -d {shlex.quote(body)} >> {shlex.quote(file)}"
    queue, file = words
    body = json.dumps({"routing_key": queue, "properties": {}, "payload": "…", "payload_encoding": "string"})
    url = f"{base}/exchanges/{vhost}/amq.default/publish"
    each = _("for each line of {file}:").format(file=file)
    return f"# {each}\ncurl -u {user} -X POST {shlex.quote(url)} -d {shlex.quote(body)}"


def run_take(operation: Operation, site: Site) -> str:
    """Take the messages; return how many, in a sentence. Raises ClientError."""
    queue, most, file = shlex.split(operation.text)
    left, path = int(most), Path(file)
    with _api(site) as api:
        while left > 0:
            taken = _take_batch(api, queue, min(BATCH, left), path)
            if not taken:
                break
            left -= taken
    return ngettext(
        "{count} message is in {file}", "{count} messages are in {file}", int(most) - left
    ).format(count=int(most) - left, file=file)


def _take_batch(api: ManagementApi, queue: str, most: int, path: Path) -> int:
    """Move one batch from the queue to the file; return how many. What found no place is published again."""
    under_way = beforehand(path)
    if under_way.exists():
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


def beforehand(path: Path) -> Path:
    """Return where the batch stands that is being taken: perhaps nowhere else, when its process was killed."""
    return path.with_name(path.name + ".next")


def progress(path: Path) -> Path:
    """Return where it is kept how many messages of a file were published again."""
    return path.with_name(path.name + ".restored")


def is_restored(operation: Operation) -> bool:
    """Return whether all messages of a file were published again.

    Raises RefusedError when a purge was killed in the middle of a batch: whether that was taken is for a person to see.
    """
    queue, file = shlex.split(operation.text)
    path = Path(file)
    if beforehand(path).exists():
        raise RefusedError(_in_the_middle(path), hint=f"samaops queue peek {shlex.quote(queue)}")
    return not path.exists() or _published(path) >= sum(1 for _one in read(path))


def _in_the_middle(path: Path) -> str:
    text = _(
        "{next} holds the batch at which samaops was killed: what of it is no longer in the queue stands nowhere else. "
        "Append that to {file}, remove {next}, then try again"
    )
    return text.format(next=beforehand(path), file=path)


def _published(path: Path) -> int:
    kept = progress(path)
    return int(kept.read_text(encoding="ascii")) if kept.exists() else 0


def run_restore(operation: Operation, site: Site) -> str:
    """Publish the messages that were not published yet; return how many, in a sentence. Raises ClientError."""
    queue, file = shlex.split(operation.text)
    path = Path(file)
    if beforehand(path).exists():
        raise ClientError(FailureKind.ERROR, _in_the_middle(path), "file")
    done = _published(path)
    messages = list(read(path))[done:] if path.exists() else []
    with _api(site) as api:
        for number, message in enumerate(messages, start=done + 1):
            api.publish(queue, message)
            progress(path).write_text(str(number), encoding="ascii")
    return ngettext(
        "{count} message is in {queue} again", "{count} messages are in {queue} again", len(messages)
    ).format(count=len(messages), queue=queue)


def append(path: Path, messages: Iterable[Mapping[str, Any]]) -> None:
    """Add messages to a file that only its owner may read, one JSON line each, on the disk at once."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        with os.fdopen(descriptor, "a", encoding="utf-8") as stream:
            stream.writelines(json.dumps(one, ensure_ascii=False) + "\n" for one in messages)
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as error:
        raise ClientError(FailureKind.ERROR, f"{path}: {error.strerror}", "file") from error


def read(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the messages of a file."""
    with path.open(encoding="utf-8") as stream:
        for line in stream:
            with suppress(ValueError):  # a last line that a full disk cut short
                yield json.loads(line)


def _broker(site: Site) -> RabbitMQ:
    if site.settings.rabbitmq is None:
        raise ClientError(FailureKind.MISSING, _("[rabbitmq] is not configured"), "rabbitmq")
    return site.settings.rabbitmq


def _api(site: Site) -> ManagementApi:
    broker = _broker(site)
    return ManagementApi(site.host_of(broker), broker)
