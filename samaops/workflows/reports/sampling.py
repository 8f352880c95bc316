"""One look a minute at what the objectives speak of: what it shows is kept, judged by no more than up, degraded, down.

A look is taken of what customers get first: the virtual address, each member, the database as the application reaches it. Disks
are looked at over SSH, and each log-in leaves a line in a log: every tenth minute is enough for what fills in days. What was
published of the notifications of an hour is counted once in it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

from msgspec.structs import replace

from samaops.clients.errors import ClientError
from samaops.clients.postgresql import PostgresClient
from samaops.collect import engine, registry
from samaops.collect.postgresql import notifications
from samaops.facts.api import ApiFacts
from samaops.facts.health import HealthAnswer
from samaops.facts.loadbalancer import VipFacts
from samaops.facts.observation import Observation, Snapshot
from samaops.facts.pgbouncer import PgBouncerFacts
from samaops.facts.postgresql import PostgresFacts
from samaops.facts.rabbitmq import BrokerQueue, RabbitMQFacts
from samaops.facts.redis import RedisFacts
from samaops.facts.sample import (
    DATABASE,
    DEGRADED,
    DISK,
    DOWN,
    MEMBER,
    NOTIFICATIONS,
    POOL,
    QUEUE,
    REDIS,
    UNOBSERVED,
    UP,
    WHOLE,
    Minute,
    Sample,
)
from samaops.facts.selection import Selection
from samaops.facts.servers import ServerFacts
from samaops.i18n import _
from samaops.journal import history
from samaops.journal.database import HistoryError
from samaops.journal.history import Journal
from samaops.journal.samples import Samples
from samaops.model.failure import OUTAGE_KINDS, Failure
from samaops.site import redaction
from samaops.site.site import Site

# A minute is over before the next one: what has not answered by then hangs.
LOOK_SECONDS = 20.0
DISKS_EVERY, NOTIFICATIONS_AT = 10, 5
CONDENSED_AT = 7
# The guide's objectives: from here on an answer is late.
_API_MS, _DATABASE_MS, _REDIS_MS = 500.0, 100.0, 100.0
_BACKLOG, _OLD_SECONDS = 1000, 600
_DISK_PERCENT, _POOL_PERCENT, _MEMORY_PERCENT = 80.0, 80.0, 90.0
# What a queue says of itself when it serves, as the checks have it.
_SERVING = ("running", "idle", "flow", "live", "syncing", "")
_REASON_CHARACTERS = 120
# What says that the pool has no server to give.
_NOT_SERVED = frozenset({*(str(kind) for kind in OUTAGE_KINDS), "dependency", "error", "missing"})


def codes_of(site: Site, minute: datetime) -> tuple[str, ...]:
    """Return by which codes is looked in a minute."""
    settings = site.settings
    codes = ["loadbalancer.vip", "api.health", "rabbitmq.queue", "redis.service"]
    codes += (
        ["pgbouncer.query.failed", "pgbouncer.clients.high"] if settings.pgbouncer else ["postgresql.latency"]
    )
    if _is_time_for(minute, DISKS_EVERY):
        codes.append("servers.disk.inodes")
    return tuple(codes)


def _is_time_for(minute: datetime, every: int) -> bool:
    return int(minute.timestamp() // 60) % every == 0


def look(site: Site, minute: datetime, seconds: float = LOOK_SECONDS) -> Minute:
    """Take one look."""
    began = time.process_time()
    selection = Selection(only=codes_of(site, minute))
    collectors = registry.collectors(site, selection)
    snapshot = engine.observe(collectors, site, selection, seconds)
    samples = [*samples_of(snapshot, site)]
    if minute.minute == NOTIFICATIONS_AT:
        samples += _notifications(site)
    cost = round((time.process_time() - began) * 1000)
    return redaction.redacted(Minute(minute, tuple(samples), cost), site)  # type: ignore[no-any-return]


def samples_of(snapshot: Snapshot, site: Site) -> Iterator[Sample]:
    """Yield what a look shows of each subject. Pure."""
    seen = [sample for observation in snapshot.observations for sample in _of(observation, site)]
    if not any(sample.kind == "service" for sample in seen):
        seen = [*_of_members(seen), *seen]
    failures = [observation.failure for observation in snapshot.observations]
    # When nobody at all answers it is this machine that cannot look.
    if (
        failures
        and all(failure is not None and failure.is_unreached for failure in failures)
        and len(failures) > 1
    ):
        reason = _("nothing could be reached from here")
        seen = [replace(each, state=UNOBSERVED, value=None, reason=reason) for each in seen]
    yield from seen


def _of_members(seen: list[Sample]) -> Iterator[Sample]:
    """Yield the service of a site without a balancer: it is there while a member is."""
    members = [sample for sample in seen if sample.kind == MEMBER]
    for state in (UP, DEGRADED, UNOBSERVED, DOWN):
        best = [sample for sample in members if sample.state == state]
        if best:
            yield replace(best[0], subject=WHOLE, server=None)
            return


def _of(observation: Observation, site: Site) -> Iterator[Sample]:
    """Yield the samples of one observation; where that failed, those that it would have had."""
    of_type = _READERS.get(observation.facts_type)
    if of_type is None:
        return
    for sample in of_type(observation, site):
        yield replace(sample, server=observation.server, reason=sample.reason[:_REASON_CHARACTERS])


def _failed(subject: str, failure: Failure | None) -> Sample:
    """Return a subject that did not answer (down), or that could not be looked at (not observed)."""
    if failure is None:
        return Sample(subject, UNOBSERVED)
    return Sample(subject, DOWN if failure.is_outage else UNOBSERVED, reason=failure.message)


def _name(observation: Observation) -> str:
    return observation.subject.partition("/")[2]


def _vip(observation: Observation, site: Site) -> Iterator[Sample]:
    facts = observation.facts
    yield _answer(WHOLE, facts.answer, site) if facts else _failed(WHOLE, observation.failure)


def _member(observation: Observation, site: Site) -> Iterator[Sample]:
    subject = f"{MEMBER}/{_name(observation)}"
    facts = observation.facts
    yield _answer(subject, facts.answer, site) if facts else _failed(subject, observation.failure)


def _answer(subject: str, answer: HealthAnswer, site: Site) -> Sample:
    if not answer.serves(site.healthy_status()):
        reason = _("status {status}, {body!r}").format(status=answer.status, body=answer.body_status)
        return Sample(subject, DOWN, reason=reason)
    took = answer.samples_ms[0]
    return Sample(subject, DEGRADED if took >= _API_MS else UP, took, "ms")


def _pool(observation: Observation, _site: Site) -> Iterator[Sample]:
    """Yield the database as the application gets it, and how many clients the pool has."""
    database, clients = f"{DATABASE}/application", f"{POOL}/clients"
    facts: PgBouncerFacts | None = observation.facts
    if facts is None:
        yield _failed(database, observation.failure)
        yield _failed(clients, observation.failure)
        return
    query = facts.query
    if query is None:
        yield Sample(database, UNOBSERVED, reason=_("[pgbouncer] password is not configured"))
    elif query.milliseconds is None:
        yield Sample(database, DOWN if query.kind in _NOT_SERVED else UNOBSERVED, reason=query.error)
    else:
        session = query.session
        is_held = session is not None and (session.is_read_only or session.in_recovery)
        state = DEGRADED if is_held or query.milliseconds >= _DATABASE_MS else UP
        reason = _("it takes no writes") if is_held else ""
        yield Sample(database, state, query.milliseconds, "ms", reason=reason)
    if facts.console is None:
        missing = observation.missing.get("console")
        yield Sample(clients, UNOBSERVED, reason=missing.message if missing else "")
        return
    most = _whole(facts.console.settings.get("max_client_conn"))
    count = facts.console.clients
    is_full = most is not None and 100 * count >= _POOL_PERCENT * most
    yield Sample(clients, DEGRADED if is_full else UP, float(count), "clients")
    if most is not None:
        yield Sample(f"{POOL}/limit", UP, float(most), "clients")


def _whole(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdigit() else None


def _database(observation: Observation, _site: Site) -> Iterator[Sample]:
    subject = f"{DATABASE}/application"
    facts: PostgresFacts | None = observation.facts
    if facts is None:
        yield _failed(subject, observation.failure)
        return
    is_late = facts.in_recovery or facts.ping_ms >= _DATABASE_MS
    yield Sample(subject, DEGRADED if is_late else UP, facts.ping_ms, "ms")


def _queues(observation: Observation, site: Site) -> Iterator[Sample]:
    facts: RabbitMQFacts | None = observation.facts
    for name in site.queues():
        subject = f"{QUEUE}/{name}"
        if facts is None or facts.queues is None:
            yield _failed(subject, observation.failure or observation.missing.get("queues"))
            continue
        queue = facts.queue(name)
        yield (
            Sample(subject, DOWN, reason=_("it does not exist")) if queue is None else _queue(subject, queue)
        )


def _queue(subject: str, queue: BrokerQueue) -> Sample:
    """Return one queue: down where it does not serve or nobody takes what waits, degraded where that waits too long."""
    if queue.ready is None:
        return Sample(subject, UNOBSERVED, reason=_("the broker does not count it"))
    history_ = queue.history
    age = history_ and (
        history_.waiting_seconds if history_.oldest_ready_seconds is None else history_.oldest_ready_seconds
    )
    sample = Sample(subject, UP, float(queue.ready), "messages", float(age) if queue.ready and age else None)
    if queue.state not in _SERVING:
        return replace(sample, state=DOWN, reason=queue.state)
    if queue.consumers == 0:
        return replace(sample, state=DOWN if queue.ready else DEGRADED, reason=_("nobody consumes it"))
    is_late = queue.ready >= _BACKLOG or (sample.age_seconds or 0) >= _OLD_SECONDS
    return replace(sample, state=DEGRADED) if is_late else sample


def _redis(observation: Observation, _site: Site) -> Iterator[Sample]:
    subject = f"{REDIS}/{_name(observation)}"
    facts: RedisFacts | None = observation.facts
    if facts is None:
        yield _failed(subject, observation.failure)
        return
    yield Sample(subject, DEGRADED if facts.ping_ms >= _REDIS_MS else UP, facts.ping_ms, "ms")
    percent = facts.memory.used_percent
    if percent is not None:
        state = DEGRADED if percent >= _MEMORY_PERCENT else UP
        yield Sample(f"{REDIS}/memory", state, percent, "%")


def _disks(observation: Observation, _site: Site) -> Iterator[Sample]:
    facts: ServerFacts | None = observation.facts
    if facts is None:
        # Over a log-in that fails nothing is known of a disk.
        return
    for disk in facts.file_systems:
        percent = disk.used_percent
        state = DOWN if disk.available_bytes == 0 else DEGRADED if percent >= _DISK_PERCENT else UP
        yield Sample(f"{DISK}/{observation.server}:{disk.mount}", state, percent, "%")


Reader = Callable[[Observation, Site], Iterator[Sample]]
_READERS: dict[str, Reader] = {
    kind.__name__: reader
    for kind, reader in (
        (VipFacts, _vip),
        (ApiFacts, _member),
        (PgBouncerFacts, _pool),
        (PostgresFacts, _database),
        (RabbitMQFacts, _queues),
        (RedisFacts, _redis),
        (ServerFacts, _disks),
    )
}


# How many notifications of an hour were published.


def _notifications(site: Site) -> Iterator[Sample]:
    """Yield how many notifications were due in the last hour but five minutes, and how many of them are published."""
    settings = site.settings.postgresql
    if settings is None or not settings.notifications_table:
        return
    client = PostgresClient(site.host_of(settings), settings, settings.timeout)
    due, sent = f"{NOTIFICATIONS}/due", f"{NOTIFICATIONS}/sent"
    try:
        client.connect()
        counted = notifications.read_sent(client, settings)
    except ClientError as error:
        yield Sample(due, UNOBSERVED, reason=error.message[:_REASON_CHARACTERS])
        return
    finally:
        client.close()
    if counted is None:
        yield Sample(due, UNOBSERVED, reason=_("the table cannot be counted quickly"))
        return
    yield Sample(due, UP, float(counted[0]), "notifications")
    yield Sample(sent, UP, float(counted[1]), "notifications")


# What keeps them.


def journal_of(site: Site) -> Journal:
    """Return the history of a site, for samples alone; nothing is opened yet."""
    return Journal(history.database_of(site.settings), site.name)


def take(site: Site, samples: Samples, minute: datetime) -> tuple[Minute, str]:
    """Look, and keep what was seen; return it, and why it could not be kept, "" when it was."""
    seen = look(site, minute)
    try:
        samples.add(seen)
        if minute.minute == CONDENSED_AT:
            samples.condense(minute)
    except HistoryError as error:
        return seen, error.message
    return seen, ""


def run(
    site: Site, minutes: int, tell: Callable[[Minute, str], None], wait: Callable[[float], Any] = time.sleep
) -> None:
    """Take a look in each of so many minutes, this one first. ``tell`` is told of each, and why it was not kept."""
    journal = journal_of(site)
    samples = Samples(journal, site.name)
    try:
        for number in range(minutes):
            now = datetime.now(timezone.utc)
            minute = now.replace(second=0, microsecond=0)
            tell(*take(site, samples, minute))
            if number + 1 < minutes:
                following = minute + timedelta(minutes=1)
                wait(max(0.0, (following - datetime.now(timezone.utc)).total_seconds()))
    finally:
        journal.close()
