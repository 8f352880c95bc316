"""What a site says about its network, beside the addresses of its servers and services: ``[network]``."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from samaops.config.fields import Seconds, Section
from samaops.i18n import _

_NAME = re.compile(r"\*|[A-Za-z0-9][\w.:-]{0,99}", re.ASCII)


def _require_addresses(value: str) -> str:
    """Accept one address or a range of them such as ``10.101.0.0/24``; a host bit that is set is a slip."""
    try:
        ipaddress.ip_network(value)
    except ValueError:
        raise ValueError(
            _("{value!r} is not an address or a range of addresses").format(value=value)
        ) from None
    return value


def _require_name(value: str) -> str:
    if not _NAME.fullmatch(value):
        raise ValueError(_("this cannot be used as a name"))
    return value


Addresses = Annotated[str, AfterValidator(_require_addresses)]
Name = Annotated[str, AfterValidator(_require_name)]


class NetworkAllowed(Section):
    """Somebody more who may reach a service: a role, a server or addresses, and a service's name or SERVER:PORT."""

    source: str
    service: Name


class NetworkException(Section):
    """Lines that do not hold at this site, with the reason: they are shown as they are found, and judged no more."""

    source: Name = "*"
    service: Name = "*"
    must: Literal["open", "closed"]
    reason: Annotated[str, Field(min_length=1, max_length=300)]


class Network(Section):
    """Who speaks to the servers from outside, and what is different from the guide's matrix."""

    # Where administrators sit; and the machines that run samaops, which asks the services themselves.
    admin: tuple[Addresses, ...] = ()
    control: tuple[Addresses, ...] = ()
    # From which addresses the balancer reaches the members (an F5: its self addresses, not the virtual one).
    balancer: tuple[Addresses, ...] = ()
    # The port of MinIO's console; 0: it has none.
    minio_console_port: Annotated[int, Field(ge=0, le=65535)] = 9001
    # How long one connection may take; without an answer by then it was dropped.
    timeout: Seconds = 3.0
    allowed: tuple[NetworkAllowed, ...] = ()
    exceptions: tuple[NetworkException, ...] = ()
