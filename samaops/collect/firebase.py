"""What is observed of Google's OAuth and FCM hosts, each for itself, by the way the application takes."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from samaops.clients import firebase as client
from samaops.collect.engine import Probe
from samaops.collect.registry import SPARE_SECONDS, Target, collects
from samaops.config.settings import Firebase, Proxy
from samaops.facts.firebase import FirebaseFacts
from samaops.facts.proxy import label
from samaops.site.site import Site


def hosts(site: Site) -> Iterator[Target]:
    """Yield Google's hosts, each once."""
    firebase = site.settings.firebase
    urls: dict[str, str] = {}
    for url in (firebase.oauth_url, firebase.fcm_url) if firebase else ():
        parts = urlsplit(url)
        urls.setdefault(label(parts.hostname or "?", parts.port or 443), url)
    for name, url in urls.items():
        yield Target(name, url, None, (firebase or Firebase()).timeout + SPARE_SECONDS)


@collects("firebase", FirebaseFacts, targets=hosts)
def look(url: str, site: Site, probe: Probe) -> FirebaseFacts:
    """Look at one of Google's hosts."""
    assert site.settings.firebase is not None
    return observe(url, site.settings.firebase, site.settings.proxy, probe)


def observe(url: str, firebase: Firebase, proxy: Proxy | None, probe: Probe) -> FirebaseFacts:
    """Look at one host. Raises ClientError."""
    probe.stage("proxy, TLS, GET" if proxy else "TLS, GET")
    answer = client.ask(url, firebase, proxy)
    parts, certificate = urlsplit(url), answer.certificate
    return FirebaseFacts(
        host=parts.hostname or "",
        port=parts.port or 443,
        through_proxy=proxy is not None,
        status=answer.status,
        issuer_organisation=certificate.issuer_organisation,
        issuer_name=certificate.issuer_name,
        certificate_name=certificate.subject_name,
        certificate_ends=certificate.not_after,
        verify_error=certificate.verify_error,
        tunnel_ms=answer.tunnel_ms,
        tls_ms=answer.tls_ms,
        first_byte_ms=answer.first_byte_ms,
    )
