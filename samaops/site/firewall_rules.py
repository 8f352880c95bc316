"""The packet filter that the connectivity matrix asks of one server, as text for nft or iptables-restore. Nothing is applied.

What is not named is dropped. Kept in any case: what a connection that is there goes on with, the server's own, its
containers', ICMP, and SSH. A port that Docker publishes passes no input chain: it is filtered where it is forwarded.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from msgspec import Struct

from samaops.config import consistency
from samaops.errors import RefusedError, UsageError
from samaops.i18n import _
from samaops.site import connectivity
from samaops.site.connectivity import ADMIN, BALANCER, CONTROL, MATRIX, Port
from samaops.site.site import Site

if TYPE_CHECKING:
    _Network = ipaddress.IPv4Network | ipaddress.IPv6Network

NFTABLES, IPTABLES = "nftables", "iptables"
_SHOW = "samaops config show"


class Opening(Struct, frozen=True):
    """One port of a server, and who may reach it: addresses and ranges."""

    port: int
    names: tuple[str, ...]
    sources: tuple[str, ...]


def openings(site: Site, server: str) -> tuple[Opening, ...]:
    """Return the ports of a server, SSH first, by number. Raises UsageError, RefusedError where an address is missing."""
    if server not in site.settings.servers:
        raise UsageError(consistency.not_a_server(server, site.settings), hint=_SHOW)
    here: dict[int, list[Port]] = {}
    for port in connectivity.ports(site):
        if port.server == server:
            here.setdefault(port.port, []).append(port)
    found = [
        Opening(
            number,
            tuple(port.name for port in same),
            tuple(dict.fromkeys(source for port in same for source in _sources(site, port))),
        )
        for number, same in here.items()
    ]
    if not any(port.system == "ssh" and opening.sources for opening in found for port in here[opening.port]):
        text = _("{server} has no SSH that samaops knows: its rules would lock everybody out")
        raise RefusedError(text.format(server=server), hint=_SHOW)
    return tuple(sorted(found, key=lambda opening: (not opening.names[0].startswith("ssh:"), opening.port)))


def _sources(site: Site, port: Port) -> Iterator[str]:
    """Yield the addresses of all who may reach a port from elsewhere."""
    network = site.settings.network
    added = [allowed.source for allowed in network.allowed]
    for source in dict.fromkeys((*MATRIX, *added)):
        if not connectivity.may_reach(site, source, port):
            continue
        if source in (ADMIN, CONTROL):
            yield from _from_outside(site, port)
        elif source == BALANCER:
            yield from _of_balancer(site, port)
        elif source in MATRIX or source in site.settings.servers:
            servers = site.servers_of(source) if source in MATRIX else (source,)
            yield from (_address(site, server) for server in servers if server != port.server)
        else:
            yield source


def _from_outside(site: Site, port: Port) -> Iterator[str]:
    """Yield where administrators and samaops are; without any of them a server could not be reached any more."""
    network = site.settings.network
    local = [name for name, server in site.settings.servers.items() if server.ssh == "local"]
    if not (network.admin or network.control or local):
        text = _("[network] admin is not filled in: the rules would lock out whoever administers {server}")
        raise RefusedError(text.format(server=port.server), hint=_SHOW)
    may = [source for source in (ADMIN, CONTROL) if connectivity.may_reach(site, source, port)]
    yield from network.admin if ADMIN in may else ()
    # Where only one of both is known, samaops is one of the administrators' machines.
    yield from network.control or (network.admin if CONTROL in may and not local else ())
    yield from (_address(site, name) for name in local if name != port.server)


def _of_balancer(site: Site, port: Port) -> tuple[str, ...]:
    if site.settings.loadbalancer is None:
        return ()
    if not site.settings.network.balancer:
        text = _("[network] balancer is not filled in: the rules would cut {name} off from the load balancer")
        raise RefusedError(text.format(name=port.name), hint=_SHOW)
    return site.settings.network.balancer


def _address(site: Site, server: str) -> str:
    address = site.address_of(server)
    try:
        ipaddress.ip_address(address)
    except ValueError:
        text = _("[servers.{server}] address is a name ({address}): a rule needs an address")
        raise RefusedError(text.format(server=server, address=address), hint=_SHOW) from None
    return address


def text(site: Site, server: str, form: str) -> str:
    """Return the rules of a server in one form. Raises UsageError, RefusedError."""
    found = openings(site, server)
    has_containers = bool(site.containers().get(server))
    write = _nftables if form == NFTABLES else _iptables
    return write(server, found, has_containers=has_containers)


def _split(sources: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return IPv4 and IPv6 sources, without those that lie within others: nft refuses overlapping sets."""
    networks = {ipaddress.ip_network(source) for source in sources}
    widest = [each for each in networks if not any(_is_within(each, other) for other in networks - {each})]
    of_versions = (sorted(_short(each) for each in widest if each.version == version) for version in (4, 6))
    version4, version6 = of_versions
    return version4, version6


def _is_within(inner: _Network, outer: _Network) -> bool:
    return (
        inner.version == outer.version
        and inner.network_address in outer
        and inner.prefixlen >= outer.prefixlen
    )


def _short(network: _Network) -> str:
    return str(network.network_address if network.num_addresses == 1 else network)


def _comments(server: str, *apply: str) -> list[str]:
    return [
        f"# {line}"
        for line in (
            _(
                "Server {server}: what the connectivity matrix asks for. samaops printed it and applied nothing."
            ).format(server=server),
            _(
                "What is not named here is dropped, exporters and other monitoring too: see [[network.allowed]]."
            ),
            *apply,
        )
    ]


def _nftables(server: str, found: Sequence[Opening], *, has_containers: bool) -> str:
    rules = [rule for opening in found for rule in _nft_rules(opening)]
    lines = [
        "#!/usr/sbin/nft -f",
        *_comments(
            server,
            _("Try: nft -c -f FILE. Apply it with a way back, and end that when you are still logged in:"),
            "  (sleep 120; nft delete table inet samaops) & nft -f FILE",
        ),
        "table inet samaops",
        "delete table inet samaops",
        "table inet samaops {",
        "  chain input {",
        "    type filter hook input priority filter; policy drop;",
        "    ct state established,related accept",
        "    ct state invalid drop",
        '    iifname "lo" accept',
        '    iifname "docker0" accept',
        '    iifname "br-*" accept',
        "    meta l4proto { icmp, ipv6-icmp } accept",
        *rules,
        "  }",
        *(_nft_published(found) if has_containers else ()),
        "}",
    ]
    return "\n".join(lines) + "\n"


def _nft_rules(opening: Opening) -> Iterator[str]:
    names = ", ".join(opening.names)
    for family, sources in zip(("ip", "ip6"), _split(opening.sources), strict=True):
        if sources:
            yield (
                f'    {family} saddr {{ {", ".join(sources)} }} tcp dport {opening.port} accept comment "{names}"'
            )
    if not opening.sources:
        nobody = _("nobody from elsewhere")
        yield f"    # {names}: tcp dport {opening.port}: {nobody}"


def _nft_published(found: Sequence[Opening]) -> Iterator[str]:
    comment = _("Ports that Docker publishes: they are forwarded, and pass no input chain.")
    yield f"  # {comment}"
    yield "  chain published {"
    yield "    type filter hook forward priority filter - 1; policy accept;"
    yield "    ct state established,related accept"
    yield '    iifname "docker0" accept'
    yield '    iifname "br-*" accept'
    for opening in found:
        for family, sources in zip(("ip", "ip6"), _split(opening.sources), strict=True):
            if sources:
                yield (
                    f"    {family} saddr {{ {', '.join(sources)} }} meta l4proto tcp ct status dnat "
                    f"ct original proto-dst {opening.port} accept"
                )
    yield "    ct status dnat drop"
    yield "  }"


def _iptables(server: str, found: Sequence[Opening], *, has_containers: bool) -> str:
    lines = [
        *_comments(
            server,
            _("Try: iptables-restore --noflush --test FILE. Apply it once: iptables-restore --noflush FILE."),
            _(
                "Way back: iptables -D INPUT -j SAMAOPS. IPv6 is not filtered by it: the form nftables has both."
            ),
        ),
        "*filter",
        ":SAMAOPS - [0:0]",
        *([":SAMAOPS-PUBLISHED - [0:0]"] if has_containers else []),
        "-A SAMAOPS -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT",
        "-A SAMAOPS -m conntrack --ctstate INVALID -j DROP",
        "-A SAMAOPS -i lo -j ACCEPT",
        "-A SAMAOPS -i docker0 -j ACCEPT",
        "-A SAMAOPS -i br-+ -j ACCEPT",
        "-A SAMAOPS -p icmp -j ACCEPT",
    ]
    for opening in found:
        name = ", ".join(opening.names)
        lines += [
            f'-A SAMAOPS -s {source} -p tcp --dport {opening.port} -m comment --comment "{name}" -j ACCEPT'
            for source in _split(opening.sources)[0]
        ]
    lines += ["-A SAMAOPS -j DROP"]
    lines += _published(found) if has_containers else []
    return "\n".join([*lines, "-I INPUT 1 -j SAMAOPS", "COMMIT"]) + "\n"


def _published(found: Sequence[Opening]) -> Iterator[str]:
    """Yield the rules of the ports that Docker publishes, in the chain that it leaves to its users."""
    chain = "-A SAMAOPS-PUBLISHED"
    yield f"{chain} -m conntrack --ctstate ESTABLISHED,RELATED -j RETURN"
    yield f"{chain} -i docker0 -j RETURN"
    yield f"{chain} -i br-+ -j RETURN"
    for opening in found:
        for source in _split(opening.sources)[0]:
            yield (
                f"{chain} -s {source} -p tcp -m conntrack --ctstate DNAT --ctorigdstport {opening.port} -j RETURN"
            )
    yield f"{chain} -m conntrack --ctstate DNAT -j DROP"
    yield "-I DOCKER-USER 1 -j SAMAOPS-PUBLISHED"
