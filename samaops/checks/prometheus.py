"""Judge Prometheus."""

from __future__ import annotations

from collections.abc import Iterator

from samaops.checks.registry import Context, Explanation, check
from samaops.facts.prometheus import PrometheusFacts
from samaops.i18n import N_, _, ngettext
from samaops.model.finding import Finding

NAMED = 20


@check(
    "prometheus.service.unreachable",
    title=N_("Prometheus answers"),
    facts=PrometheusFacts,
    access=True,
    explain=Explanation(
        meaning=N_("Nothing is measured and no alert is raised: an outage now would not wake anybody."),
        confirm=("curl -s http://<prometheus>:9090/-/healthy", "systemctl status prometheus"),
        fix=N_("Read its log; a full disk and a damaged write-ahead log are the usual reasons."),
        avoid=N_("Do not delete its data directory to make it start: the history is gone then."),
    ),
)
def answers(prometheus: PrometheusFacts, context: Context) -> Iterator[Finding]:
    count = len(prometheus.targets)
    yield context.ok(_("Prometheus answers, with {count} targets").format(count=count), value=count)


@check(
    "prometheus.target.down",
    title=N_("Prometheus scrapes all its targets"),
    facts=PrometheusFacts,
    explain=Explanation(
        meaning=N_(
            "Prometheus cannot read these exporters: what they watch is unwatched. The exporter may be down while "
            "the service is well."
        ),
        confirm=("curl -s 'http://<prometheus>:9090/api/v1/query?query=up==0'",),
        fix=N_("Start the exporter, or open the way to it; the last error says which."),
    ),
)
def targets(prometheus: PrometheusFacts, context: Context) -> Iterator[Finding]:
    down = [one for one in prometheus.targets if one.health == "down"]
    listed = [{"job": one.job, "instance": one.instance, "error": one.error} for one in down[:NAMED]]
    evidence = {"down": listed, "targets": len(prometheus.targets)}
    if not prometheus.targets:
        yield context.warn(_("Prometheus has no target: nothing is measured"), value=0, evidence=evidence)
    elif down:
        title = _("Prometheus cannot scrape {count} of {all} targets, first {name}: {error}").format(
            count=len(down), all=len(prometheus.targets), name=down[0].instance, error=down[0].error
        )
        status = context.crit if len(down) == len(prometheus.targets) else context.warn
        yield status(title, value=len(down), evidence=evidence)
    else:
        title = _("Prometheus scrapes all {count} targets").format(count=len(prometheus.targets))
        yield context.ok(title, value=0, evidence=evidence)


@check(
    "prometheus.rules.failing",
    title=N_("Prometheus evaluates all its rules"),
    facts=PrometheusFacts,
    needs=("rules",),
    explain=Explanation(
        meaning=N_("A rule whose evaluation fails never fires: its alert is silently missing."),
        confirm=("curl -s http://<prometheus>:9090/api/v1/rules", "promtool check rules <file>"),
        fix=N_("Repair the rule's expression (often two series where one is expected) and reload."),
    ),
)
def rules(prometheus: PrometheusFacts, context: Context) -> Iterator[Finding]:
    failing = prometheus.failing_rules or ()
    if failing:
        title = ngettext(
            "{count} rule of Prometheus fails, {name}: {error}",
            "{count} rules of Prometheus fail, first {name}: {error}",
            len(failing),
        ).format(count=len(failing), name=failing[0].name, error=failing[0].error)
        listed = [{"group": one.group, "rule": one.name, "error": one.error} for one in failing[:NAMED]]
        yield context.warn(title, value=len(failing), evidence={"failing": listed})
    else:
        count = prometheus.rule_count or 0
        yield context.ok(_("All {count} rules of Prometheus are evaluated").format(count=count), value=0)
