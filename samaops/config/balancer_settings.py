"""What can be configured of the load balancer, and of how its members are taken out and put back."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from samaops.config.fields import Seconds, Section, Url, UserPath
from samaops.config.secrets import Secret


class BigIp(Section):
    """The F5's management interface (iControl REST)."""

    url: Url
    username: str = "samaops"
    password: Secret | None = None
    # Who checks the password of a change's log-in; "tmos" asks whom the F5 itself asks.
    login_provider: str = "tmos"
    ca_file: UserPath | None = None
    partition: str = "Common"
    pool: str = "samaconso_api_pool"
    virtual_server: str = "samaconso_api_vip"
    # The server of ours that reaches it too, where a watchdog works; the first one of the API when absent.
    server: str | None = None


class BalancerCommands(Section):
    """How another balancer (nginx, HAProxy) is controlled: command lines for a shell on one server (docs/balancer.md)."""

    server: str
    pool: str = "samaconso_api_pool"
    # It prints one JSON object a line: name, state (up, down, unwatched, offline), address, connections.
    list: str
    # They take a member out and put it back; {member} stands for its name.
    offline: Annotated[str, Field(pattern=r"\{member\}")]
    online: Annotated[str, Field(pattern=r"\{member\}")]


class LoadBalancer(Section):
    """The virtual address that customers reach."""

    url: Url
    health_path: str = "/health"
    ca_file: UserPath | None = None
    timeout: Seconds = 4.0
    # How many members must serve beside one that is taken out.
    least_serving: Annotated[int, Field(ge=1)] = 1
    # How long the balancer keeps an idle connection to a member, in seconds: a member has to keep it longer.
    idle_timeout: Seconds | None = None
    bigip: BigIp | None = None
    # Not looked at where [loadbalancer.bigip] is given.
    commands: BalancerCommands | None = None
