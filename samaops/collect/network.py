"""What is observed of the ways between the parts: each place tries its lines of the matrix, on request or with ``--deep``."""

from __future__ import annotations

from collections.abc import Iterator

from samaops.clients import connectivity as client
from samaops.clients.balancer_commands import CommandControl
from samaops.clients.errors import ClientError
from samaops.clients.local import LocalShell
from samaops.clients.shell import Shell
from samaops.collect import loadbalancer
from samaops.collect.engine import Probe
from samaops.collect.registry import SPARE_SECONDS, Target, collects
from samaops.facts.loadbalancer import MemberFacts
from samaops.facts.network import OPEN, OTHER, Line, NetworkFacts, TriedLine
from samaops.i18n import _
from samaops.model.failure import FailureKind
from samaops.site import connectivity
from samaops.site.connectivity import BALANCER, Place
from samaops.site.site import Site


def sources(site: Site) -> Iterator[Target]:
    """Yield each place that has lines to try; one that nobody can look from, and of which nothing is judged, is left out."""
    for place in connectivity.places(site):
        if all(line.not_held for line in place.lines) and not _is_reached(site, place):
            continue
        seconds = client.seconds_for(place.lines, site.settings.network.timeout) + SPARE_SECONDS
        if place.server is not None:
            seconds = site.shell_seconds(place.server, seconds)
        yield Target(place.name, place, place.server, seconds)


def _is_reached(site: Site, place: Place) -> bool:
    if place.server is not None:
        return site.settings.servers[place.server].ssh != "none"
    return place.name != BALANCER or _has_management(site)


def _has_management(site: Site) -> bool:
    balancer = site.settings.loadbalancer
    return balancer is not None and (balancer.bigip is not None or balancer.commands is not None)


@collects("network", NetworkFacts, targets=sources)
def look(place: Place, site: Site, probe: Probe) -> NetworkFacts:
    """Try the lines of one place. A place that cannot be looked from is no outage of what it would reach."""
    if place.name == BALANCER and place.server is None:
        return NetworkFacts(place.name, "monitor", _of_monitor(place, site, probe))
    shell: Shell = LocalShell() if place.server is None else probe.shell(place.server)
    stage = f"docker exec {place.container}" if place.container else "connect"
    probe.stage(stage)
    try:
        timeout, within = site.settings.network.timeout, probe.remaining()
        program, tried = client.attempt(shell, place.lines, timeout, within, place.container)
    except ClientError as error:
        raise error.on_the_way(stage) from error
    return NetworkFacts(place.name, program, tried)


def _of_monitor(place: Place, site: Site, probe: Probe) -> tuple[TriedLine, ...]:
    """Ask the balancer itself: its monitor connects to each member all the time."""
    probe.stage("management")
    members = _members(site, probe)
    found = []
    for line in place.lines:
        of_line = [member for member in members if _is_of(site, member, line)]
        state = of_line[0].state if len(of_line) == 1 else ""
        if state == "serving":
            found.append(TriedLine(line, OPEN))
        else:
            text = _("the balancer says of it: {state}")
            words = text.format(state=state) if state else _("the balancer does not know it by this name")
            found.append(TriedLine(line, OTHER, words))
    return tuple(found)


def _members(site: Site, probe: Probe) -> tuple[MemberFacts, ...]:
    balancer = site.settings.loadbalancer
    if balancer is None or not _has_management(site):
        text = _("nobody logs in to the balancer, and [loadbalancer] has neither bigip nor commands")
        raise ClientError(FailureKind.MISSING, text)
    try:
        if balancer.bigip is not None:
            return loadbalancer.observe(balancer.bigip, balancer.timeout, probe).members
        assert balancer.commands is not None
        shell = probe.shell(balancer.commands.server)
        control = CommandControl(shell, balancer.commands, balancer.timeout)
        return loadbalancer.members_of_commands(control.members())
    except ClientError as error:
        raise error.on_the_way("management") from error


def _is_of(site: Site, member: MemberFacts, line: Line) -> bool:
    instance = site.member_at(member.address)
    return line.service in (instance.name if instance else "", member.name)
