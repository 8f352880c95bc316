"""What is observed of the load balancer: the virtual address as customers see it, and the F5's own view."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from samaops.clients.errors import ClientError
from samaops.clients.http import HttpConnection
from samaops.clients.loadbalancer import BigIpClient
from samaops.collect import health
from samaops.collect.engine import Probe
from samaops.collect.registry import SPARE_SECONDS, Target, collects
from samaops.config.settings import BigIp, LoadBalancer
from samaops.facts.loadbalancer import BigIpFacts, MemberFacts, MonitorFacts, VipFacts
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
        members = tuple(_member(stats) for stats in _stats(client))
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


def _member(stats: Mapping[str, Any]) -> MemberFacts:
    node = str(stats.get("nodeName") or stats.get("addr") or "?").rpartition("/")[2]
    node = f"[{node}]" if ":" in node else node
    connections = stats.get("serverside.curConns")
    return MemberFacts(
        name=f"{node}:{stats.get('port', '?')}",
        availability=str(stats.get("status.availabilityState", "")),
        enabled=str(stats.get("status.enabledState", "")),
        reason=str(stats.get("status.statusReason", "")),
        monitor_status=str(stats.get("monitorStatus", "")),
        session=str(stats.get("sessionStatus", "")),
        current_connections=connections if isinstance(connections, int) else None,
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
