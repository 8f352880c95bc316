"""Judge AlertManager."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from samaops.checks.registry import Context, Explanation, check
from samaops.facts.alertmanager import AlertmanagerFacts
from samaops.i18n import N_, _, ngettext
from samaops.model.finding import Finding

NAMED = 20
# Severities that by convention mean nobody must get up.
QUIET = frozenset({"info", "none"})


@check(
    "alertmanager.service.unreachable",
    title=N_("AlertManager answers"),
    facts=AlertmanagerFacts,
    access=True,
    explain=Explanation(
        meaning=N_("Alerts are raised and reach nobody."),
        confirm=("curl -s http://<alertmanager>:9093/-/healthy", "systemctl status alertmanager"),
        fix=N_("Read its log; a configuration that does not load is the usual reason (amtool check-config)."),
    ),
)
def answers(alertmanager: AlertmanagerFacts, context: Context) -> Iterator[Finding]:
    count = len(alertmanager.alerts)
    yield context.ok(_("AlertManager answers, {count} alerts fire").format(count=count), value=count)


@check(
    "alertmanager.alerts.firing",
    title=N_("No alert fires"),
    facts=AlertmanagerFacts,
    explain=Explanation(
        meaning=N_(
            "These alerts fire and are neither silenced nor inhibited: somebody was told, or should have been."
        ),
        confirm=(
            "curl -s 'http://<alertmanager>:9093/api/v2/alerts?active=true&silenced=false'",
            "amtool alert",
        ),
        fix=N_("Read them beside the other findings: they often name the same cause."),
        avoid=N_("Do not silence an alert before its cause is known, and never without an end."),
    ),
)
def firing(alertmanager: AlertmanagerFacts, context: Context) -> Iterator[Finding]:
    loud = [one for one in alertmanager.alerts if one.severity not in QUIET]
    by_severity = Counter(one.severity or "none given" for one in alertmanager.alerts)
    names = [f"{one.name} {one.instance}".strip() for one in loud]
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
    is_critical = any(one.severity == "critical" for one in loud)
    judged = context.crit if is_critical else context.warn
    yield judged(title, value=len(loud), evidence=evidence)
