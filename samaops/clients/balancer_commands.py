"""A balancer that is controlled by a site's own command lines on one server: list, take out, put back.

What ``list`` prints, one JSON object a line, is the whole contract (docs/balancer.md).
"""

from __future__ import annotations

import shlex
from typing import Literal

import msgspec
from msgspec import Struct

from samaops.clients.errors import ClientError
from samaops.clients.shell import Completed, Shell
from samaops.config.balancer_settings import BalancerCommands
from samaops.i18n import _
from samaops.model.failure import FailureKind
from samaops.model.typed import ready

STAGE = "balancer commands"
_MOST_MEMBERS = 200


class ListedMember(Struct, frozen=True):
    """One line of ``list``. ``address`` is host:port, ``connections`` those that are open to it now."""

    name: str
    state: Literal["up", "down", "unwatched", "offline"]
    address: str = ""
    connections: int | None = None


class CommandControl(Struct, frozen=True):
    """The balancer of one site; ``timeout`` (seconds) is that of each command."""

    shell: Shell
    commands: BalancerCommands
    timeout: float

    def members(self) -> tuple[ListedMember, ...]:
        """Return the members. Raises ClientError."""
        lines = [line for line in self._run(self.commands.list).stdout.splitlines() if line.strip()]
        if not lines or len(lines) > _MOST_MEMBERS:
            text = _("{count} members are listed").format(count=len(lines))
            raise ClientError(FailureKind.GARBAGE, text, STAGE)
        return tuple(map(_member, lines))

    def take_out(self, name: str) -> None:
        """Have a member get nothing new. Raises ClientError."""
        self._run(named(self.commands.offline, name))

    def put_back(self, name: str) -> None:
        """Have a member get requests again. Raises ClientError."""
        self._run(named(self.commands.online, name))

    def _run(self, command: str) -> Completed:
        done = self.shell.run(command, self.timeout)
        if done.exit_code:
            text = _("exit code {code}: {words}").format(code=done.exit_code, words=done.reason())
            raise ClientError(FailureKind.ERROR, text, STAGE)
        return done


def named(command: str, name: str) -> str:
    """Return a command with a member's name in the place of ``{member}``."""
    return command.replace("{member}", shlex.quote(name))


def _member(line: str) -> ListedMember:
    try:
        member = msgspec.json.decode(line, type=ready(ListedMember))
    except msgspec.DecodeError as error:
        text = _("a line of the list is not what it should be: {reason}")
        raise ClientError(FailureKind.GARBAGE, text.format(reason=str(error)[:200]), STAGE) from error
    if not member.name.strip() or not member.name.isprintable():
        raise ClientError(FailureKind.GARBAGE, _("a member of the list has no name"), STAGE)
    return member
