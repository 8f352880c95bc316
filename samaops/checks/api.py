"""Judge the API members: each alone, and all together."""

from __future__ import annotations

from collections.abc import Iterator

from samaops.checks import health
from samaops.checks.registry import Context, access, check
from samaops.facts.api import ApiFacts
from samaops.facts.docker import Container, DockerFacts
from samaops.facts.observation import Snapshot
from samaops.facts.servers import ServerFacts
from samaops.i18n import _
from samaops.model.finding import Finding
from samaops.site.commands import on_server
from samaops.site.shell_words import operands

# The option that says how long an idle connection is kept; who writes the answers without it, and keeps it so long.
_KEEP_ALIVE = {"--timeout-keep-alive": ("uvicorn", 5.0), "--keep-alive": ("gunicorn", 2.0)}

access(
    "api.member.unreachable",
    ApiFacts,
    title=lambda member: _("{name} accepts in {ms} ms").format(
        name=member.name, ms=round(member.answer.connect_ms, 1)
    ),
)


@check("api.health.failing", ApiFacts)
def health_status(member: ApiFacts, context: Context) -> Iterator[Finding]:
    yield health.judge_status(member.answer, context, member.name, _logs(member, context))


@check("api.health.wrong_body", ApiFacts)
def health_body(member: ApiFacts, context: Context) -> Iterator[Finding]:
    yield health.judge_body(member.answer, context, member.name)


@check(
    "api.latency.high", ApiFacts, warning=health.KPI_WARNING_MS, critical=health.KPI_CRITICAL_MS, unit="ms"
)
def latency(member: ApiFacts, context: Context) -> Iterator[Finding]:
    yield health.judge_latency(member.answer, context, member.name)


@check("api.latency.slow_for_guide", ApiFacts, warning=health.GUIDE_P99_MS, unit="ms")
def latency_of_guide(member: ApiFacts, context: Context) -> Iterator[Finding]:
    best = member.answer.best_ms
    busy = _busy_server(member, context)
    if busy is not None and best >= (context.warning or 0):
        reason = _(
            "its server is busy ({load} processes for {cores} cores): {best} ms are no word on the API"
        )
        load = max(round(busy.load_1), busy.runnable)
        yield context.skipped(reason.format(load=load, cores=busy.processors, best=best))
        return
    title = _("{name}: the best of {count} health checks took {best} ms (guide: P99 {p99} ms)").format(
        name=member.name, count=len(member.answer.samples_ms), best=best, p99=health.GUIDE_P99_MS
    )
    yield context.above(best, title, evidence=health.latency_evidence(member.answer))


@check("api.keepalive.short", ApiFacts)
def keepalive(member: ApiFacts, context: Context) -> Iterator[Finding]:
    """A member that ends idle connections first ends one in the moment in which the balancer uses it: a 502."""
    balancer, placed = context.site.settings.loadbalancer, context.site.member(member.name)
    if balancer is None or balancer.idle_timeout is None or placed is None or placed.container is None:
        return
    container = next(
        (
            facts.named(placed.container)
            for observation, facts in context.snapshot.facts_of(DockerFacts)
            if observation.server == placed.server
        ),
        None,
    )
    kept = _kept_alive(member, container) if container else None
    if kept is None:
        yield context.skipped(
            _("how long {name} keeps idle connections was not seen").format(name=member.name)
        )
        return
    seconds = {"member_seconds": kept, "balancer_seconds": balancer.idle_timeout}
    words = {"name": member.name, "seconds": f"{kept:g}", "balancer": f"{balancer.idle_timeout:g}"}
    if kept > balancer.idle_timeout:
        title = _("{name} keeps idle connections for {seconds} s, longer than the balancer ({balancer} s)")
        yield context.ok(title.format(**words), value=kept, evidence=seconds)
    else:
        title = _(
            "{name} ends idle connections after {seconds} s, and the balancer keeps them for {balancer} s"
        )
        yield context.warn(title.format(**words), value=kept, evidence=seconds)


def _kept_alive(member: ApiFacts, container: Container) -> float | None:
    """Return for how many seconds a member keeps an idle connection, as far as its command line tells."""
    given = {variable.name: variable.parts.get("value", "") for variable in container.settings}
    for option in _KEEP_ALIVE:
        if option in given:
            return float(given[option]) if given[option].replace(".", "", 1).isdigit() else None
    known = (seconds for name, seconds in _KEEP_ALIVE.values() if name in member.answer.server_header.lower())
    return next(known, None) if given else None


@check("api.version.differs", Snapshot)
def versions(snapshot: Snapshot, context: Context) -> Iterator[Finding]:
    members = [member for _observation, member in snapshot.facts_of(ApiFacts)]
    known = {member.name: member.answer.version for member in members if member.answer.version}
    if len(known) < 2:
        reason = _("{count} members told their version: nothing to compare").format(count=len(known))
        yield context.skipped(reason)
    elif len(set(known.values())) == 1:
        version = next(iter(known.values()))
        yield context.ok(_("All members run version {version}").format(version=version))
    else:
        listed = ", ".join(f"{name} {version}" for name, version in sorted(known.items()))
        title = _("The members run different versions: {listed}").format(listed=listed)
        yield context.warn(title, evidence={"versions": known})


@check("api.members.all_down", Snapshot)
def any_member_serves(snapshot: Snapshot, context: Context) -> Iterator[Finding]:
    observed = snapshot.of_system("api")
    members = [member for _observation, member in snapshot.facts_of(ApiFacts)]
    expected = context.site.healthy_status()
    serving = [member.name for member in members if member.answer.serves(expected)]
    names = [observation.subject.partition("/")[2] for observation in observed]
    evidence = {"serving": serving, "members": names}
    if serving:
        title = _("{count} of {all} API members serve").format(count=len(serving), all=len(observed))
        yield context.ok(title, value=len(serving), evidence=evidence)
    elif any(member.failure is None or member.failure.is_outage for member in observed):
        title = _("None of the {all} API members serves").format(all=len(observed))
        yield context.crit(title, value=0, evidence=evidence)
    else:
        title = _("None of the {all} API members could be looked at").format(all=len(observed))
        yield context.unknown(title, evidence=evidence)


def _busy_server(member: ApiFacts, context: Context) -> ServerFacts | None:
    """Return the member's server when processes wait for its cores."""
    placed = context.site.member(member.name)
    return next(
        (
            facts
            for observation, facts in context.snapshot.facts_of(ServerFacts)
            if placed is not None and observation.server == placed.server and facts.is_busy
        ),
        None,
    )


def _logs(member: ApiFacts, context: Context) -> str | None:
    """Return the command that shows the member's log, where its container is known."""
    placed = context.site.member(member.name)
    if placed is None or placed.container is None:
        return None
    return on_server(context.site, placed.server, f"docker logs --tail 100 {operands(placed.container)}")
