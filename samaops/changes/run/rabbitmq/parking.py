"""Run what a plan does to single messages: move them to a holding queue, and put them back. Over AMQP.

Nothing is lost whenever this process dies: a message is in its new queue, on the broker's disk, before the old one
gives it up, and what is only held comes back to its place by itself. At worst it is in both queues: putting back
publishes each task once.
"""

from __future__ import annotations

import re
import shlex
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import quote

from msgspec import convert

from samaops.changes.rabbitmq.parking import (
    ALL,
    DROPPING,
    GIVEN_BACK,
    LAST_SECONDS,
    MOST_HELD,
    PARK,
    PREFIX,
    ROUND_SECONDS,
    UNPARK,
    Parking,
    Unparking,
)
from samaops.changes.run.operations import runs
from samaops.clients.amqp import FIRST, AmqpSession, Delivery
from samaops.clients.errors import ClientError
from samaops.clients.rabbitmq import ManagementApi
from samaops.config.settings import RabbitMQ
from samaops.i18n import _, ngettext
from samaops.model.failure import FailureKind
from samaops.model.plan import Operation, Outcome
from samaops.site.site import Site

# Where a parked message tells which change parked it, and what had to be left out.
MARK = "x-samaops-parked"
TURN_SECONDS = 1.0
# What was ready when we began comes in one go: when so many have come, or after a pause, all of it was seen.
PAUSE_SECONDS = 0.3
# Unless newer messages of a higher priority have come between: so long after that, for certain.
MIXED_SECONDS = 1.0


def _park_lines(operation: Operation, site: Site) -> tuple[str, ...]:
    """Show what is done on the connection, call by call: there is no command line that does it."""
    parking = convert(operation.arguments, Parking)
    queue, holding, which = map(shlex.quote, (parking.queue, parking.holding, parking.which))
    wanted = _("what a worker gives back") if which == GIVEN_BACK else _("task {id}").format(id=which)
    most = _("at most {seconds} s").format(seconds=f"{parking.seconds:g}")
    return (
        _connection(site),
        f"queue.declare {holding} durable",
        f"basic.consume {queue} x-priority={FIRST}, {most}",
        f"{wanted}: basic.publish {holding}, confirm, basic.ack",
        _("all others: channel.close, which puts them back"),
    )


def _unpark_lines(operation: Operation, site: Site) -> tuple[str, ...]:
    unparking = convert(operation.arguments, Unparking)
    queue, holding, label, which = map(
        shlex.quote, (unparking.queue, unparking.holding, unparking.label, unparking.which)
    )
    wanted = _("task {id}").format(id=which) if which != ALL else _("all messages")
    if label != ALL:
        wanted = _("{what} with the header {name}={value}").format(what=wanted, name=MARK, value=label)
    return (
        _connection(site),
        f"basic.get {holding}",
        f"{wanted}: basic.publish {queue}, confirm, basic.ack",
        _("all others: channel.close, which puts them back"),
    )


def _connection(site: Site) -> str:
    broker = _broker(site)
    return f"amqp://{broker.username}@{site.host_of(broker)}:{broker.port}/{quote(broker.vhost, safe='')}"


@runs(PARK, lines=_park_lines)
def park(operation: Operation, site: Site) -> Outcome:
    """Park what is asked for. Raises ClientError when nothing of it came."""
    parking = convert(operation.arguments, Parking)
    holding = parking.holding
    with _session(site) as session:
        is_new = session.ready(holding) is None
        session.declare(holding)
        try:
            _require_safe(site, parking)
            parked = _watch(session, parking)
        except ClientError:
            if is_new:
                with suppress(ClientError):  # why it failed is what has to be told
                    session.delete_if_empty(holding)
            raise
        if not parked and is_new:
            session.delete_if_empty(holding)
    if not parked:
        raise ClientError(FailureKind.MISSING, _not_seen(parking), parking.queue)
    text = ngettext(
        "{count} message is in {holding}: {ids}", "{count} messages are in {holding}: {ids}", len(parked)
    )
    return Outcome(True, text.format(count=len(parked), holding=holding, ids=", ".join(parked)))


def _not_seen(parking: Parking) -> str:
    if parking.which == GIVEN_BACK:
        text = _("no worker gave a message of {queue} back within {seconds:g} s; nothing was parked")
    else:
        text = _(
            "the task {which} did not come through {queue} within {seconds:g} s; nothing was parked. "
            "A worker that is in it gives it back only when it dies"
        )
    return text.format(queue=parking.queue, which=parking.which, seconds=parking.seconds)


def _require_safe(site: Site, parking: Parking) -> None:
    """Raise ClientError when a policy or an argument would drop what is parked, or what is only held.

    The policies are matched here: what the broker shows of a queue itself is seconds old.
    """
    broker, holding = _broker(site), parking.holding
    with ManagementApi(site.host_of(broker), broker) as api:
        source = api.in_vhost("queues", parking.queue, columns="type")
        target = api.in_vhost("queues", holding, columns="arguments,durable")
        policies = [*api.in_vhost("policies"), *api.in_vhost("operator-policies")]
    if source.get("type", "classic") != "classic":  # a quorum queue has a delivery limit: 20 in RabbitMQ 4
        text = _(
            "{queue} is a {type} queue, which counts how often a message was delivered and drops it after that; "
            "nothing was parked"
        )
        message = text.format(queue=parking.queue, type=source["type"])
        raise ClientError(FailureKind.ERROR, message, parking.queue)
    rules = [target.get("arguments") or {}]
    rules += [policy["definition"] for policy in policies if _applies(policy, holding)]
    dropping = [name for name in DROPPING if any(name in rule or f"x-{name}" in rule for rule in rules)]
    if dropping or target.get("durable") is not True:
        text = _("the queue {holding} would not keep what is parked ({reason}); nothing was parked")
        reason = ", ".join(dropping) or "durable=false"
        raise ClientError(FailureKind.ERROR, text.format(holding=holding, reason=reason), holding)


def _applies(policy: Mapping[str, Any], queue: str) -> bool:
    try:
        matches = re.search(str(policy["pattern"]), queue) is not None
    except re.error:  # Erlang's own syntax: take it for one that does
        matches = True
    return matches and policy.get("apply-to") != "exchanges"


def _watch(session: AmqpSession, parking: Parking) -> list[str]:
    """Let the queue pass through our hands, in rounds, until what is asked for was seen or the time is over."""
    parked: list[str] = []
    ends_at = time.monotonic() + parking.seconds
    while time.monotonic() < ends_at:
        before = len(parked)
        _Round(session, parking, parked).run(min(ends_at, time.monotonic() + ROUND_SECONDS))
        # a worker has room for others now, which may kill it as well
        is_over = before == len(parked) or len(parked) >= parking.most
        if parked and is_over:
            break
        session.next(min(TURN_SECONDS, max(0.0, ends_at - time.monotonic())))
    return parked


class _Round:
    """One time in which all that becomes ready in the queue comes to us first."""

    def __init__(self, session: AmqpSession, parking: Parking, parked: list[str]) -> None:
        self._session, self._parking, self._parked = session, parking, parked
        self._held = 0

    def run(self, ends_at: float) -> None:
        """Park what is asked for, hold all others, and give them back at the end."""
        ready = self._session.ready(self._parking.queue) or 0
        self._session.subscribe(self._parking.queue)
        beginning = _Beginning(ready)
        while (left := ends_at - time.monotonic()) > 0 and len(self._parked) < self._parking.most:
            delivery = self._session.next(min(left, beginning.pause_seconds))
            if delivery is not None and self._take(delivery, has_begun=not beginning.lasts):
                ends_at = time.monotonic() + LAST_SECONDS
            beginning.note(delivery)
        self._session.give_back()

    def _take(self, delivery: Delivery, *, has_begun: bool) -> bool:
        """Park a message, or hold it; return whether it was parked."""
        if not self._is_wanted(delivery, has_begun):
            self._held += 1
            if self._held > MOST_HELD:
                text = _("more than {most} messages came; all are back in {queue}")
                message = text.format(most=MOST_HELD, queue=self._parking.queue)
                raise ClientError(FailureKind.ERROR, message, self._parking.queue)
            return False
        mark = {"by": self._parking.label, "from": self._parking.queue}
        if delivery.properties.get("expiration") is not None:  # it must not run out while it is parked
            mark["expiration"] = str(delivery.properties["expiration"])
        headers = {**delivery.headers, MARK: mark}
        self._session.copy(delivery, self._parking.holding, headers, expiration=None)
        self._session.acknowledge(delivery)
        self._parked.append(delivery.task_id or "?")
        return True

    def _is_wanted(self, delivery: Delivery, has_begun: bool) -> bool:
        """Return whether it is the task asked for, or was given back by a worker just now.

        Delivered before, alone, says little: whoever looks at a queue leaves that mark on all its messages.
        """
        if self._parking.which == GIVEN_BACK:
            return has_begun and delivery.is_redelivered
        return delivery.task_id == self._parking.which


class _Beginning:
    """The first moments of a round, in which what was ready before comes in one go."""

    def __init__(self, ready: int) -> None:
        self._left = ready
        self._priorities: set[int] = set()
        self._ends_at: float | None = None
        self.lasts = ready > 0

    @property
    def pause_seconds(self) -> float:
        """How long to wait for the next message; for the whole round once it has begun."""
        return PAUSE_SECONDS if self.lasts else ROUND_SECONDS

    def note(self, delivery: Delivery | None) -> None:
        """Take note of one more message, or of a pause."""
        if delivery is None:
            self.lasts = False
            return
        self._left -= 1
        self._priorities.add(delivery.priority)
        now = time.monotonic()
        if self._left <= 0 and self._ends_at is None:
            self._ends_at = now + (MIXED_SECONDS if len(self._priorities) > 1 else 0)
        if self._ends_at is not None and now >= self._ends_at:
            self.lasts = False


@runs(UNPARK, lines=_unpark_lines)
def unpark(operation: Operation, site: Site) -> Outcome:
    """Put parked messages back, each task once. Raises ClientError."""
    unparking = convert(operation.arguments, Unparking)
    queue, holding = unparking.queue, unparking.holding
    back: list[str] = []
    with _session(site) as session:
        if session.ready(queue) is None:
            raise ClientError(
                FailureKind.MISSING, _("there is no queue {queue}").format(queue=queue), "unpark"
            )
        others = 0
        while others < MOST_HELD and (delivery := session.get(holding)) is not None:
            if _is_chosen(delivery, unparking):
                _put_back(session, delivery, queue, back)
            else:
                others += 1
        session.give_back()
        if holding.startswith(PREFIX) and not others:
            session.delete_if_empty(holding)
    text = ngettext("{count} message is in {queue} again", "{count} messages are in {queue} again", len(back))
    return Outcome(True, text.format(count=len(back), queue=queue))


def _is_chosen(delivery: Delivery, unparking: Unparking) -> bool:
    mark = delivery.headers.get(MARK)
    by = mark.get("by") if isinstance(mark, Mapping) else None
    return unparking.label in (ALL, by) and unparking.which in (ALL, delivery.task_id)


def _put_back(session: AmqpSession, delivery: Delivery, queue: str, back: list[str]) -> None:
    """Publish a message as it was; a second copy of a task that is back is only forgotten."""
    if not delivery.task_id or delivery.task_id not in back:
        headers = dict(delivery.headers)
        mark = headers.pop(MARK, None)
        left_out: dict[str, Any] = {}
        if isinstance(mark, Mapping) and "expiration" in mark:
            left_out["expiration"] = mark["expiration"]
        session.copy(delivery, queue, headers, **left_out)
        back.append(delivery.task_id)
    session.acknowledge(delivery)


def _broker(site: Site) -> RabbitMQ:
    if site.settings.rabbitmq is None:
        raise ClientError(FailureKind.MISSING, _("[rabbitmq] is not configured"), "rabbitmq")
    return site.settings.rabbitmq


def _session(site: Site) -> AmqpSession:
    broker = _broker(site)
    return AmqpSession(site.host_of(broker), broker)
