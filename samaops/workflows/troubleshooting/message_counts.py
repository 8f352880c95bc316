"""Count messages at the hops of a notification's way: of the last ten minutes, in the broker and behind it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from samaops.clients.errors import ClientError
from samaops.collect.rabbitmq import flow
from samaops.facts.celery import CeleryFacts
from samaops.facts.firebase import FirebaseFacts
from samaops.facts.observation import Snapshot
from samaops.facts.proxy import ProxyFacts
from samaops.facts.rabbitmq import WINDOW_SECONDS, QueueFlow
from samaops.i18n import _, ngettext
from samaops.model.status import Status
from samaops.site.commands import samaops
from samaops.site.site import Site
from samaops.workflows.troubleshooting.hops import SeenHop, uncounted

# The hops that the broker counts; all other counts have a function of their own.
_COUNTED_BY_BROKER = ("published", "ready", "delivered", "acknowledged")


class Counts(Struct, frozen=True):
    """Where the counts come from: what was observed, and the broker's counters, None when they could not be read."""

    snapshot: Snapshot
    flows: Sequence[QueueFlow] | None
    site: Site


def observe(snapshot: Snapshot, site: Site) -> Counts:
    """Read the broker's counters too."""
    return Counts(snapshot, _flows(site), site)


def _flows(site: Site) -> tuple[QueueFlow, ...] | None:
    if site.settings.rabbitmq is None:
        return None
    try:
        return flow.observe(site, site.settings.rabbitmq)
    except ClientError:  # the broker's own finding says why
        return None


def count(hop: str, counts: Counts) -> SeenHop:
    """Return one hop with its count."""
    if hop in _COUNTED_BY_BROKER:
        return _messages(hop, counts)
    if hop == "sent":
        return _sent(counts)
    return _accepted(hop, counts)


def _messages(hop: str, counts: Counts) -> SeenHop:
    """Count messages: those ready now, or those that the broker published, delivered or saw acknowledged lately."""
    site, flows = counts.site, counts.flows
    if site.settings.rabbitmq is None:
        return SeenHop(hop, Status.SKIPPED, detail=_("[rabbitmq] is not configured"), unit="messages")
    if flows is None:
        reason = _("the broker's counters could not be read")
        return uncounted(hop, "messages", reason, "rabbitmq", site)
    by_queue = {flow.name: getattr(flow, hop) for flow in flows}
    without = ", ".join(name for name, number in by_queue.items() if number is None)
    if without:
        reason = _("the broker does not count the messages of {queues}").format(queues=without)
        return uncounted(hop, "messages", reason, "rabbitmq", site)
    named = ", ".join(f"{name} {number}" for name, number in by_queue.items() if number)
    evidence: dict[str, Any] = {"queues": by_queue}
    if hop != "ready":
        evidence["window_seconds"] = WINDOW_SECONDS
    if hop == "delivered":
        known = [flow.redelivered for flow in flows if flow.redelivered is not None]
        evidence["redelivered"] = sum(known) if len(known) == len(flows) else None
    return SeenHop(hop, None, sum(by_queue.values()), named, evidence, "messages")


def _sent(counts: Counts) -> SeenHop:
    """Count Google's hosts to which the proxy opens the way; without a proxy, those that are reached."""
    if counts.site.settings.firebase is None:  # a proxy alone is still told of by its own findings
        return SeenHop("sent", None, detail=_("[firebase] is not configured"), unit="hosts")
    opened = {
        tunnel.host: tunnel.status == 200
        for _observation, facts in counts.snapshot.facts_of(ProxyFacts)
        for tunnel in facts.tunnels
    }
    reached = opened or {facts.host: True for _observation, facts in counts.snapshot.facts_of(FirebaseFacts)}
    if not reached:
        return uncounted("sent", "hosts", _("no host of Google could be looked at"), "firebase", counts.site)
    named = ", ".join(name for name, is_open in reached.items() if is_open)
    return SeenHop("sent", None, sum(reached.values()), named, {"hosts": reached}, "hosts")


def _accepted(hop: str, counts: Counts) -> SeenHop:
    """Count the tasks that ended well lately, as Flower heard: a task ends well once FCM has taken its message."""
    settings = counts.site.settings
    if settings.flower is None or settings.celery is None:
        missing = _("[celery] is not configured") if settings.flower else _("[flower] is not configured")
        return SeenHop(hop, Status.SKIPPED, detail=missing, unit="tasks")
    recent = next((facts.recent for _observation, facts in counts.snapshot.facts_of(CeleryFacts)), None)
    if recent is None:
        return uncounted(hop, "tasks", _("Flower was not heard"), "flower", counts.site)
    outcomes, failed = recent.outcomes, recent.outcomes.count(False)
    acknowledged = sum(flow.acknowledged or 0 for flow in counts.flows or ())
    if not outcomes and acknowledged:  # Flower was restarted and has forgotten, or it is not connected
        text = ngettext(
            "Flower has heard of no task, though {count} message was acknowledged",
            "Flower has heard of no task, though {count} messages were acknowledged",
            acknowledged,
        )
        return uncounted(hop, "tasks", text.format(count=acknowledged), "flower,celery", counts.site)
    is_none_accepted = bool(failed) and True not in outcomes
    return SeenHop(
        hop,
        Status.WARNING if is_none_accepted else None,
        outcomes.count(True),
        _of_last(failed, len(outcomes)),
        {"succeeded": outcomes.count(True), "failed": failed, "exception": recent.exception},
        "tasks",
        hint=samaops(counts.site, "diagnose --only celery"),
    )


def _of_last(failed: int, count: int) -> str:
    if not count:
        return _("no task ended lately")
    text = ngettext("{failed} of {count} task failed", "{failed} of the last {count} tasks failed", count)
    return text.format(failed=failed, count=count)
