"""Judge the load balancer by what customers get from the virtual address. The F5's own view: see bigip."""

from __future__ import annotations

from collections.abc import Iterator

from samaops.checks import health
from samaops.checks.registry import Context, access, check
from samaops.facts.loadbalancer import VipFacts
from samaops.i18n import _
from samaops.model.finding import Finding
from samaops.site.shell_words import quoted

access(
    "loadbalancer.vip.unreachable",
    VipFacts,
    title=lambda vip: _("The virtual address accepts in {ms} ms").format(ms=round(vip.answer.connect_ms, 1)),
)


@check("loadbalancer.vip.failing", VipFacts)
def status(vip: VipFacts, context: Context) -> Iterator[Finding]:
    answer = vip.answer
    if answer.status == 200:
        yield health.judge_status(answer, context, _("The virtual address"))
        return
    if health.writer_of(answer) == "member":
        title = _("Customers get status {status} from the virtual address, written by a member of the API")
    else:
        title = _("Customers get status {status} from the virtual address, written by the balancer itself")
    yield context.crit(
        title.format(status=answer.status),
        value=answer.status,
        evidence=health.evidence_of(answer),
        hint=f"curl -si -m 10 {quoted(answer.url)}",
    )


@check("loadbalancer.vip.wrong_body", VipFacts)
def body(vip: VipFacts, context: Context) -> Iterator[Finding]:
    yield health.judge_body(vip.answer, context, _("The virtual address"))


@check(
    "loadbalancer.vip.latency",
    VipFacts,
    warning=health.KPI_WARNING_MS,
    critical=health.KPI_CRITICAL_MS,
    unit="ms",
)
def latency(vip: VipFacts, context: Context) -> Iterator[Finding]:
    yield health.judge_latency(vip.answer, context, _("The virtual address"))
