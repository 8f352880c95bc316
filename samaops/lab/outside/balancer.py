"""The load balancer: nginx in the place of the F5, one address in front of both members of the API.

A client that has been served comes back to the same member by the cookie SAMACONSOSERVERID. A member that
refuses or stays silent is left aside for a moment. nginx's own error answers have no ``server: uvicorn``, as
the F5's have not.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

from samaops.lab.outside.places import Places

COOKIE = "SAMACONSOSERVERID"
ANSWER_TIMEOUT_SECONDS = 5
FAIL_SECONDS = 5
_TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


def configuration_file(places: Places) -> Path:
    """Return nginx's configuration."""
    return places.directory / "balancer" / "nginx.conf"


def directory_of(places: Places) -> Path:
    """Return where the balancer keeps its files."""
    return configuration_file(places).parent


def write_configuration(places: Places) -> None:
    """Write nginx's configuration; who was taken out stays out."""
    directory = directory_of(places)
    directory.mkdir(parents=True, exist_ok=True)
    _write(configuration_file(places), _configuration(places))
    write_members(directory, places.members, offline_members(directory))


def offline_members(directory: Path) -> frozenset[str]:
    """Return the members that were taken out."""
    file = directory / "offline.json"
    return frozenset(json.loads(file.read_text(encoding="utf-8"))) if file.exists() else frozenset()


def write_members(directory: Path, members: Mapping[str, str], offline: frozenset[str]) -> None:
    """Write the part of the configuration that says who gets requests. Tell a running nginx with SIGHUP."""
    _write(directory / "offline.json", json.dumps(sorted(offline)))
    _write(directory / "upstreams.conf", _upstreams(members, offline))


def _write(file: Path, text: str) -> None:
    new = file.with_name(f".{file.name}.new")
    new.write_text(text, encoding="utf-8")
    new.replace(file)


def _configuration(places: Places) -> str:
    directory = configuration_file(places).parent
    user = "user root;\n" if os.geteuid() == 0 else ""
    temporary = "\n".join(f"    {name}_temp_path {directory}/{name};" for name in _TEMPORARY)
    return f"""{user}worker_processes 1;
daemon off;
pid {directory}/nginx.pid;
error_log stderr warn;
worker_rlimit_nofile 8192;
events {{ worker_connections 4096; }}
http {{
{temporary}
    server_tokens off;
    log_format vip '$time_iso8601 $remote_addr "$request" $status $request_time '
                   '$upstream_addr $upstream_status';
    access_log {directory}/access.log vip;
    include {directory}/upstreams.conf;
{_maps(places)}
    server {{
        listen {places.address}:{places.ports.balancer};
        location / {{
            proxy_pass http://$pool;
            proxy_bind {places.address};
            proxy_http_version 1.1;
            proxy_set_header Host $host;
            proxy_set_header X-Forwarded-For $remote_addr;
            proxy_pass_header Server;
            proxy_connect_timeout 2s;
            proxy_send_timeout {ANSWER_TIMEOUT_SECONDS}s;
            proxy_read_timeout {ANSWER_TIMEOUT_SECONDS}s;
            proxy_next_upstream error timeout;
            proxy_next_upstream_timeout {ANSWER_TIMEOUT_SECONDS + 1}s;
            add_header Set-Cookie "{COOKIE}=$member; Path=/; HttpOnly";
        }}
    }}
}}
"""


def _upstreams(members: Mapping[str, str], offline: frozenset[str]) -> str:
    blocks = [_upstream("pool_any", list(members.items()), "", offline)]
    for name in members:
        ordered = sorted(members.items(), key=lambda member: member[0] != name)
        blocks.append(_upstream(f"pool_{name}", ordered, " backup", offline))
    return "\n".join(blocks)


def _upstream(pool: str, members: list[tuple[str, str]], rest: str, offline: frozenset[str]) -> str:
    lines = [f"    upstream {pool} {{", *([] if rest else ["        least_conn;"])]
    for rank, (name, address) in enumerate(members):
        role = " down" if name in offline else rest if rank else ""
        lines.append(f"        server {address} max_fails=1 fail_timeout={FAIL_SECONDS}s{role};")
    return "\n".join([*lines, "    }"])


def _maps(places: Places) -> str:
    pools = [f"        {name} pool_{name};" for name in places.members]
    served = [f"        ~{address}$ {name};" for name, address in places.members.items()]
    return "\n".join(
        [
            f"    map $cookie_{COOKIE} $pool {{",
            "        default pool_any;",
            *pools,
            "    }",
            "    map $upstream_addr $member {",
            '        default "";',
            *served,
            "    }",
        ]
    )
