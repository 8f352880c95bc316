"""A watchdog on one of our servers: it gives a member its place in the pool back, or a worker its queues, when its time is over.

A drain outlives whoever asked for it. So before one that is part of a larger change a small program is started, in a
session of its own, which waits and then puts the member back, also when we are gone. It works on a server that reaches
the balancer. The F5's password reaches it, and curl, on their standard input only.
"""

from __future__ import annotations

import shlex
from pathlib import Path

from msgspec import Struct

from samaops.clients import watchdog
from samaops.clients.balancer_commands import named
from samaops.clients.loadbalancer import FIELDS, BigIpControl, log_in_body
from samaops.clients.shell import Shell, program
from samaops.clients.watchdog import Asked
from samaops.config.balancer_settings import BalancerCommands, BigIp
from samaops.facts.loadbalancer import ENABLED

_PROGRAM = Path(__file__).with_suffix(".sh")
_MEMBER_PROGRAM = Path(__file__).with_name("bigip_member.sh")


class Watched(Struct, frozen=True):
    """One member, or worker: how it is seen that who drains it is reached, how it is put back, and what both read."""

    mark: str
    look: str
    put_back: str
    secret: bytes = b""


def of_commands(commands: BalancerCommands, member: str) -> Watched:
    """Return a member of a balancer that is controlled by commands."""
    look = f"{{ {commands.list}; }} >/dev/null"
    return Watched(mark_of(commands.pool, member), look, named(commands.online, member))


def of_bigip(settings: BigIp, control: BigIpControl, member: str, setting: str) -> Watched:
    """Return a member of an F5, and what it is put back to. Raises ClientError where it is not in the pool."""
    path, script = control.path_of(member), program(_MEMBER_PROGRAM)
    url = settings.url.rstrip("/")
    fields, wanted = _json(FIELDS[setting]), "-enabled" if setting == ENABLED else "-disabled"

    def command(*words: str) -> str:
        return shlex.join(["sh", "-c", script, "sh", url, path, *words])

    authority = settings.ca_file.read_bytes() if settings.ca_file else b""
    secret = log_in_body(settings) + b"\n" + authority
    return Watched(mark_of(settings.pool, member), command("", ""), command(fields, wanted), secret)


def mark_of(pool: str, member: str) -> str:
    """Return by what the watchdog of a member is found among the processes of its server."""
    return f"samaops-balancer {pool}/{member}"


def _json(fields: dict[str, str]) -> str:
    return "{" + ", ".join(f'"{name}": "{value}"' for name, value in fields.items()) + "}"


class PutBackWatchdog(Struct, frozen=True):
    """Who works on one server."""

    shell: Shell

    def start(self, watched: Watched, seconds: float, timeout: float) -> None:
        """Start one that puts a member back after so many seconds; an earlier one of it ends. Raises ClientError."""
        words = (watched.look, watched.put_back, f"{seconds:g}")
        watchdog.ask(self.shell, _PROGRAM, Asked("start", watched.mark, words, watched.secret), timeout)

    def end(self, mark: str, timeout: float) -> None:
        """End that of a member, by its mark, where there is one. Raises ClientError."""
        watchdog.ask(self.shell, _PROGRAM, Asked("end", mark), timeout)
