"""What is observed of the Celery workers, without a word to them: no ``inspect``, nothing on the broker.

A worker consumes its own control queue (``worker1@host.celery.pidbox``) and its task queues over the same
connection to RabbitMQ: so the broker itself knows which node consumes what. Flower adds the tasks.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from operator import itemgetter
from typing import Any

from samaops.clients.errors import ClientError
from samaops.clients.flower import FlowerClient
from samaops.clients.rabbitmq import PAGE_SIZE, ManagementApi, objects
from samaops.collect.engine import Probe
from samaops.collect.flower import url_of
from samaops.collect.registry import SPARE_SECONDS, Target, collects
from samaops.collect.values import needed
from samaops.config.settings import Celery, RabbitMQ
from samaops.facts.celery import (
    ACTIVE_TASKS,
    ActiveTask,
    CeleryFacts,
    CeleryNode,
    FailingReason,
    OtherConsumer,
    RecentTasks,
    ReplyQueue,
    total,
)
from samaops.i18n import _
from samaops.model.failure import FailureKind
from samaops.site.site import Site

REPLIES = ".reply."
# NODE.EXCHANGE.pidbox, and ID.reply.EXCHANGE.pidbox for answers: "celery" unless the application's control_exchange
# is another.
_CONTROL_QUEUE = re.compile(r"(?P<node>.+?)(?P<reply>\.reply)?\.[^.]+\.pidbox")
EVENTS = "celeryev."
RECENT_TASKS = 100
RECENT_SECONDS = 900.0
# So far apart the clocks of workers and of Flower may be; servers.clock.skewed speaks of less.
_CLOCK_SECONDS = 60.0
# So many successes in a row end one trouble: an earlier failure says nothing about the present one.
WELL_STREAK = 20
SHOWN_REASONS = 5
TEXT_CHARACTERS = 100
NAME_CHARACTERS = 200
_ADDRESS = re.compile("0x[0-9a-f]+")


def workers(site: Site) -> Iterator[Target]:
    """Yield the workers, who are looked at together, where some are configured."""
    settings = site.settings
    if settings.celery is not None:
        sources = [section for section in (settings.rabbitmq, settings.flower) if section is not None]
        seconds = max((section.timeout for section in sources), default=RabbitMQ().timeout) + SPARE_SECONDS
        server = next((worker.server for worker in settings.celery.workers.values()), "workers")
        yield Target("workers", settings.celery, server, seconds)


@collects("celery", CeleryFacts, targets=workers)
def look(_celery: Celery, site: Site, probe: Probe) -> CeleryFacts:
    """Read the workers and their tasks."""
    return observe(site, probe)


def observe(site: Site, probe: Probe) -> CeleryFacts:
    """Read the workers from the broker, and their tasks from Flower when it is configured."""
    if site.settings.rabbitmq is None:
        raise ClientError(FailureKind.DEPENDENCY, "[rabbitmq] is not configured", "rabbitmq")
    probe.stage("rabbitmq")
    try:
        nodes, others, replies = _of_broker(site, site.settings.rabbitmq, probe)
    except ClientError as error:
        raise error.on_the_way(f"rabbitmq {error.stage}".strip()) from error
    active = recent = None
    if site.settings.flower is not None and probe.wants("celery.task.stuck", "celery.tasks.failing"):
        flower_tasks = probe.attempt("tasks", lambda: _of_flower(site))
        active, recent = flower_tasks or (None, None)
    return CeleryFacts(nodes=nodes, others=others, replies=replies, active=active, recent=recent)


def _of_broker(
    site: Site, rabbitmq: RabbitMQ, probe: Probe
) -> tuple[tuple[CeleryNode, ...], tuple[OtherConsumer, ...], tuple[ReplyQueue, ...] | None]:
    with ManagementApi(site.host_of(rabbitmq), rabbitmq) as api:
        api.log_in()
        api.require_everything("consumers")
        consumers = objects(api.in_vhost("consumers"), "consumers")
        channels = api.list_of(
            "channels",
            columns="connection_details.name,vhost,prefetch_count,global_prefetch_count,messages_unacknowledged",
        )
        replies = None
        if probe.wants("celery.broker.replies"):
            replies = probe.attempt("replies", lambda: _replies(api))
    nodes, others = workers_of(consumers, channels, rabbitmq.vhost)
    return nodes, others, replies


def workers_of(
    consumers: Collection[Mapping[str, Any]], channels: Iterable[Mapping[str, Any]], vhost: str
) -> tuple[tuple[CeleryNode, ...], tuple[OtherConsumer, ...]]:
    """Join the broker's consumers by connection: whose control queue it reads is who consumes its other queues."""
    names: dict[str, str] = {}
    queues: dict[str, list[str]] = {}
    # An empty list for the moment in which a channel begins or ends; were it so of all, it is the statistics that are missing.
    known = [consumer for consumer in consumers if consumer.get("channel_details") != []]
    for consumer in known or consumers:
        connection = str(needed(consumer, "channel_details", "connection_name", stage="consumers"))
        queue = str(needed(consumer, "queue", "name", stage="consumers"))[:NAME_CHARACTERS]
        control = _CONTROL_QUEUE.fullmatch(queue)
        if control and not control["reply"]:
            names[connection] = control["node"]
        elif not control and not queue.startswith(EVENTS):
            queues.setdefault(connection, []).append(queue)
    held = _held(channels, vhost)
    nodes = [
        CeleryNode(
            name,
            _address(connection),
            tuple(sorted(set(queues.get(connection, ())))),
            *held.get(connection, (None, None)),
        )
        for connection, name in names.items()
    ]
    others = [
        OtherConsumer(queue, _address(connection))
        for connection, listed in queues.items()
        if connection not in names
        for queue in listed
    ]
    return tuple(sorted(nodes, key=lambda node: node.name)), tuple(others[:RECENT_TASKS])


def _held(channels: Iterable[Mapping[str, Any]], vhost: str) -> dict[str, tuple[int | None, int | None]]:
    """Return for each connection how many messages it holds and may hold; None where a channel does not tell."""
    held: dict[str, tuple[int | None, int | None]] = {}
    for channel in channels:
        if not channel.get("connection_details"):
            continue  # its connection has ended meanwhile
        if needed(channel, "vhost", stage="channels") == vhost:
            connection = str(needed(channel, "connection_details", "name", stage="channels"))
            unacknowledged, capacity = held.get(connection, (0, 0))
            limit = channel.get("global_prefetch_count") or channel.get("prefetch_count")
            held[connection] = (
                total((unacknowledged, channel.get("messages_unacknowledged"))),
                total((capacity, limit)),
            )
    return held


def _replies(api: ManagementApi) -> tuple[ReplyQueue, ...]:
    page = api.in_vhost(
        "queues", page=1, page_size=PAGE_SIZE, name=REPLIES, sort="messages", sort_reverse="true",
        columns="name,messages,consumers",
    )  # fmt: skip
    return tuple(
        ReplyQueue(
            str(queue["name"])[:NAME_CHARACTERS],
            int(needed(queue, "messages", stage="replies")),
            int(needed(queue, "consumers", stage="replies")),
        )
        for queue in objects(_dict(page).get("items"), "queues")
        if (control := _CONTROL_QUEUE.fullmatch(str(needed(queue, "name", stage="replies"))))
        and control["reply"]
    )


def _of_flower(site: Site) -> tuple[tuple[ActiveTask, ...], RecentTasks]:
    assert site.settings.flower is not None
    with FlowerClient(url_of(site, site.settings.flower), site.settings.flower) as client:
        started = client.tasks(ACTIVE_TASKS, "STARTED")
        # By its own clock where it tells it: ours may be another, and then a task that is stuck would seem young.
        now = client.told_at or time.time()
        active = _active(started, client, now) if started else ()
        return active, recent_of(client.tasks(RECENT_TASKS), now)


def _active(started: list[dict[str, Any]], client: FlowerClient, now: float) -> tuple[ActiveTask, ...]:
    """Return the started tasks, longest first; Flower also remembers those of a worker that was killed."""
    heartbeats = {str(row.get("hostname")): row for row in client.heartbeats()}
    tasks = []
    for task in started:
        worker = str(needed(task, "worker", stage="tasks"))
        heartbeat = heartbeats.get(worker, {})
        runtime = now - float(needed(task, "started", stage="tasks"))
        if runtime < -_CLOCK_SECONDS:
            text = _("a task of {worker} began {seconds:.0f} s in the future: a clock is wrong")
            raise ClientError(FailureKind.GARBAGE, text.format(worker=worker, seconds=-runtime), "tasks")
        active = heartbeat.get("active") if heartbeat.get("status") is True else None
        tasks.append(
            ActiveTask(
                id=str(task.get("uuid", ""))[:TEXT_CHARACTERS],
                name=str(task.get("name", ""))[:NAME_CHARACTERS],
                worker=worker[:NAME_CHARACTERS],
                arguments=_arguments(task),
                runtime_seconds=round(max(0.0, runtime), 1),
                worker_active=active if isinstance(active, int) else None,
            )
        )
    return tuple(sorted(tasks, key=lambda task: -task.runtime_seconds))


def _arguments(task: Mapping[str, Any]) -> str:
    """Return the beginning of a task's arguments: enough to recognise it, not the customer's whole message."""
    parts = (str(task.get(part) or "") for part in ("args", "kwargs"))
    return " ".join(text for text in parts if text not in ("()", "[]", "{}"))[:TEXT_CHARACTERS]


def recent_of(tasks: Iterable[Mapping[str, Any]], now: float) -> RecentTasks:
    """Count how the tasks of the last quarter of an hour ended."""
    ended = [
        (float(needed(task, "timestamp", stage="tasks")), task)
        for task in tasks
        if needed(task, "state", stage="tasks") in ("SUCCESS", "FAILURE")
        and now - float(needed(task, "timestamp", stage="tasks")) <= RECENT_SECONDS
    ]
    ended.sort(key=itemgetter(0), reverse=True)
    tasks_ended = [task for _at, task in ended]
    latest = _since_all_was_well(tasks_ended)
    exceptions = Counter(_exception(task) for task in latest if _failed(task))
    exception, count = exceptions.most_common(1)[0] if exceptions else ("", 0)
    return RecentTasks(
        outcomes=tuple(not _failed(task) for task in tasks_ended),
        exception=exception,
        exception_count=count,
        failing_names=dict(
            Counter(
                str(task.get("name", ""))[:NAME_CHARACTERS] for task in tasks_ended if _failed(task)
            ).most_common(5)
        ),
        window_seconds=round(now - ended[-1][0]) if ended else 0,
        exception_of=exceptions.total(),
        reasons=_reasons(exceptions, latest),
    )


def _reasons(exceptions: Counter[str], ended: Sequence[Mapping[str, Any]]) -> tuple[FailingReason, ...]:
    """Return each kind of failure with what has ended since its last; ``ended`` is newest first."""
    first: dict[str, int] = {}
    last: dict[str, int] = {}
    succeeded_since: dict[str, int] = {}
    succeeded = 0
    for place, task in enumerate(ended):
        if not _failed(task):
            succeeded += 1
            continue
        exception = _exception(task)
        first[exception] = place
        last.setdefault(exception, place)
        succeeded_since.setdefault(exception, succeeded)
    return tuple(
        FailingReason(exception, count, first[exception] - last[exception] + 1, succeeded_since[exception])
        for exception, count in exceptions.most_common(SHOWN_REASONS)
    )


def _since_all_was_well(ended: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    """Return the tasks, newest first, up to a long streak of successes behind a failure.

    The failures before it had another reason.
    """
    has_failed = False
    streak = 0
    for place, task in enumerate(ended):
        streak = 0 if _failed(task) else streak + 1
        has_failed = has_failed or _failed(task)
        if has_failed and streak >= WELL_STREAK:
            return ended[: place + 1]
    return ended


def _failed(task: Mapping[str, Any]) -> bool:
    return task.get("state") == "FAILURE"


def _exception(task: Mapping[str, Any]) -> str:
    """Return a task's exception; objects in memory are the same at every address."""
    return _ADDRESS.sub("0x", str(task.get("exception") or ""))[:NAME_CHARACTERS]


def _address(connection: str) -> str:
    """Return the worker's end of a connection, which RabbitMQ calls ``<client> -> <broker>``."""
    return connection.partition(" -> ")[0][:NAME_CHARACTERS]


def _dict(raw: object, name: str | None = None) -> dict[str, Any]:
    value = raw.get(name) if name is not None and isinstance(raw, Mapping) else raw
    return value if isinstance(value, dict) else {}
