"""Take a server's address off this machine's network, and bring it back.

A loopback address always answers an echo, whatever runs behind it. A route of type "unreachable" for that one
address makes it as silent as a machine without power. It is the only thing of the lab outside its directory.
"""

from __future__ import annotations

import subprocess

from samaops.i18n import _
from samaops.lab.layout import ADDRESSES
from samaops.lab.processes import StartError
from samaops.lab.requirements import find_program

TIMEOUT_SECONDS = 10


def missing() -> str | None:
    """Return why addresses cannot be taken away here; None when nothing is known against it."""
    if find_program("ip") is None:
        return _("{program} is missing (package {package})").format(program="ip", package="iproute2")
    return None


def take_away(address: str) -> None:
    """Make an address unreachable. Raises StartError when the kernel refuses."""
    if is_away(address):
        return
    done = _ip("route", "add", "unreachable", f"{address}/32", "table", "local")
    if done.returncode:
        raise StartError(done.stderr.strip() or "ip route")


def bring_back(address: str) -> None:
    """Make an address reachable again; nothing to do when it is."""
    if is_away(address):
        _ip("route", "del", "unreachable", f"{address}/32", "table", "local")


def bring_all_back() -> None:
    """Make every address of the lab reachable again."""
    if missing() is None:
        for address in ADDRESSES.values():
            bring_back(address)


def is_away(address: str) -> bool:
    """Tell whether an address was taken away."""
    listing = _ip("route", "show", "table", "local", "type", "unreachable").stdout
    return any(line.split()[1:2] == [address] for line in listing.splitlines())


def _ip(*arguments: str) -> subprocess.CompletedProcess[str]:
    program = find_program("ip") or "ip"
    return subprocess.run(
        [program, *arguments], capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False
    )
