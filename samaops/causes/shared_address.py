"""Where what is broken stands: the same thing has the same address for every site that uses it."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlsplit

from samaops.model.cause import Cause
from samaops.model.finding import Finding
from samaops.site.site import Site

_PORTS = {"http": 80, "https": 443}


def _proxy(_finding: Finding, site: Site) -> str:
    return _of_url(site.settings.proxy.url) if site.settings.proxy else ""


def _google(finding: Finding, site: Site) -> str:
    """Return the host, and the way there: two sites with two ways out do not share what breaks it."""
    way = _proxy(finding, site)
    return f"{_name(finding)} via {way}" if way else _name(finding)


def _sqlserver(finding: Finding, site: Site) -> str:
    return next(
        (
            f"{server.host}:{server.port}"
            for server in site.settings.sqlserver
            if server.name == _name(finding).partition("/")[0]
        ),
        "",
    )


def _balancer(finding: Finding, site: Site) -> str:
    """Return the virtual address, which is the site's own, or the F5 itself, which others may have too."""
    section = site.settings.loadbalancer
    if section is None:
        return ""
    is_vip = finding.subject == "loadbalancer/vip" or section.bigip is None
    return _of_url(section.url if is_vip or section.bigip is None else section.bigip.url)


_OUTSIDE: dict[str, Callable[[Finding, Site], str]] = {
    "proxy": _proxy,
    "firebase": _google,
    "sqlserver": _sqlserver,
    "loadbalancer": _balancer,
}


# Each site calls it by a name of its own.
_NAMED_BY_THE_SITE = ("sqlserver",)


def identity(cause: Cause) -> tuple[str, str, str] | None:
    """Return what is the same for a cause that several sites share; None where nobody knows where it stands."""
    if not cause.address:
        return None
    is_named = cause.subject.partition("/")[0] in _NAMED_BY_THE_SITE
    return cause.id, cause.address, "" if is_named else cause.subject


def address_of(finding: Finding, site: Site) -> str:
    """Return where what a finding is about stands: ``host:port`` outside of the site, else its server's address; or ""."""
    outside = _OUTSIDE.get(finding.system)
    if outside is not None:
        return outside(finding, site)
    server = site.settings.servers.get(finding.server or "")
    return server.address if server else ""


def _of_url(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.hostname or ''}:{parts.port or _PORTS.get(parts.scheme, '')}"


def _name(finding: Finding) -> str:
    return finding.subject.partition("/")[2]
