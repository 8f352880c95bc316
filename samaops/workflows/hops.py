"""The stations of a notification's way with their counts: findings of their own, taken from what others found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any

from samaops.config.playbooks import Hop
from samaops.config.settings import Settings
from samaops.facts.celery import CeleryFacts
from samaops.facts.firebase import FirebaseFacts
from samaops.facts.flow import WINDOW_SECONDS, QueueFlow
from samaops.facts.observation import Snapshot
from samaops.facts.proxy import ProxyFacts
from samaops.i18n import _
from samaops.model.finding import Finding
from samaops.model.report import worst_first
from samaops.model.status import Status

PREFIX = "notifications.hop."
# Counts of the broker, by the hop that they tell of.
_COUNTS = {
    "published": "published",
    "ready": "ready",
    "delivered": "delivered",
    "acknowledged": "acknowledged",
}
_BAD = (Status.CRITICAL, Status.UNKNOWN, Status.WARNING)


def findings(
    hops: Sequence[Hop],
    found: Sequence[Finding],
    snapshot: Snapshot,
    flows: Sequence[QueueFlow] | None,
    settings: Settings,
) -> tuple[Finding, ...]:
    """Return one finding for each hop, in the order of the way.

    Its status is the worst of those findings that tell of it; without any, nobody looked and it is skipped.
    """
    return tuple(_finding(hop, found, _measured(hop.id, snapshot, flows, settings)) for hop in hops)


def _finding(hop: Hop, found: Sequence[Finding], measured: _Measured) -> Finding:
    telling = [one for one in found if any(fnmatchcase(one.code, pattern) for pattern in hop.findings)]
    decisive = next((one for one in worst_first(telling) if one.status is not Status.SKIPPED), None)
    value, unit, detail, evidence = measured
    finding = Finding(
        code=f"{PREFIX}{hop.id}",
        status=decisive.status if decisive else Status.SKIPPED,
        subject=f"notifications/{hop.id}",
        title=_(hop.title),
        detail=detail,
        value=value,
        unit=unit,
        evidence=evidence,
    )
    if decisive is None or decisive.status not in _BAD:
        return finding
    evidence = {**evidence, "because": [one.key for one in worst_first(telling) if one.status in _BAD]}
    detail = "; ".join(part for part in (detail, decisive.title) if part)
    return replace(finding, detail=detail, evidence=evidence, hint=decisive.hint, cause=decisive.cause)


_Measured = tuple[float | None, str | None, str, Mapping[str, Any]]


def _measured(
    hop: str, snapshot: Snapshot, flows: Sequence[QueueFlow] | None, settings: Settings
) -> _Measured:
    if hop in _COUNTS:
        return _counted(_COUNTS[hop], flows)
    if hop == "sent":
        return _sent(snapshot)
    return _accepted(snapshot, settings)


def _counted(counter: str, flows: Sequence[QueueFlow] | None) -> _Measured:
    if flows is None:
        return None, "messages", _("the broker's counters could not be read"), {}
    by_queue = {one.name: getattr(one, counter) for one in flows}
    named = ", ".join(f"{name} {count}" for name, count in by_queue.items() if count)
    evidence: dict[str, Any] = {"queues": by_queue}
    if counter != "ready":
        evidence["window_seconds"] = WINDOW_SECONDS
    if counter == "delivered":
        evidence["redelivered"] = sum(one.redelivered for one in flows)
    return sum(by_queue.values()), "messages", named, evidence


def _sent(snapshot: Snapshot) -> _Measured:
    """Count Google's hosts to which the proxy opens the way; without a proxy, those that are reached."""
    opened = {
        tunnel.host: tunnel.status == 200
        for _seen, facts in snapshot.facts_of(ProxyFacts)
        for tunnel in facts.tunnels
    }
    reached = opened or {facts.host: True for _seen, facts in snapshot.facts_of(FirebaseFacts)}
    named = ", ".join(name for name, is_open in reached.items() if is_open)
    return sum(reached.values()), "hosts", named, {"hosts": reached}


def _accepted(snapshot: Snapshot, settings: Settings) -> _Measured:
    """Count the tasks that ended well lately, as Flower heard: a task ends well once FCM has taken its message."""
    for _seen, facts in snapshot.facts_of(CeleryFacts):
        if facts.recent is None:
            break
        outcomes = facts.recent.outcomes
        failed = outcomes.count(False)
        words = _("{failed} of the last {count} tasks failed").format(failed=failed, count=len(outcomes))
        evidence = {"succeeded": outcomes.count(True), "failed": failed, "exception": facts.recent.exception}
        return outcomes.count(True), "tasks", words if outcomes else _("no task ended lately"), evidence
    reason = _("Flower was not heard") if settings.flower else _("[flower] is not configured")
    return None, "tasks", reason, {}
