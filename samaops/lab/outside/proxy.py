"""The Senelec proxy: tinyproxy, which lets CONNECT to port 443 through and nothing else.

An incident writes other rules with ``write_rules`` and starts the proxy anew; with SIGUSR1 tinyproxy reads them
again too, and may crash under load.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from msgspec import Struct

from samaops.lab.outside.places import GOOGLE_HOSTS, Places


class Rules(Struct, frozen=True):
    """Who may pass, and to where."""

    user: str = ""
    password: str = ""
    refused_hosts: tuple[str, ...] = ()


def configuration_file(places: Places) -> Path:
    """Return tinyproxy's configuration."""
    return places.directory / "proxy" / "tinyproxy.conf"


def write_rules(places: Places, rules: Rules) -> None:
    """Write the configuration that these rules need."""
    directory = configuration_file(places).parent
    directory.mkdir(parents=True, exist_ok=True)
    expressions = [f"^{re.escape(host)}$" for host in rules.refused_hosts]
    (directory / "refused-hosts").write_text("".join(f"{line}\n" for line in expressions), encoding="utf-8")
    configuration_file(places).write_text(_configuration(places, rules), encoding="utf-8")


def write_names(places: Places, missing: tuple[str, ...] = ()) -> None:
    """Tell where Google's names are; the ``missing`` ones cannot be resolved."""
    there = [places.address, places.ports.google]
    names = {host: there for host in GOOGLE_HOSTS if host not in missing}
    places.names_file.parent.mkdir(parents=True, exist_ok=True)
    places.names_file.write_text(json.dumps(names, indent=1), encoding="utf-8")


def _configuration(places: Places, rules: Rules) -> str:
    directory = configuration_file(places).parent
    lines = [
        f"Port {places.ports.proxy}",
        f"Listen {places.address}",
        "Timeout 60",
        "MaxClients 100",
        "LogLevel Connect",
        'ViaProxyName "proxy.senelec.sn"',
        "Allow 127.0.0.0/8",
        "ConnectPort 443",
        f'Filter "{directory / "refused-hosts"}"',
        "FilterDefaultDeny No",
        f'Upstream http {places.address}:{places.ports.names} ".googleapis.com"',
    ]
    if rules.user:
        lines.append(f"BasicAuth {rules.user} {rules.password}")
    return "\n".join(lines) + "\n"
