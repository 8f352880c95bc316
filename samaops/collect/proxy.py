"""What is observed of the Senelec proxy itself: does it answer, and does it open the way to Google."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from samaops.clients import proxy as client
from samaops.clients.errors import ClientError
from samaops.clients.proxy import Tunnel
from samaops.clients.time_limit import TimeLimit
from samaops.collect.engine import Probe
from samaops.collect.registry import SPARE_SECONDS, Target, collects
from samaops.config.settings import Firebase, Proxy
from samaops.facts.proxy import ProxyFacts, TunnelFacts
from samaops.model.failure import FailureKind
from samaops.site.site import Site

TIMEOUT_SECONDS = 5.0
# Kept of the timeout to ask a proxy that is silent about its targets whether it lives at all.
ALIVE_SECONDS = 1.0


def targets(firebase: Firebase) -> tuple[tuple[str, int], ...]:
    """Return host and port of Google's two services, each once."""
    urls = (urlsplit(url) for url in (firebase.oauth_url, firebase.fcm_url))
    return tuple(dict.fromkeys((url.hostname or "", url.port or 443) for url in urls))


def configured(site: Site) -> Iterator[Target]:
    """Yield the proxy, where one is configured."""
    proxy = site.settings.proxy
    if proxy is not None:
        yield Target(client.name(proxy), proxy, None, _seconds(site) + SPARE_SECONDS)


@collects("proxy", ProxyFacts, targets=configured)
def look(proxy: Proxy, site: Site, probe: Probe) -> ProxyFacts:
    """Ask the proxy for the way to Google."""
    firebase = site.settings.firebase
    return observe(proxy, targets(firebase) if firebase else (), _seconds(site), probe)


def _seconds(site: Site) -> float:
    return site.settings.firebase.timeout if site.settings.firebase else TIMEOUT_SECONDS


def observe(proxy: Proxy, hosts: tuple[tuple[str, int], ...], seconds: float, probe: Probe) -> ProxyFacts:
    """Ask the proxy for a tunnel to each host, all at once. Raises ClientError when the proxy itself fails."""
    connect_ms, tunnels = _ask_all(proxy, hosts, seconds - ALIVE_SECONDS, probe)
    kinds = {tunnel.failure_kind for tunnel in tunnels}
    if kinds <= {FailureKind.NO_ANSWER.value}:  # does it wait for somebody behind it, or hang itself?
        probe.stage("GET /")
        alive_ms = client.alive_after_ms(proxy, ALIVE_SECONDS)
        connect_ms = connect_ms if tunnels else alive_ms
    elif kinds in ({FailureKind.CLOSED.value}, {FailureKind.GARBAGE.value}):
        raise ClientError(FailureKind(tunnels[0].failure_kind), tunnels[0].words, "CONNECT")
    return ProxyFacts(client.name(proxy), connect_ms, client.has_credentials(proxy), tunnels)


def _ask_all(
    proxy: Proxy, hosts: tuple[tuple[str, int], ...], seconds: float, probe: Probe
) -> tuple[float, tuple[TunnelFacts, ...]]:
    limit = TimeLimit(max(seconds, ALIVE_SECONDS))
    opened: list[Tunnel] = []
    try:
        probe.stage("connect")
        opened.extend(Tunnel(proxy, host, port, limit) for host, port in hosts)
        probe.stage("CONNECT")
        for tunnel in opened:
            tunnel.ask()
        answers = tuple(_answer(tunnel, *target) for tunnel, target in zip(opened, hosts, strict=True))
        return (opened[0].connect_ms if opened else 0.0), answers
    finally:
        for tunnel in opened:
            tunnel.close()
        limit.cancel()


def _answer(tunnel: Tunnel, host: str, port: int) -> TunnelFacts:
    try:
        answer = tunnel.answer()
    except ClientError as error:
        return TunnelFacts(host, port, None, error.message, error.kind.value, None)
    return TunnelFacts(host, port, answer.status, answer.reason, "", answer.after_ms, answer.schemes)
