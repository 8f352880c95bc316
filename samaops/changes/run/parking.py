"""Run what a plan does to single messages: move them to a holding queue, and put them back. Over AMQP.

Nothing is lost whenever this process dies: a message is in its new queue, on the broker's disk, before the old one
gives it up, and what is only held comes back to its place by itself. At worst it is in both queues: putting back
publishes each task once.
"""

from __future__ import annotations

import re
import shlex
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import quote

from msgspec import Struct

from samaops.clients.amqp import FIRST, AmqpSession, Delivery
from samaops.clients.errors import ClientError
from samaops.clients.rabbitmq import ManagementApi
from samaops.config.settings import RabbitMQ
from samaops.i18n import _, ngettext
from samaops.model.failure import FailureKind
from samaops.model.plan import Operation
from samaops.site.site import Site

PARK, UNPARK = "rabbitmq.park", "rabbitmq.unpark"
# Instead of a task's id: whatever a worker gives back while we watch; and whatever is in the holding queue.
GIVEN_BACK, ALL = "--redelivered", "--all"
PREFIX = "samaops.parked."
# Where a parked message tells which change parked it, and what had to be left out.
MARK = "x-samaops-parked"
MOST_GIVEN_BACK = 10
# All are held in this process while it watches.
MOST_HELD = 20_000
# What empties or drops a queue by itself has no place for what must be kept.
DROPPING = ("max-length", "max-length-bytes", "message-ttl", "expires")
# The others wait no longer than this before workers have their turn.
ROUND_SECONDS, TURN_SECONDS = 6.0, 1.0
# What was ready when we began comes in one go: when so many have come, or after a pause, all of it was seen.
PAUSE_SECONDS = 0.3
# Unless newer messages of a higher priority have come between: so long after that, for certain.
MIXED_SECONDS = 1.0
# One was given back; after so long without another it was the last.
LAST_SECONDS = 5.0


class Parking(Struct, frozen=True):
    """What to park: from which queue, to which; the task's id or ``GIVEN_BACK``; ``label`` names the change."""

    queue: str
    holding: str
    label: str
    seconds: float
    which: str

    @property
    def most(self) -> int:
        """How many messages may be parked."""
        return MOST_GIVEN_BACK if self.which == GIVEN_BACK else 1


def park(parking: Parking) -> Operation:
    """Return the operation that parks messages."""
    words = [parking.queue, parking.holding, parking.label, f"{parking.seconds:g}", parking.which]
    return Operation(PARK, shlex.join(words), None, parking.seconds + ROUND_SECONDS + LAST_SECONDS)


def unpark(queue: str, holding: str, label: str = ALL, which: str = ALL) -> Operation:
    """Return the operation that puts parked messages back: those of one change, or one task's, or all."""
    return Operation(UNPARK, shlex.join([queue, holding, label, which]), None, 600.0)


def calls(operation: Operation, site: Site) -> tuple[str, ...]:
    """Return what is done on the connection, call by call: there is no command line that does it."""
    return tuple(_calls(operation, site))


def _calls(operation: Operation, site: Site) -> Iterator[str]:
    broker = _broker(site)
    queue, holding, label, *rest = map(shlex.quote, shlex.split(operation.text))
    vhost = quote(broker.vhost, safe="")
    yield f"amqp://{broker.username}@{site.host_of(broker)}:{broker.port}/{vhost}"
    if operation.kind == PARK:
        seconds, which = rest
        what = _("what a worker gives back") if which == GIVEN_BACK else _("task {id}").format(id=which)
        yield f"queue.declare {holding} durable"
        most = _("at most {seconds} s").format(seconds=seconds)
        yield f"basic.consume {queue} x-priority={FIRST}, {most}"
        yield f"{what}: basic.publish {holding}, confirm, basic.ack"
        yield _("all others: channel.close, which puts them back")
        return
    (which,) = rest
    chosen = _("task {id}").format(id=which) if which != ALL else _("all messages")
    yield f"basic.get {holding}"
    if label != ALL:
        chosen = _("{what} with the header {name}={value}").format(what=chosen, name=MARK, value=label)
    yield f"{chosen}: basic.publish {queue}, confirm, basic.ack"
    yield _("all others: channel.close, which puts them back")


def run_park(operation: Operation, site: Site) -> str:
    """Park what is asked for; return how much, in a sentence. Raises ClientError when nothing was found."""
    queue, holding, label, seconds, which = shlex.split(operation.text)
    parking = Parking(queue, holding, label, float(seconds), which)
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
        raise ClientError(FailureKind.MISSING, _not_seen(parking), queue)
    text = ngettext(
        "{count} message is in {holding}: {ids}", "{count} messages are in {holding}: {ids}", len(parked)
    )
    return text.format(count=len(parked), holding=holding, ids=", ".join(parked))


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
        found = api.in_vhost("queues", holding, columns="arguments,durable")
        policies = [*api.in_vhost("policies"), *api.in_vhost("operator-policies")]
    if source.get("type", "classic") != "classic":  # a quorum queue has a delivery limit: 20 in RabbitMQ 4
        text = _(
            "{queue} is a {type} queue, which counts how often a message was delivered and drops it after that; "
            "nothing was parked"
        )
        message = text.format(queue=parking.queue, type=source["type"])
        raise ClientError(FailureKind.ERROR, message, parking.queue)
    rules = [found.get("arguments") or {}]
    rules += [one["definition"] for one in policies if _applies(one, holding)]
    dropping = [one for one in DROPPING if any(one in rule or f"x-{one}" in rule for rule in rules)]
    if dropping or found.get("durable") is not True:
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
            found = self._session.next(min(left, beginning.pause_seconds))
            if found is not None and self._take(found, has_begun=not beginning.lasts):
                ends_at = time.monotonic() + LAST_SECONDS
            beginning.note(found)
        self._session.give_back()

    def _take(self, found: Delivery, *, has_begun: bool) -> bool:
        """Park a message, or hold it; return whether it was parked."""
        if not self._is_wanted(found, has_begun):
            self._held += 1
            if self._held > MOST_HELD:
                text = _("more than {most} messages came; all are back in {queue}")
                message = text.format(most=MOST_HELD, queue=self._parking.queue)
                raise ClientError(FailureKind.ERROR, message, self._parking.queue)
            return False
        mark = {"by": self._parking.label, "from": self._parking.queue}
        if found.properties.get("expiration") is not None:  # it must not run out while it is parked
            mark["expiration"] = str(found.properties["expiration"])
        headers = {**found.headers, MARK: mark}
        self._session.copy(found, self._parking.holding, headers, expiration=None)
        self._session.acknowledge(found)
        self._parked.append(found.task_id or "?")
        return True

    def _is_wanted(self, found: Delivery, has_begun: bool) -> bool:
        """Return whether it is the task asked for, or was given back by a worker just now.

        Delivered before, alone, says little: whoever looks at a queue leaves that mark on all its messages.
        """
        if self._parking.which == GIVEN_BACK:
            return has_begun and found.is_redelivered
        return found.task_id == self._parking.which


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

    def note(self, found: Delivery | None) -> None:
        """Take note of one more message, or of a pause."""
        if found is None:
            self.lasts = False
            return
        self._left -= 1
        self._priorities.add(found.priority)
        now = time.monotonic()
        if self._left <= 0 and self._ends_at is None:
            self._ends_at = now + (MIXED_SECONDS if len(self._priorities) > 1 else 0)
        if self._ends_at is not None and now >= self._ends_at:
            self.lasts = False


def run_unpark(operation: Operation, site: Site) -> str:
    """Put parked messages back, each task once; return how many, in a sentence. Raises ClientError."""
    queue, holding, label, which = shlex.split(operation.text)
    back: list[str] = []
    with _session(site) as session:
        if session.ready(queue) is None:
            raise ClientError(
                FailureKind.MISSING, _("there is no queue {queue}").format(queue=queue), "unpark"
            )
        others = 0
        while others < MOST_HELD and (found := session.get(holding)) is not None:
            if _is_chosen(found, label, which):
                _put_back(session, found, queue, back)
            else:
                others += 1
        session.give_back()
        if holding.startswith(PREFIX) and not others:
            session.delete_if_empty(holding)
    text = ngettext("{count} message is in {queue} again", "{count} messages are in {queue} again", len(back))
    return text.format(count=len(back), queue=queue)


def _is_chosen(found: Delivery, label: str, which: str) -> bool:
    mark = found.headers.get(MARK)
    by = mark.get("by") if isinstance(mark, Mapping) else None
    return label in (ALL, by) and which in (ALL, found.task_id)


def _put_back(session: AmqpSession, found: Delivery, queue: str, back: list[str]) -> None:
    """Publish a message as it was; a second copy of a task that is back is only forgotten."""
    if not found.task_id or found.task_id not in back:
        headers = dict(found.headers)
        mark = headers.pop(MARK, None)
        left_out: dict[str, Any] = {}
        if isinstance(mark, Mapping) and "expiration" in mark:
            left_out["expiration"] = mark["expiration"]
        session.copy(found, queue, headers, **left_out)
        back.append(found.task_id)
    session.acknowledge(found)


def _broker(site: Site) -> RabbitMQ:
    if site.settings.rabbitmq is None:
        raise ClientError(FailureKind.MISSING, _("[rabbitmq] is not configured"), "rabbitmq")
    return site.settings.rabbitmq


def _session(site: Site) -> AmqpSession:
    broker = _broker(site)
    return AmqpSession(site.host_of(broker), broker)
