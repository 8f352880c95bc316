"""What is observed of the load balancer: the virtual address as customers see it, and the F5's own view."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from samaops.clients.balancer_commands import CommandControl, ListedMember
from samaops.clients.errors import ClientError
from samaops.clients.http import HttpConnection
from samaops.clients.loadbalancer import BigIpClient, name_of, setting_of
from samaops.collect import health
from samaops.collect.engine import Probe
from samaops.collect.registry import SPARE_SECONDS, Target, collects
from samaops.config.balancer_settings import BalancerCommands, BigIp, LoadBalancer
from samaops.facts.loadbalancer import (
    AVAILABLE,
    ENABLED,
    OFFLINE,
    BigIpFacts,
    MemberFacts,
    MonitorFacts,
    VipFacts,
)
from samaops.model.failure import OUTAGE_KINDS
from samaops.site.site import Site


def vip(site: Site) -> Iterator[Target]:
    """Yield the address that customers use, where one is configured."""
    balancer = site.settings.loadbalancer
    if balancer is not None:
        yield Target("vip", balancer, None, balancer.timeout + SPARE_SECONDS)


@collects("loadbalancer", VipFacts, targets=vip, feeds=("loadbalancer.vip",))
def look_at_vip(balancer: LoadBalancer, _site: Site, probe: Probe) -> VipFacts:
    """Ask for the API's health as a customer would."""
    url = health.url_of(balancer.url, balancer.health_path)
    return VipFacts(health.ask(url, balancer.timeout, probe, balancer.ca_file))


def management(site: Site) -> Iterator[Target]:
    """Yield the management interface of the F5, where one is configured."""
    balancer = site.settings.loadbalancer
    if balancer is not None and balancer.bigip is not None:
        yield Target("bigip", balancer.bigip, None, balancer.timeout + SPARE_SECONDS)


@collects(
    "loadbalancer",
    BigIpFacts,
    targets=management,
    feeds=tuple(f"loadbalancer.{part}" for part in ("management", "member", "pool", "virtual", "monitor")),
)
def look_at_pool(bigip: BigIp, site: Site, probe: Probe) -> BigIpFacts:
    """Read the pool as the F5 sees it."""
    assert site.settings.loadbalancer is not None
    return observe(bigip, site.settings.loadbalancer.timeout, probe)


def observe(bigip: BigIp, timeout: float, probe: Probe) -> BigIpFacts:
    """Read members, pool, monitors and virtual server. Raises ClientError when the members cannot be read.

    A management interface that is down is no outage: customers are served through another. So it is told as
    a way to look that is broken.
    """
    with HttpConnection(bigip.url, timeout=timeout, ca_file=bigip.ca_file) as connection:
        client = BigIpClient(connection, bigip)
        probe.stage("members")
        stats = _stats(client)
        settings = probe.attempt("settings", client.members)
        members = members_of_bigip(stats, settings or ())
        monitors = probe.attempt("monitors", lambda: _monitors(client))
        virtual = probe.attempt("virtual", client.virtual_stats) or {}
    return BigIpFacts(
        pool=bigip.pool,
        virtual_server=bigip.virtual_server,
        members=members,
        monitors=monitors,
        virtual_availability=_optional(virtual, "status.availabilityState"),
        virtual_enabled=_optional(virtual, "status.enabledState"),
        virtual_reason=_optional(virtual, "status.statusReason"),
    )


def _stats(client: BigIpClient) -> list[dict[str, Any]]:
    try:
        return client.member_stats()
    except ClientError as error:
        if error.kind in OUTAGE_KINDS:
            raise error.on_the_way("management") from error
        raise


def members_of_bigip(
    stats: Iterable[Mapping[str, Any]], items: Iterable[dict[str, Any]]
) -> tuple[MemberFacts, ...]:
    """Return the members by their statistics, and by what they are set to where that could be read."""
    settings = {name_of(item): setting_of(item) for item in items}
    return tuple(_member(each, settings) for each in stats)


def _member(stats: Mapping[str, Any], settings: Mapping[str, str]) -> MemberFacts:
    node = str(stats.get("nodeName") or stats.get("addr") or "?").rpartition("/")[2]
    name = _host_and_port(node, stats)
    connections = stats.get("serverside.curConns")
    return MemberFacts(
        name=name,
        availability=str(stats.get("status.availabilityState", "")),
        enabled=str(stats.get("status.enabledState", "")),
        reason=str(stats.get("status.statusReason", "")),
        monitor_status=str(stats.get("monitorStatus", "")),
        session=str(stats.get("sessionStatus", "")),
        current_connections=connections if isinstance(connections, int) else None,
        # behind % stands the route domain
        address=_host_and_port(str(stats.get("addr") or "?").partition("%")[0], stats),
        setting=settings.get(name, ""),
    )


def _host_and_port(host: str, stats: Mapping[str, Any]) -> str:
    return f"{f'[{host}]' if ':' in host else host}:{stats.get('port', '?')}"


def commands(site: Site) -> Iterator[Target]:
    """Yield the balancer that is controlled by commands, where one is configured."""
    balancer = site.settings.loadbalancer
    if balancer is not None and balancer.commands is not None and balancer.bigip is None:
        server = balancer.commands.server
        seconds = site.shell_seconds(server, balancer.timeout)
        yield Target("commands", balancer.commands, server, seconds)


@collects(
    "loadbalancer",
    BigIpFacts,
    targets=commands,
    feeds=tuple(f"loadbalancer.{part}" for part in ("management", "member", "pool")),
)
def look_by_commands(section: BalancerCommands, site: Site, probe: Probe) -> BigIpFacts:
    """Let the site's own command list the members."""
    assert site.settings.loadbalancer is not None
    control = CommandControl(probe.shell(section.server), section, site.settings.loadbalancer.timeout)
    probe.stage("members")
    try:
        members = members_of_commands(control.members())
    except ClientError as error:
        raise error.on_the_way("management") from error
    return BigIpFacts(section.pool, "", members, None, None, None, None)


# What a listed state is in an F5's words: availability, enabled, reason, the monitor's status, session.
_LISTED = {
    "up": (AVAILABLE, "enabled", "", "up", "enabled"),
    "down": ("offline", "enabled", "marked down by a monitor", "down", "enabled"),
    "unwatched": ("unknown", "enabled", "", "unchecked", "enabled"),
    "offline": ("offline", "disabled", "forced offline", "user-down", "user-disabled"),
}


def members_of_commands(listed: Iterable[ListedMember]) -> tuple[MemberFacts, ...]:
    """Return the members that a site's own command has listed."""
    return tuple(
        MemberFacts(
            member.name,
            *_LISTED[member.state],
            member.connections,
            member.address,
            OFFLINE if member.state == "offline" else ENABLED,
        )
        for member in listed
    )


def _monitors(client: BigIpClient) -> tuple[MonitorFacts, ...]:
    """Return the pool's monitors; the pool names them as in "min 1 of { /Common/a /Common/b }"."""
    names = re.findall(r"/[^\s{}]+", str(client.pool().get("monitor", "")))
    return tuple(_monitor(client, name) for name in names)


def _monitor(client: BigIpClient, name: str) -> MonitorFacts:
    monitor = client.http_monitor(name)
    if monitor is None:
        return MonitorFacts(name, None, "")
    receive = str(monitor.get("recv") or "")
    return MonitorFacts(name, "" if receive == "none" else receive, str(monitor.get("send", "")))


def _optional(stats: Mapping[str, Any], key: str) -> str | None:
    value = stats.get(key)
    return None if value in (None, "") else str(value)
