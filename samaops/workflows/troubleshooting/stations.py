"""The stations of a notification's way, and how each is: from the counts of ten minutes, or from one canary (``trace``).

A station becomes a finding of its own. Its status from counts is the worst of what other findings tell of it and of
what its count says; without any, nobody looked and it is skipped.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
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
from samaops.i18n import _, joined, ngettext
from samaops.model.finding import NO_EVIDENCE, Finding
from samaops.model.report import worst_first
from samaops.model.status import Status, worst
from samaops.site.commands import samaops
from samaops.site.site import Site

PREFIX = "notifications.hop."
# The stations that the broker counts; all other counts have a function of their own.
_COUNTED_BY_BROKER = ("published", "ready", "delivered", "acknowledged")
_BAD = (Status.CRITICAL, Status.UNKNOWN, Status.WARNING)


class Station(Struct, frozen=True):
    """One station: how it is, with a count or the milliseconds after which it was reached as ``value``.

    Without a ``status`` nothing of its own is known against it: it is as those findings say that tell of it.
    """

    id: str
    status: Status | None
    value: float | None = None
    detail: str = ""
    evidence: Mapping[str, Any] = field(default_factory=lambda: NO_EVIDENCE)
    unit: str = "milliseconds"
    hint: str | None = None
    cause: str | None = None


def findings(stations: Iterable[Station], titles: Mapping[str, str]) -> tuple[Finding, ...]:
    """Return one finding for each station, in the order of the way; a hint only where it does not go on."""
    return tuple(
        Finding(
            code=f"{PREFIX}{station.id}",
            status=station.status or Status.SKIPPED,
            subject=f"notifications/{station.id}",
            title=titles.get(station.id, station.id),
            detail=station.detail,
            value=station.value,
            unit=station.unit,
            evidence=station.evidence,
            hint=station.hint if station.status in _BAD else None,
            cause=station.cause,
        )
        for station in stations
    )


class Counts(Struct, frozen=True):
    """Where the counts come from: what was observed, and the broker's counters, None when they could not be read."""

    snapshot: Snapshot
    flows: Sequence[QueueFlow] | None
    site: Site


def counted(hops: Sequence[Hop], checked: Sequence[Finding], counts: Counts) -> tuple[Station, ...]:
    """Return every station with its count, and with what the findings of checks tell of it."""
    return tuple(_with_findings(_count(hop.id, counts), hop, checked) for hop in hops)


def _with_findings(station: Station, hop: Hop, checked: Sequence[Finding]) -> Station:
    """Return a station as the worst of the findings that tell of it has it, where that is worse than its count."""
    telling = worst_first(
        [
            finding
            for finding in checked
            if any(fnmatchcase(finding.code, pattern) for pattern in hop.findings)
        ]
    )
    decisive = next((finding for finding in telling if finding.status is not Status.SKIPPED), None)
    if decisive is None:
        return station
    station = replace(station, status=_worse(decisive.status, station.status))
    if decisive.status not in _BAD:
        return station
    because = [finding.key for finding in telling if finding.status in _BAD]
    return replace(
        station,
        detail=joined(part for part in (station.detail, decisive.title) if part),
        evidence={**station.evidence, "because": because},
        hint=decisive.hint,
        cause=decisive.cause,
    )


def _worse(checked: Status, count: Status | None) -> Status:
    """Return the worse of what checks and what its count say of a station; a count that nobody takes proves nothing."""
    if count is None:
        return checked
    if count is Status.SKIPPED:
        return checked if checked in _BAD else Status.SKIPPED
    return worst((checked, count))


def _count(station: str, counts: Counts) -> Station:
    if station in _COUNTED_BY_BROKER:
        return _messages(station, counts)
    if station == "sent":
        return _sent(counts)
    return _accepted(station, counts)


def _uncounted(station: str, unit: str, reason: str, look: str, site: Site) -> Station:
    """Return a station whose count could not be taken; ``look`` names what to diagnose to know why."""
    hint = samaops(site, f"diagnose --only {look}")
    return Station(station, Status.UNKNOWN, detail=reason, unit=unit, hint=hint)


def _messages(station: str, counts: Counts) -> Station:
    """Count messages: those ready now, or those that the broker published, delivered or saw acknowledged lately."""
    site, flows = counts.site, counts.flows
    if site.settings.rabbitmq is None:
        return Station(station, Status.SKIPPED, detail=_("[rabbitmq] is not configured"), unit="messages")
    if flows is None:
        reason = _("the broker's counters could not be read")
        return _uncounted(station, "messages", reason, "rabbitmq", site)
    by_queue = {flow.name: getattr(flow, station) for flow in flows}
    uncounted = ", ".join(name for name, count in by_queue.items() if count is None)
    if uncounted:
        reason = _("the broker does not count the messages of {queues}").format(queues=uncounted)
        return _uncounted(station, "messages", reason, "rabbitmq", site)
    named = ", ".join(f"{name} {count}" for name, count in by_queue.items() if count)
    evidence: dict[str, Any] = {"queues": by_queue}
    if station != "ready":
        evidence["window_seconds"] = WINDOW_SECONDS
    if station == "delivered":
        known = [flow.redelivered for flow in flows if flow.redelivered is not None]
        evidence["redelivered"] = sum(known) if len(known) == len(flows) else None
    return Station(station, None, sum(by_queue.values()), named, evidence, "messages")


def _sent(counts: Counts) -> Station:
    """Count Google's hosts to which the proxy opens the way; without a proxy, those that are reached."""
    if counts.site.settings.firebase is None:  # a proxy alone is still told of by its own findings
        return Station("sent", None, detail=_("[firebase] is not configured"), unit="hosts")
    opened = {
        tunnel.host: tunnel.status == 200
        for _observation, facts in counts.snapshot.facts_of(ProxyFacts)
        for tunnel in facts.tunnels
    }
    reached = opened or {facts.host: True for _observation, facts in counts.snapshot.facts_of(FirebaseFacts)}
    if not reached:
        return _uncounted("sent", "hosts", _("no host of Google could be looked at"), "firebase", counts.site)
    named = ", ".join(name for name, is_open in reached.items() if is_open)
    return Station("sent", None, sum(reached.values()), named, {"hosts": reached}, "hosts")


def _accepted(station: str, counts: Counts) -> Station:
    """Count the tasks that ended well lately, as Flower heard: a task ends well once FCM has taken its message."""
    settings = counts.site.settings
    if settings.flower is None or settings.celery is None:
        missing = _("[celery] is not configured") if settings.flower else _("[flower] is not configured")
        return Station(station, Status.SKIPPED, detail=missing, unit="tasks")
    recent = next((facts.recent for _observation, facts in counts.snapshot.facts_of(CeleryFacts)), None)
    if recent is None:
        return _uncounted(station, "tasks", _("Flower was not heard"), "flower", counts.site)
    outcomes, failed = recent.outcomes, recent.outcomes.count(False)
    acknowledged = sum(flow.acknowledged or 0 for flow in counts.flows or ())
    if not outcomes and acknowledged:  # Flower was restarted and has forgotten, or it is not connected
        text = ngettext(
            "Flower has heard of no task, though {count} message was acknowledged",
            "Flower has heard of no task, though {count} messages were acknowledged",
            acknowledged,
        )
        return _uncounted(station, "tasks", text.format(count=acknowledged), "flower,celery", counts.site)
    is_none_accepted = bool(failed) and True not in outcomes
    return Station(
        station,
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
