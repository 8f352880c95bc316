"""Runbook notifications, in the broker's own settings: a policy that throws away what waits."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from samaops.i18n import N_, _
from samaops.lab.app.celery_app import TASK_OF_QUEUE
from samaops.lab.incidents import broker, traffic
from samaops.lab.incidents.incident import Incident, Root
from samaops.lab.incidents.site import Site
from samaops.lab.processes import StartError
from samaops.lab.starting import wait_until

QUEUE = "low_priority"
POLICY = "limite-broadcast"
MOST_WAITING = 5
# Broadcasts to many customers, which take the whole pool of the worker for a moment; then many to one each.
LONG_BROADCASTS = 4
CUSTOMERS = 10
MESSAGES = 40
VANISHED = 10
COUNTED_SECONDS = 25.0
DRAINED_SECONDS = 30.0
COUNTERS = ("publish", "ack")


def _limit(site: Site) -> None:
    """Let the queue keep a handful, as somebody does who wants to protect the broker; then send more at once."""
    broker.set_policy(site, POLICY, f"^{QUEUE}$", {"max-length": MOST_WAITING})
    if not wait_until(lambda: _limit_of(broker.queue(site, QUEUE)) is not None, COUNTED_SECONDS):
        raise StartError(_("the policy does not hold for the queue {queue}").format(queue=QUEUE))
    lost_before = _lost(site)[1]
    for _number in range(LONG_BROADCASTS):
        arguments = {"message": "Essai du laboratoire", "limit": CUSTOMERS}
        broker.publish_task(site, QUEUE, TASK_OF_QUEUE[QUEUE], str(uuid4()), arguments)
    traffic.notify_many(QUEUE, MESSAGES)
    if site.is_alone and not wait_until(lambda: _lost(site)[1] - lost_before >= VANISHED, COUNTED_SECONDS):
        raise StartError(_("the queue {queue} keeps what it is given").format(queue=QUEUE))
    _await_drained(site)


def _limit_of(found: dict[str, Any]) -> int | None:
    definition = found.get("effective_policy_definition")
    limit = definition.get("max-length") if isinstance(definition, dict) else None
    return limit if isinstance(limit, int) else None


def _lost(site: Site) -> tuple[int, int]:
    """Return how many messages came in the last ten minutes, and how many of them reached nobody."""
    found = broker.look(site, f"queues/%2F/{QUEUE}?msg_rates_age=600&msg_rates_incr=10") or {}
    stats = found.get("message_stats") or {}
    samples = {name: stats.get(f"{name}_details", {}).get("samples", ()) for name in COUNTERS}
    gained = {
        name: max((one["sample"] for one in listed), default=0)
        - min((one["sample"] for one in listed), default=0)
        for name, listed in samples.items()
    }
    return gained["publish"], gained["publish"] - gained["ack"] - int(found.get("messages", 0))


def _is_limited(site: Site) -> str | None:
    limit = _limit_of(broker.queue(site, QUEUE))
    if limit is None:
        return None
    published, lost = _lost(site)
    return _(
        "the policy {policy} keeps {limit} messages of {queue}: {lost} of {published} in ten minutes vanished"
    ).format(policy=POLICY, limit=limit, queue=QUEUE, lost=max(0, lost), published=published)


def _unlimit(site: Site) -> None:
    broker.clear_policy(site, POLICY)
    _await_drained(site)


def _await_drained(site: Site) -> None:
    if site.is_alone and not wait_until(lambda: broker.is_empty(site, (QUEUE,)), DRAINED_SECONDS):
        raise StartError(_("messages are left in the queue {queue}").format(queue=QUEUE))


INCIDENTS = (
    Incident(
        id="messages-dropped",
        runbook="notifications",
        title=N_("The broker drops messages"),
        does=N_(
            "A policy lets low_priority keep five messages; forty broadcasts come at once and most of them vanish."
        ),
        notice=N_("Many customers miss a broadcast; nothing waits, nothing fails, every service is well."),
        root=Root("messages-dropped", f"rabbitmq/{QUEUE}"),
        break_=_limit,
        is_live=_is_limited,
        heal=_unlimit,
    ),
)
