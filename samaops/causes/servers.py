"""Roots in the ground: a server, its memory, its clock, our way into it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial

from msgspec.structs import replace

from samaops.causes.effects import OfSite, codes, same_server
from samaops.causes.mechanism import killed_at
from samaops.causes.root import (
    Rank,
    Root,
    disruptive,
    root,
    safe,
    together,
    words_of,
)
from samaops.causes.topology import SERVER_GONE, effects_of_server
from samaops.causes.view import View, failed, not_ok
from samaops.i18n import _
from samaops.model.cause import Verdict
from samaops.model.finding import Finding
from samaops.model.status import Status
from samaops.site.commands import on_server
from samaops.site.shell_words import operands

_ENVIRONMENT = "docker.container.environment"
# What the kernel of this machine says itself, without asking anybody: there is no way to that network.
_NO_ROUTE = re.compile(r"\[Errno 101\]|network is unreachable", re.IGNORECASE)


def _has_no_route(finding: Finding) -> bool:
    """Return whether the kernel of this machine refused to send: by the connection that was tried, else by the echo."""
    tried = finding.evidence.get("tcp_message") or finding.evidence.get("ping_reason")
    return bool(_NO_ROUTE.search(str(tried)))


def _is_not_reached(finding: Finding) -> bool:
    return finding.evidence.get("kind") in ("silent", "name")


@root(
    "no-route-from-here",
    on=together("servers.host.unreachable"),
    rank=Rank.SERVER,
    effects=OfSite(
        lambda _finding, _site: (), (*SERVER_GONE.shown, *codes("*.unreachable", when=_is_not_reached))
    ),
    distinguished_from=("server-down", "server-unresponsive"),
)
def no_route_from_here(_finding: Finding, view: View) -> Root | None:
    """This machine has no way to the servers: what fails is between samaops and them, and says nothing of them."""
    lost = tuple(finding for finding in view.bad("servers.host.unreachable") if _has_no_route(finding))
    if not lost:
        return None
    names = sorted({str(finding.server) for finding in lost})
    # A machine that has a way to none of them, and reached nobody, has none to the rest of the site either.
    is_cut_off = len(lost) == len(view.bad("servers.host.unreachable")) and not view.ok("*.unreachable")
    others = codes("*.unreachable", when=_is_not_reached) if is_cut_off else ()
    title = _("This machine has no route to {names}: nothing is known of what runs there")
    address = view.site.address_of(names[0])
    text = _(
        "Repair the network of this machine (cable, VPN, route), or look from another; leave the servers alone"
    )
    return Root(
        title.format(names=", ".join(names)),
        (safe("network.here", text, f"ip route get {operands(address)}", "ip -brief address"),),
        subject=f"servers/{names[0]}",
        triggers=lost,
        effects=(*(effect for name in names for effect in effects_of_server(view.site, name)), *others),
        speaks_for=(_("its own kernel says so, and sent nothing: {words}").format(words=words_of(lost[0])),),
        speaks_against=tuple(finding.title for finding in view.ok("servers.host.unreachable")[:2]),
    )


@root("server-down", on="servers.host.unreachable", rank=Rank.SERVER, runbook="api-down", effects=SERVER_GONE)
def server_down(finding: Finding, view: View) -> Root:
    """A server does not answer."""
    text = _("Look at its console (hypervisor), then start it; call the network team if it runs")
    ping = f"ping -c 3 {view.site.address_of(finding.server or '')}"
    return Root(
        _("Server {name} does not answer").format(name=finding.server),
        (disruptive("server.start", text, ping),),
    )


@root(
    "server-unresponsive",
    on=together(failed("*.unreachable", "silent", "no_answer")),
    rank=Rank.SERVER,
    runbook="api-down",
    effects=SERVER_GONE,
    distinguished_from=("ssh-unusable",),
)
def server_unresponsive(_finding: Finding, view: View) -> Iterator[Root]:
    """On which server is every service silent at once? Not each of them has a fault of its own."""
    for name, silent in _whole_servers(view, "silent", "no_answer"):
        text = _(
            "Look at its console (hypervisor) and ask the network team for the firewall, before any restart"
        )
        title = _("No service on server {name} answers: it is frozen, or a firewall drops")
        yield Root(
            title.format(name=name),
            (safe("server.console", text, f"ping -c 3 {view.site.address_of(name)}"),),
            Verdict.PROBABLE,
            subject=f"servers/{name}",
            triggers=silent,
            effects=effects_of_server(view.site, name),
            speaks_for=tuple(finding.title for finding in silent),
            speaks_against=tuple(host.title for host in view.ok("servers.host.unreachable", name)),
        )


@root(
    "server-refuses-everything",
    on=together(failed("*.unreachable", "refused")),
    rank=Rank.SERVER,
    runbook="api-down",
    effects=replace(SERVER_GONE, shown=(*SERVER_GONE.shown, *codes(_ENVIRONMENT))),
    distinguished_from=("ssh-unusable",),
)
def server_refuses_everything(_finding: Finding, view: View) -> Iterator[Root]:
    """Where does nothing listen at all, the log-in of the people neither? That is rather another machine's address."""
    for name, refused in _whole_servers(view, "refused"):
        if not any(finding.code == "servers.ssh.unreachable" for finding in refused):
            continue
        address = view.site.address_of(name)
        title = _(
            "Nothing listens on server {name}, SSH neither: {address} is not its address, or it has just started"
        )
        text = _("Compare {address} with the addresses of its console, before any restart")
        elsewhere = [finding for finding in view.bad(_ENVIRONMENT) if _goes_elsewhere(address, finding)]
        yield Root(
            title.format(name=name, address=address),
            (safe("server.address", text.format(address=address), f"ping -c 3 {address}"),),
            Verdict.PROBABLE,
            subject=f"servers/{name}",
            triggers=refused,
            effects=(
                *effects_of_server(view.site, name),
                *codes(_ENVIRONMENT, when=partial(_goes_elsewhere, address)),
            ),
            speaks_for=tuple(finding.title for finding in (*elsewhere, *refused)),
        )


def _goes_elsewhere(address: str, finding: Finding) -> bool:
    """Return whether all that the application's environment has otherwise is another host in place of this one."""
    differences = finding.evidence.get("differences") or ()
    return bool(differences) and all(
        (each.get("part"), each.get("usual")) == ("host", address) for each in differences
    )


# The workers are seen at the broker, which may be another server.
_SEEN_ELSEWHERE = ("celery",)


def _whole_servers(view: View, *kinds: str) -> Iterator[tuple[str, tuple[Finding, ...]]]:
    """Yield the servers of which every service that was looked at fails so, two at least, with what shows it."""
    for name in view.site.settings.servers:
        services = [finding for finding in view.findings if _is_access(finding, name)]
        failing = tuple(access for access in services if access.evidence.get("kind") in kinds)
        if len(failing) >= 2 and len(failing) == len(services):
            yield name, failing


def _is_access(finding: Finding, server: str) -> bool:
    """Return whether this is the look at a service of the server itself, and it was made."""
    return (
        finding.server == server
        and finding.code.endswith(".unreachable")
        and finding.code != "servers.host.unreachable"
        and finding.system not in _SEEN_ELSEWHERE
        and finding.status is not Status.SKIPPED
        and finding.evidence.get("kind") != "dependency"
    )


# After this long the memory is given back, what was killed is started again or is another's fault.
_KILL_SECONDS = 900.0
_STARVED = ("servers.memory.low", "servers.swap.used")
_KILLED = ("docker.container.stopped", "docker.container.restarting")


@root(
    "host-out-of-memory",
    on="servers.oom.killed",
    rank=Rank.RESOURCE,
    runbook="api-down",
    effects=(*same_server(*_STARVED), *same_server(*_KILLED, when=killed_at(()))),
    distinguished_from=("container-oom-killed", "container-stopped", "container-crashed"),
)
def host_out_of_memory(finding: Finding, view: View) -> Root | None:
    """The kernel killed a process for its memory, now and not hours ago."""
    kills = finding.evidence.get("kills") or ()
    killed = killed_at(kill.get("at") for kill in kills)
    ended = [
        container.title
        for code in _KILLED
        for container in view.bad(code, finding.server)
        if killed(container)
    ]
    starved = [low.title for code in _STARVED for low in view.bad(code, finding.server)]
    is_recent = any((kill.get("ago_seconds") or 0.0) <= _KILL_SECONDS for kill in kills) or not kills
    if not (is_recent or ended or starved):
        return None  # it has given the memory back long since, and nothing that it ended is still down
    title = _("Server {name} ran out of memory and the kernel killed a process").format(name=finding.server)
    look = on_server(view.site, finding.server, "ps aux --sort=-rss | head -15")
    text = _("See who holds the memory before restarting anything")
    return Root(
        title,
        (safe("server.memory.owner", text, look),),
        Verdict.PROBABLE,
        effects=(
            *codes(*_STARVED, server=finding.server),
            *codes(*_KILLED, server=finding.server, when=killed),
        ),
        speaks_for=(finding.title, *ended, *starved),
        speaks_against=() if starved else (_("the server has memory again"),),
    )


@root(
    "ssh-unusable",
    on=not_ok("servers.ssh.unreachable"),
    rank=Rank.ENGINE,
    effects=same_server(
        "servers.*",
        "docker.*",
        "backup.*",
        "redis.memory.over_container",
        "loadbalancer.management.unreachable",
        "network.*",
    ),
    distinguished_from=("server-unresponsive",),
)
def ssh_unusable(finding: Finding, view: View) -> Root | None:
    """We cannot log in, or can and run nothing."""
    if finding.evidence.get("kind") == "deadline":
        return None  # we did not wait: that says nothing of the log-in
    if finding.evidence.get("stage") in _LOGGED_IN:
        title = _("Server {name} lets us log in and runs nothing for us: what only it can tell is unknown")
        text = _(
            "Read what it says: sshd's MaxSessions, a ForceCommand, an expired password or the account's shell may be why"
        )
    else:
        title = _("We cannot log in to server {name}: what only it can tell is unknown")
        text = _("Try the log-in by hand and read its reason")
    fix = safe("ssh.test", text, on_server(view.site, finding.server, "true"))
    return Root(title.format(name=finding.server), (fix,))


# The stages of a look that come after the log-in.
_LOGGED_IN = ("ssh session", "ssh command", "script")


@root(
    "clock-skew",
    on="servers.clock.skewed",
    rank=Rank.RESOURCE,
    runbook="notifications",
    effects=codes("celery.tasks.failing", "flower.worker*", "certificates.*"),
)
def clock_skew(finding: Finding, view: View) -> Root:
    """A server has another time."""
    set_it = on_server(view.site, finding.server, "chronyc makestep")
    return Root(fixes=(disruptive("chrony.makestep", _("Set the clock from the time server again"), set_it),))
