"""Judge Prometheus."""

from __future__ import annotations

from collections.abc import Iterator

from samaops.checks.registry import Context, access, check
from samaops.facts.prometheus import PrometheusFacts
from samaops.i18n import _, ngettext
from samaops.model.finding import Finding
from samaops.model.status import Status

NAMED = 20


access(
    "prometheus.service.unreachable",
    PrometheusFacts,
    title=lambda prometheus: _("Prometheus answers, with {count} targets").format(
        count=len(prometheus.targets)
    ),
    value=lambda prometheus: len(prometheus.targets),
)


@check("prometheus.target.down", PrometheusFacts)
def targets(prometheus: PrometheusFacts, context: Context) -> Iterator[Finding]:
    down = [target for target in prometheus.targets if target.health == "down"]
    listed = [
        {"job": target.job, "instance": target.instance, "error": target.error} for target in down[:NAMED]
    ]
    evidence = {"down": listed, "targets": len(prometheus.targets)}
    if not prometheus.targets:
        yield context.warn(_("Prometheus has no target: nothing is measured"), value=0, evidence=evidence)
    elif down:
        title = _("Prometheus cannot scrape {count} of {all} targets, first {name}: {error}").format(
            count=len(down), all=len(prometheus.targets), name=down[0].instance, error=down[0].error
        )
        status = Status.CRITICAL if len(down) == len(prometheus.targets) else Status.WARNING
        yield context.finding(status, title, value=len(down), evidence=evidence)
    else:
        title = _("Prometheus scrapes all {count} targets").format(count=len(prometheus.targets))
        yield context.ok(title, value=0, evidence=evidence)


@check("prometheus.rules.failing", PrometheusFacts, needs=("rules",))
def rules(prometheus: PrometheusFacts, context: Context) -> Iterator[Finding]:
    failing = prometheus.failing_rules or ()
    if failing:
        title = ngettext(
            "{count} rule of Prometheus fails, {name}: {error}",
            "{count} rules of Prometheus fail, first {name}: {error}",
            len(failing),
        ).format(count=len(failing), name=failing[0].name, error=failing[0].error)
        listed = [{"group": rule.group, "rule": rule.name, "error": rule.error} for rule in failing[:NAMED]]
        yield context.warn(title, value=len(failing), evidence={"failing": listed})
    else:
        count = prometheus.rule_count or 0
        yield context.ok(_("All {count} rules of Prometheus are evaluated").format(count=count), value=0)
