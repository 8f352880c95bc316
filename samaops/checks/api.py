"""Judge the API members: each alone, and all together."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from samaops.checks import health
from samaops.checks.registry import Context, Explanation, check
from samaops.facts.api import ApiFacts
from samaops.facts.observation import Snapshot
from samaops.i18n import N_, _
from samaops.model.finding import Finding
from samaops.model.status import Status
from samaops.site.commands import on_server

SEE_LOGS = "ssh <serveur api> docker logs --tail 100 samaconso_api_1"
CURL = "curl -si -m 5 http://<serveur api>:8001/health"


@check(
    "api.member.unreachable",
    title=N_("The API member answers"),
    facts=ApiFacts,
    access=True,
    explain=Explanation(
        meaning=N_(
            "Nobody answers on the member's own port. Refused: the process or container is not running. "
            "Accepted without an answer: the event loop is blocked, a restart loses the stack that shows where."
        ),
        confirm=(CURL, "ssh <serveur api> docker ps -a --filter name=samaconso_api", SEE_LOGS),
        fix=N_("Read why it ended (docker inspect, docker logs), then start that member alone again."),
        avoid=N_("Do not restart both members at once: the other one is what still serves the customers."),
    ),
)
def member_answers(member: ApiFacts, context: Context) -> Iterator[Finding]:
    milliseconds = round(member.answer.connect_ms, 1)
    yield context.ok(_("{name} accepts in {ms} ms").format(name=member.name, ms=milliseconds))


@check(
    "api.health.failing",
    title=N_("The API member's health path answers with status 200"),
    facts=ApiFacts,
    explain=Explanation(
        meaning=N_(
            "The member runs but its health path says it cannot serve; the balancer takes it out of the pool. "
            'The header "server: uvicorn" shows that the application itself wrote the answer.'
        ),
        confirm=(CURL, SEE_LOGS),
        fix=N_("Read the answer's body and the member's log for the dependency that fails, and repair that."),
        avoid=N_("Do not restart the member before you know what it waits for: it will fail again."),
    ),
)
def health_status(member: ApiFacts, context: Context) -> Iterator[Finding]:
    yield from health.judge_status(member.answer, context, member.name, _logs(member, context))


@check(
    "api.health.wrong_body",
    title=N_('The API member\'s health body says "status":"running"'),
    facts=ApiFacts,
    explain=Explanation(
        meaning=N_(
            'Status 200 is not enough: the balancer\'s monitor looks for "running" in the body and takes '
            "the member out of the pool without it. Often a new release changed the body."
        ),
        confirm=(CURL,),
        fix=N_("Restore the body the monitor expects, or roll that member's release back."),
        avoid=N_("Do not weaken the balancer's monitor to make the alarm go away."),
    ),
)
def health_body(member: ApiFacts, context: Context) -> Iterator[Finding]:
    expected = context.site.settings.api.expected_status if context.site.settings.api else "running"
    yield from health.judge_body(member.answer, context, member.name, expected)


@check(
    "api.latency.high",
    title=N_("The API member's health path answers in time"),
    facts=ApiFacts,
    warning=health.KPI_WARNING_MS,
    critical=health.KPI_CRITICAL_MS,
    unit="ms",
    explain=Explanation(
        meaning=N_(
            "The health path touches no database: when it is slow, the process itself is busy (CPU, a blocked "
            "event loop, memory) or the network is."
        ),
        confirm=(
            "curl -s -o /dev/null -w '%{time_connect} %{time_starttransfer}\\n' http://<serveur api>:8001/health",
            "ssh <serveur api> docker stats --no-stream",
        ),
        fix=N_(
            "Compare connect time and first-byte time: slow to connect is the network, slow after it the process."
        ),
        avoid=N_("Do not add workers while the server has no free core."),
    ),
)
def latency(member: ApiFacts, context: Context) -> Iterator[Finding]:
    yield from health.judge_latency(member.answer, context, member.name)


@check(
    "api.latency.slow_for_guide",
    title=N_("The API member's health path is as quick as the guide expects"),
    facts=ApiFacts,
    warning=health.GUIDE_P99_MS,
    unit="ms",
    explain=Explanation(
        meaning=N_(
            "The guide expects /health in 10 ms (P50), 20 ms (P95), 30 ms (P99). Even the best of a few "
            "samples was slower than 99 of 100 should be: not yet an outage, but no chance either."
        ),
        confirm=(
            "for i in 1 2 3 4 5; do curl -s -o /dev/null -w '%{time_total}\\n' "
            "http://<serveur api>:8001/health; done",
        ),
        fix=N_("Look at the load of the server and at what the member does; compare with the other member."),
    ),
)
def latency_of_guide(member: ApiFacts, context: Context) -> Iterator[Finding]:
    best = member.answer.best_ms
    title = _("{name}: the best of {count} health checks took {best} ms (guide: P99 {p99} ms)").format(
        name=member.name, count=len(member.answer.samples_ms), best=best, p99=health.GUIDE_P99_MS
    )
    yield context.above(best, title, evidence=health.latency_evidence(member.answer))


@check(
    "api.version.differs",
    title=N_("All API members run the same version"),
    facts=Snapshot,
    explain=Explanation(
        meaning=N_(
            "The members answer with different versions: a deployment stopped half-way, or one member was "
            "not rolled back. Customers get one or the other at random."
        ),
        confirm=("curl -s http://<serveur api>:8001/health", "curl -s http://<serveur api>:8002/health"),
        fix=N_("Finish the deployment, or roll the changed member back by its image digest."),
        avoid=N_("Do not deploy anything else before both members agree."),
    ),
)
def versions(snapshot: Snapshot, context: Context) -> Iterator[Finding]:
    known = {
        facts.name: facts.answer.version
        for _one, facts in snapshot.facts_of(ApiFacts)
        if facts.answer.version
    }
    if len(known) < 2:
        detail = _("{count} members told their version: nothing to compare").format(count=len(known))
        yield context.finding(Status.SKIPPED, _(context.rule.title), subject="api/all", detail=detail)
    elif len(set(known.values())) == 1:
        version = next(iter(known.values()))
        yield context.ok(_("All members run version {version}").format(version=version), subject="api/all")
    else:
        listed = ", ".join(f"{name} {version}" for name, version in sorted(known.items()))
        title = _("The members run different versions: {listed}").format(listed=listed)
        yield context.warn(title, subject="api/all", evidence={"versions": known})


@check(
    "api.members.all_down",
    title=N_("At least one API member serves"),
    facts=Snapshot,
    explain=Explanation(
        meaning=N_("No member answers as it should: every customer gets an error."),
        confirm=(CURL, "curl -si -m 5 http://<serveur api>:8002/health"),
        fix=N_(
            "Look for what they share: the server, Docker, a dependency they wait for, the last deployment."
        ),
        avoid=N_("Do not restart everything at once: you lose what shows the cause."),
    ),
)
def any_member_serves(snapshot: Snapshot, context: Context) -> Iterator[Finding]:
    observed = snapshot.of_system("api")
    expected = context.site.settings.api.expected_status if context.site.settings.api else "running"
    serving = [facts.name for _one, facts in snapshot.facts_of(ApiFacts) if facts.answer.serves(expected)]
    evidence = {"serving": serving, "members": [one.subject.partition("/")[2] for one in observed]}
    if serving:
        title = _("{count} of {all} API members serve").format(count=len(serving), all=len(observed))
        yield context.ok(title, subject="api/all", value=len(serving), evidence=evidence)
    elif any(one.failure is None or one.failure.is_outage for one in observed):
        title = _("None of the {all} API members serves").format(all=len(observed))
        yield context.crit(title, subject="api/all", value=0, evidence=evidence)
    else:
        title = _("None of the {all} API members could be looked at").format(all=len(observed))
        yield context.unknown(title, subject="api/all", evidence=evidence)


def _logs(member: ApiFacts, context: Context) -> str | None:
    """Return the command that shows the member's log, where its container is known."""
    instances = context.site.settings.api.instances if context.site.settings.api else ()
    for instance in instances:
        if instance.name == member.name and instance.container:
            command = f"docker logs --tail 100 {shlex.quote(instance.container)}"
            return on_server(context.site, instance.server, command)
    return None
