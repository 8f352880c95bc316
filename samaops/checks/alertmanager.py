"""Judge AlertManager."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from samaops.checks.registry import Context, access, check
from samaops.facts.alertmanager import AlertmanagerFacts
from samaops.i18n import _, ngettext
from samaops.model.finding import Finding
from samaops.model.status import Status

NAMED = 20
# Severities that by convention mean nobody must get up.
QUIET = frozenset({"info", "none"})


access(
    "alertmanager.service.unreachable",
    AlertmanagerFacts,
    title=lambda alertmanager: _("AlertManager answers, {count} alerts fire").format(
        count=len(alertmanager.alerts)
    ),
    value=lambda alertmanager: len(alertmanager.alerts),
)


@check("alertmanager.alerts.firing", AlertmanagerFacts)
def firing(alertmanager: AlertmanagerFacts, context: Context) -> Iterator[Finding]:
    loud = [alert for alert in alertmanager.alerts if alert.severity not in QUIET]
    by_severity = Counter(alert.severity or "none given" for alert in alertmanager.alerts)
    names = [f"{alert.name} {alert.instance}".strip() for alert in loud]
    evidence = {"by_severity": dict(by_severity), "alerts": names[:NAMED]}
    if not loud:
        yield context.ok(_("No alert fires"), value=0, evidence=evidence)
        return
    title = ngettext(
        "{count} alert fires ({severities}): {name}",
        "{count} alerts fire ({severities}), first {name}",
        len(loud),
    ).format(
        count=len(loud),
        severities=", ".join(f"{number} {severity}" for severity, number in sorted(by_severity.items())),
        name=names[0],
    )
    is_critical = any(alert.severity == "critical" for alert in loud)
    status = Status.CRITICAL if is_critical else Status.WARNING
    yield context.finding(status, title, value=len(loud), evidence=evidence)
