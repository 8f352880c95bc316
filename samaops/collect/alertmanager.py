"""What is observed of AlertManager: the alerts that fire now and are neither silenced nor inhibited."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from samaops.clients import alertmanager as client
from samaops.clients.errors import ClientError
from samaops.collect.engine import Probe
from samaops.collect.registry import collects
from samaops.collect.values import needed, table
from samaops.config.settings import Endpoint
from samaops.facts.alertmanager import AlertFacts, AlertmanagerFacts
from samaops.model.failure import FailureKind
from samaops.site.site import Site


@collects("alertmanager", AlertmanagerFacts)
def look(endpoint: Endpoint, _site: Site, probe: Probe) -> AlertmanagerFacts:
    """Read what fires at the configured AlertManager."""
    return observe(endpoint, probe)


def observe(settings: Endpoint, probe: Probe) -> AlertmanagerFacts:
    """Read the alerts. Raises ClientError."""
    probe.stage("alerts")
    alerts = client.firing(settings)
    if not isinstance(alerts, list):
        raise ClientError(FailureKind.GARBAGE, type(alerts).__name__, "alerts")
    return AlertmanagerFacts(
        url=settings.url.rpartition("@")[2],
        alerts=tuple(_alert(alert) for alert in alerts),
    )


def _alert(shown: Mapping[str, Any]) -> AlertFacts:
    labels, annotations = needed(table(shown), "labels", stage="alerts"), _mapping(shown.get("annotations"))
    summary = annotations.get("summary") or annotations.get("description") or ""
    return AlertFacts(
        name=str(labels.get("alertname", "?")),
        severity=str(labels.get("severity", "")),
        instance=str(labels.get("instance", "")),
        starts_at=str(shown.get("startsAt", "")),
        summary=str(summary)[:200],
    )


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
