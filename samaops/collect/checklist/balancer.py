"""How an F5 shares the work among its members, read with GET alone."""

from __future__ import annotations

from samaops.clients.errors import ClientError
from samaops.clients.http import HttpConnection
from samaops.clients.loadbalancer import BigIpClient
from samaops.collect.engine import Probe
from samaops.collect.loadbalancer import management
from samaops.collect.registry import collects
from samaops.config.balancer_settings import BigIp
from samaops.facts.checklist import BalancerFacts
from samaops.model.failure import OUTAGE_KINDS
from samaops.site.site import Site


@collects(
    "checklist",
    BalancerFacts,
    targets=management,
    feeds=("checklist.balancer",),
    kind="checklist_balancer",
    on_request=True,
)
def look(bigip: BigIp, site: Site, probe: Probe) -> BalancerFacts:
    """Read the pool and the virtual server as they are configured. Raises ClientError."""
    assert site.settings.loadbalancer is not None
    timeout = site.settings.loadbalancer.timeout
    with HttpConnection(bigip.url, timeout=timeout, ca_file=bigip.ca_file) as connection:
        client = BigIpClient(connection, bigip)
        try:
            return observe(client, probe)
        except ClientError as error:
            # A management interface that is down is no outage: customers are served through another.
            raise error.on_the_way("management") if error.kind in OUTAGE_KINDS else error from error


def observe(client: BigIpClient, probe: Probe) -> BalancerFacts:
    """Read them. Raises ClientError."""
    probe.stage("pool")
    method = str(client.pool().get("loadBalancingMode", ""))
    probe.stage("virtual")
    persist = client.virtual().get("persist")
    profiles = (
        [profile for profile in persist if isinstance(profile, dict)] if isinstance(persist, list) else []
    )
    cookie_method = ""
    for profile in profiles:
        probe.stage("persistence")
        found = client.cookie_persistence(f"/{profile.get('partition', 'Common')}/{profile.get('name', '')}")
        if found is not None:
            cookie_method = str(found.get("method", ""))
            break
    return BalancerFacts(method, tuple(str(profile.get("name", "")) for profile in profiles), cookie_method)
