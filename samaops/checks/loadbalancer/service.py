"""Judge the load balancer by what customers get from the virtual address. The F5's own view: see bigip."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from samaops.checks import health
from samaops.checks.loadbalancer import bigip
from samaops.checks.registry import Context, Explanation, check
from samaops.facts.loadbalancer import VipFacts
from samaops.i18n import N_, _
from samaops.model.finding import Finding

F5_RULES = bigip.__name__  # importing it registers the rules on the F5's own view
CURL = "curl -si -m 10 http://<vip>/health"
CURL_MEMBERS = "curl -si -m 5 http://<serveur api>:8001/health"


@check(
    "loadbalancer.vip.unreachable",
    title=N_("The virtual address answers"),
    facts=VipFacts,
    access=True,
    explain=Explanation(
        meaning=N_(
            "Customers get no connection, or one that ends without an answer. An F5 with no member left accepts "
            "and resets; refused or silent is the balancer or the network itself."
        ),
        confirm=(CURL, CURL_MEMBERS),
        fix=N_(
            "Ask the members directly first: when they answer, the fault is at the balancer or its monitor."
        ),
        avoid=N_("Do not restart API members that answer on their own ports."),
    ),
)
def answers(vip: VipFacts, context: Context) -> Iterator[Finding]:
    title = _("The virtual address accepts in {ms} ms").format(ms=round(vip.answer.connect_ms, 1))
    yield context.ok(title)


@check(
    "loadbalancer.vip.failing",
    title=N_("The virtual address answers with status 200"),
    facts=VipFacts,
    explain=Explanation(
        meaning=N_(
            'Customers get an error. Who wrote it decides where to look: an answer with "server: uvicorn" or '
            "JSON comes from a member that fails; any other was written by the balancer, which found no member."
        ),
        confirm=(CURL, CURL_MEMBERS, "tmsh show ltm pool samaconso_api_pool members"),
        fix=N_(
            "Written by a member: look at api. Written by the balancer: look at the state of the pool's members."
        ),
        avoid=N_("Do not restart both members at once."),
    ),
)
def status(vip: VipFacts, context: Context) -> Iterator[Finding]:
    answer = vip.answer
    if answer.status == 200:
        yield from health.judge_status(answer, context, _("The virtual address"))
        return
    if health.writer_of(answer) == "member":
        title = _("Customers get status {status} from the virtual address, written by a member of the API")
    else:
        title = _("Customers get status {status} from the virtual address, written by the balancer itself")
    yield context.crit(
        title.format(status=answer.status),
        value=answer.status,
        evidence=health.evidence_of(answer),
        hint=f"curl -si -m 10 {shlex.quote(answer.url)}",
    )


@check(
    "loadbalancer.vip.wrong_body",
    title=N_('The virtual address says "status":"running"'),
    facts=VipFacts,
    explain=Explanation(
        meaning=N_(
            "Status 200 without the application's body: a page of something else, or another release."
        ),
        confirm=(CURL, CURL_MEMBERS),
        fix=N_(
            "Compare with the members' own bodies; when they are right, the balancer sends to the wrong place."
        ),
    ),
)
def body(vip: VipFacts, context: Context) -> Iterator[Finding]:
    expected = context.site.settings.api.expected_status if context.site.settings.api else "running"
    yield from health.judge_body(vip.answer, context, _("The virtual address"), expected)


@check(
    "loadbalancer.vip.latency",
    title=N_("The virtual address answers in time"),
    facts=VipFacts,
    warning=health.KPI_WARNING_MS,
    critical=health.KPI_CRITICAL_MS,
    unit="ms",
    explain=Explanation(
        meaning=N_(
            "What customers wait for the cheapest answer there is; the balancer's share is the difference to "
            "the members' own latency."
        ),
        confirm=("curl -s -o /dev/null -w '%{time_connect} %{time_starttransfer}\\n' http://<vip>/health",),
        fix=N_(
            "Compare with api.latency.high of each member: slow there is the API, slow only here the balancer."
        ),
    ),
)
def latency(vip: VipFacts, context: Context) -> Iterator[Finding]:
    yield from health.judge_latency(vip.answer, context, _("The virtual address"))
