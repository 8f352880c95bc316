"""The load balancer: nginx in the place of the F5, one address in front of both members of the API.

A client that has been served comes back to the same member by the cookie SAMACONSOSERVERID. A member that
refuses or stays silent is left aside for a moment. nginx's own error answers have no ``server: uvicorn``, as
the F5's have not.
"""

from __future__ import annotations

import os
from pathlib import Path

from samaops.lab.outside.places import Places

COOKIE = "SAMACONSOSERVERID"
ANSWER_TIMEOUT_SECONDS = 5
FAIL_SECONDS = 5
_TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


def configuration_file(places: Places) -> Path:
    """Return nginx's configuration."""
    return places.directory / "balancer" / "nginx.conf"


def write_configuration(places: Places, offline: frozenset[str] = frozenset()) -> None:
    """Write nginx's configuration; members ``offline`` get no request. Tell a running nginx with SIGHUP."""
    directory = configuration_file(places).parent
    directory.mkdir(parents=True, exist_ok=True)
    configuration_file(places).write_text(_configuration(places, offline), encoding="utf-8")


def _configuration(places: Places, offline: frozenset[str]) -> str:
    directory = configuration_file(places).parent
    user = "user root;\n" if os.geteuid() == 0 else ""
    temporary = "\n".join(f"    {name}_temp_path {directory}/{name};" for name in _TEMPORARY)
    return f"""{user}worker_processes 1;
daemon off;
pid {directory}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 512; }}
http {{
{temporary}
    server_tokens off;
    log_format vip '$time_iso8601 $remote_addr "$request" $status $request_time '
                   '$upstream_addr $upstream_status';
    access_log {directory}/access.log vip;
{_upstreams(places, offline)}
{_maps(places)}
    server {{
        listen {places.address}:{places.ports.balancer};
        location / {{
            proxy_pass http://$pool;
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


def _upstreams(places: Places, offline: frozenset[str]) -> str:
    blocks = [_upstream("pool_any", list(places.members.items()), "", offline)]
    for name in places.members:
        ordered = sorted(places.members.items(), key=lambda member: member[0] != name)
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
