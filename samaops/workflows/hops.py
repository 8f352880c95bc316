"""The stations of a notification's way with their counts: findings of their own, taken from what others found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from msgspec import Struct, field
from msgspec.structs import replace

from samaops.config.playbooks import Hop
from samaops.facts.celery import CeleryFacts
from samaops.facts.firebase import FirebaseFacts
from samaops.facts.observation import Snapshot
from samaops.facts.proxy import ProxyFacts
from samaops.facts.rabbitmq import WINDOW_SECONDS, QueueFlow
from samaops.i18n import _, ngettext
from samaops.model.finding import NO_EVIDENCE, Finding
from samaops.model.report import worst_first
from samaops.model.status import Status, worst
from samaops.site.commands import samaops
from samaops.site.site import Site

PREFIX = "notifications.hop."
# Counts of the broker, by the hop that they tell of.
_COUNTS = {
    "published": "published",
    "ready": "ready",
    "delivered": "delivered",
    "acknowledged": "acknowledged",
}
_BAD = (Status.CRITICAL, Status.UNKNOWN, Status.WARNING)


class _Measured(Struct, frozen=True):
    """The count of one hop. ``status`` is what the count itself says, which may be worse than what others found.

    It is skipped where nothing is configured to count, unknown where that could not be read; None adds nothing.
    ``look`` names what to diagnose to know more.
    """

    value: float | None
    unit: str
    detail: str
    evidence: Mapping[str, Any] = field(default_factory=lambda: NO_EVIDENCE)
    status: Status | None = None
    look: str = ""


def findings(
    hops: Sequence[Hop],
    found: Sequence[Finding],
    snapshot: Snapshot,
    flows: Sequence[QueueFlow] | None,
    site: Site,
) -> tuple[Finding, ...]:
    """Return one finding for each hop, in the order of the way.

    Its status is the worst of those findings that tell of it and of what its count says; without any, nobody
    looked and it is skipped.
    """
    return tuple(_finding(hop, found, _measured(hop.id, snapshot, flows, site), site) for hop in hops)


def _finding(hop: Hop, found: Sequence[Finding], measured: _Measured, site: Site) -> Finding:
    telling = [one for one in found if any(fnmatchcase(one.code, pattern) for pattern in hop.findings)]
    decisive = next((one for one in worst_first(telling) if one.status is not Status.SKIPPED), None)
    finding = Finding(
        code=f"{PREFIX}{hop.id}",
        status=_status(decisive, measured),
        subject=f"notifications/{hop.id}",
        title=str(hop.title),
        detail=measured.detail,
        value=measured.value,
        unit=measured.unit,
        evidence=measured.evidence,
    )
    if decisive is None or decisive.status not in _BAD:
        look = samaops(site, f"diagnose --only {measured.look}") if measured.look else None
        return replace(finding, hint=look) if finding.status in _BAD else finding
    because = [one.key for one in worst_first(telling) if one.status in _BAD]
    detail = "; ".join(part for part in (measured.detail, decisive.title) if part)
    return replace(
        finding,
        detail=detail,
        evidence={**measured.evidence, "because": because},
        hint=decisive.hint,
        cause=decisive.cause,
    )


def _status(decisive: Finding | None, measured: _Measured) -> Status:
    """Return the worse of what was found of a hop and what its count says; a count that nobody takes proves nothing."""
    if decisive is None:
        return measured.status or Status.SKIPPED
    if measured.status is None:
        return decisive.status
    if measured.status is Status.SKIPPED:
        return decisive.status if decisive.status in _BAD else Status.SKIPPED
    return worst((decisive.status, measured.status))


def _measured(hop: str, snapshot: Snapshot, flows: Sequence[QueueFlow] | None, site: Site) -> _Measured:
    if hop in _COUNTS:
        return _counted(_COUNTS[hop], flows, site)
    if hop == "sent":
        return _sent(snapshot, site)
    return _accepted(snapshot, site, flows)


def _uncounted(unit: str, reason: str, look: str) -> _Measured:
    return _Measured(None, unit, reason, status=Status.UNKNOWN, look=look)


def _counted(counter: str, flows: Sequence[QueueFlow] | None, site: Site) -> _Measured:
    if site.settings.rabbitmq is None:
        return _Measured(None, "messages", _("[rabbitmq] is not configured"), status=Status.SKIPPED)
    if flows is None:
        return _uncounted("messages", _("the broker's counters could not be read"), "rabbitmq")
    by_queue = {one.name: getattr(one, counter) for one in flows}
    named = ", ".join(f"{name} {count}" for name, count in by_queue.items() if count)
    evidence: dict[str, Any] = {"queues": by_queue}
    if counter != "ready":
        evidence["window_seconds"] = WINDOW_SECONDS
    if counter == "delivered":
        evidence["redelivered"] = sum(one.redelivered for one in flows)
    return _Measured(sum(by_queue.values()), "messages", named, evidence)


def _sent(snapshot: Snapshot, site: Site) -> _Measured:
    """Count Google's hosts to which the proxy opens the way; without a proxy, those that are reached."""
    if site.settings.firebase is None:  # a proxy alone is still told of by its own findings
        return _Measured(None, "hosts", _("[firebase] is not configured"))
    opened = {
        tunnel.host: tunnel.status == 200
        for _seen, facts in snapshot.facts_of(ProxyFacts)
        for tunnel in facts.tunnels
    }
    reached = opened or {facts.host: True for _seen, facts in snapshot.facts_of(FirebaseFacts)}
    if not reached:
        return _uncounted("hosts", _("no host of Google could be looked at"), "firebase")
    named = ", ".join(name for name, is_open in reached.items() if is_open)
    return _Measured(sum(reached.values()), "hosts", named, {"hosts": reached})


def _accepted(snapshot: Snapshot, site: Site, flows: Sequence[QueueFlow] | None) -> _Measured:
    """Count the tasks that ended well lately, as Flower heard: a task ends well once FCM has taken its message."""
    if site.settings.flower is None or site.settings.celery is None:
        missing = _("[celery] is not configured") if site.settings.flower else _("[flower] is not configured")
        return _Measured(None, "tasks", missing, status=Status.SKIPPED)
    recent = next((facts.recent for _seen, facts in snapshot.facts_of(CeleryFacts)), None)
    if recent is None:
        return _uncounted("tasks", _("Flower was not heard"), "flower")
    outcomes, failed = recent.outcomes, recent.outcomes.count(False)
    acknowledged = sum(one.acknowledged for one in flows or ())
    if not outcomes and acknowledged:  # Flower was restarted and has forgotten, or it is deaf
        text = ngettext(
            "Flower has heard of no task, though {count} message was acknowledged",
            "Flower has heard of no task, though {count} messages were acknowledged",
            acknowledged,
        )
        return _uncounted("tasks", text.format(count=acknowledged), "flower,celery")
    evidence = {"succeeded": outcomes.count(True), "failed": failed, "exception": recent.exception}
    is_none_accepted = bool(failed) and True not in outcomes
    return _Measured(
        outcomes.count(True),
        "tasks",
        _of_last(failed, len(outcomes)),
        evidence,
        status=Status.WARNING if is_none_accepted else None,
        look="celery",
    )


def _of_last(failed: int, count: int) -> str:
    if not count:
        return _("no task ended lately")
    text = ngettext("{failed} of {count} task failed", "{failed} of the last {count} tasks failed", count)
    return text.format(failed=failed, count=count)
