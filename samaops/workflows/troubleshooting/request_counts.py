"""Count at the hops of a request's way what was seen: who gets it, who serves it, and what it then waits for."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from samaops.facts.api import ApiFacts
from samaops.facts.docker import DockerFacts
from samaops.facts.loadbalancer import BigIpFacts
from samaops.facts.observation import Snapshot
from samaops.facts.rabbitmq import RabbitMQFacts
from samaops.facts.sqlserver import SqlServerFacts
from samaops.i18n import _, joined
from samaops.model.failure import FailureKind
from samaops.model.status import Status
from samaops.site.site import Site
from samaops.workflows.troubleshooting import query_counts
from samaops.workflows.troubleshooting.hops import SeenHop, uncounted


def count(hop: str, snapshot: Snapshot, site: Site) -> SeenHop:
    """Return one hop with its count."""
    counts: dict[str, Callable[[], SeenHop]] = {
        "balancer": partial(_balancer, snapshot, site),
        "member": partial(_members, snapshot, site),
        "container": partial(_containers, snapshot, site),
        "loop": partial(_loop, snapshot, site),
        "pool": partial(query_counts.count, "waiting", snapshot, site),
        "database": partial(query_counts.count, "running", snapshot, site),
        "broker": partial(_broker, snapshot, site),
        "external": partial(_external, snapshot, site),
    }
    counted = counts[hop]()
    return SeenHop(
        hop, counted.status, counted.value, counted.detail, counted.evidence, counted.unit, counted.hint
    )


def _balancer(snapshot: Snapshot, site: Site) -> SeenHop:
    """Count the members to which the balancer gives requests."""
    section = site.settings.loadbalancer
    if section is None or (section.bigip is None and section.commands is None):
        reason = (
            _("the balancer is not asked for its members") if section else _not_configured("loadbalancer")
        )
        return SeenHop("balancer", None if section else Status.SKIPPED, detail=reason, unit="members")
    facts = next((facts for _observation, facts in snapshot.facts_of(BigIpFacts)), None)
    if facts is None:
        reason = _("the balancer's members could not be read")
        return uncounted("balancer", "members", reason, "loadbalancer", site)
    members = [member for member in facts.members if not member.is_name]
    given = [member.name for member in members if member.is_serving]
    words = _("{count} of {all} are given requests").format(count=len(given), all=len(members))
    return SeenHop("balancer", None, len(given), words, {"members": given}, "members")


def _members(snapshot: Snapshot, site: Site) -> SeenHop:
    """Count the members that serve their health path."""
    configured = [member.name for member in site.members()]
    if not configured:
        return SeenHop("member", Status.SKIPPED, detail=_not_configured("api"), unit="members")
    expected = site.healthy_status()
    serving = [
        facts.name for _observation, facts in snapshot.facts_of(ApiFacts) if facts.answer.serves(expected)
    ]
    words = _("{count} of {all} serve").format(count=len(serving), all=len(configured))
    return SeenHop("member", None, len(serving), words, {"serving": serving}, "members")


def _containers(snapshot: Snapshot, site: Site) -> SeenHop:
    """Count the members' containers that run."""
    named = {member.container: member.server for member in site.members() if member.container}
    if not named:
        reason = _("no member has a container")
        return SeenHop("container", Status.SKIPPED, detail=reason, unit="containers")
    engines = {observation.server: facts for observation, facts in snapshot.facts_of(DockerFacts)}
    unseen = sorted({server for server in named.values() if server not in engines})
    if unseen:
        reason = _("the engine of {servers} could not be read").format(servers=joined(unseen))
        return uncounted("container", "containers", reason, "docker", site)
    states = {
        name: (container.state if (container := engines[server].named(name)) else _("missing"))
        for name, server in named.items()
    }
    running = [name for name, state in states.items() if state == "running"]
    words = ", ".join(f"{name} {state}" for name, state in states.items() if state != "running")
    return SeenHop("container", None, len(running), words, {"states": states}, "containers")


def _loop(snapshot: Snapshot, site: Site) -> SeenHop:
    """Say how long the slowest member takes for a request that touches nothing but its event loop."""
    if not site.members():
        return SeenHop("loop", Status.SKIPPED, detail=_not_configured("api"))
    silent = [
        seen.subject
        for seen in snapshot.of_system("api")
        if seen.failure is not None and seen.failure.kind is FailureKind.NO_ANSWER
    ]
    if silent:  # it is accepted by the kernel, and nobody takes it
        names = joined(subject.partition("/")[2] for subject in silent)
        because = [f"api.member.unreachable@{subject}" for subject in silent]
        words = _("{names} takes no request").format(names=names)
        return SeenHop("loop", Status.CRITICAL, None, words, {"because": because})
    medians = {facts.name: facts.answer.median_ms for _observation, facts in snapshot.facts_of(ApiFacts)}
    if not medians:
        return SeenHop("loop", Status.SKIPPED, detail=_("no member answers"))
    name = max(medians, key=lambda member: medians[member])
    words = _("ms at most, by {member}").format(member=name)
    return SeenHop("loop", None, medians[name], words, {"median_ms": medians})


def _broker(snapshot: Snapshot, site: Site) -> SeenHop:
    """Count the publishers that the broker holds back."""
    if site.settings.rabbitmq is None:
        return SeenHop("broker", Status.SKIPPED, detail=_not_configured("rabbitmq"), unit="connections")
    facts = next((facts for _observation, facts in snapshot.facts_of(RabbitMQFacts)), None)
    if facts is None or facts.connections is None:
        reason = _("the broker's connections could not be read")
        return uncounted("broker", "connections", reason, "rabbitmq", site)
    blocked = len(facts.connections.blocked)
    words = _("of {all} connections are held back").format(all=facts.connections.total)
    return SeenHop("broker", None, blocked, words, {"blocked": blocked}, "connections")


def _external(snapshot: Snapshot, site: Site) -> SeenHop:
    """Count the external databases that answer."""
    if not site.settings.sqlserver:
        return SeenHop("external", Status.SKIPPED, detail=_not_configured("sqlserver"), unit="servers")
    seen = [facts for _observation, facts in snapshot.facts_of(SqlServerFacts)]
    answering = [facts.name for facts in seen if not facts.broken_rung]
    words = _("{count} of {all} answer").format(count=len(answering), all=len(site.settings.sqlserver))
    return SeenHop("external", None, len(answering), words, {"answering": answering}, "servers")


def _not_configured(section: str) -> str:
    return _("[{section}] is not configured").format(section=section)
