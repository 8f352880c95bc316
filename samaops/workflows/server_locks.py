"""The lock of one server that a change touches: over SSH, or here when it is the one that samaops runs on.

Both are the same file, so that whoever comes by SSH and whoever is there already exclude each other.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Protocol

from msgspec.structs import asdict

from samaops.clients import server_lock
from samaops.clients.errors import ClientError
from samaops.clients.server_lock import ServerLock
from samaops.clients.shells import ShellPool
from samaops.errors import LockedError, RefusedError
from samaops.i18n import _
from samaops.journal import lock
from samaops.journal.file_lock import FileLock, file_name
from samaops.journal.owner import Owner, read_owner
from samaops.site.commands import log_in
from samaops.site.site import Site

# On a server that is very busy a session takes long to begin. Where the lock is not needed, that must not hold up the
# change that may repair it.
_NEEDED_SECONDS, _OTHER_SECONDS = 15.0, 5.0


class Lock(Protocol):
    """The lock of one server. Each method raises LockedError when somebody else has it, or it was lost."""

    @property
    def server(self) -> str:
        """The server's name."""

    def look(self, shells: ShellPool) -> None:
        """Look whether it could be taken. Raises ClientError when it could not, whoever has it."""

    def take(self, shells: ShellPool) -> None:
        """Take it. Raises ClientError when it cannot be taken."""

    def check(self) -> None:
        """See that it is still held, if it is."""

    def release(self) -> None:
        """Give it back, if it is held."""


def lock_of(site: Site, server: str, *, is_needed: bool) -> Lock:
    """Return the lock of a server; nothing is opened yet. One that is needed is worth more patience."""
    name = file_name(site.settings.site, server)
    configured = site.settings.servers.get(server)
    if configured is not None and configured.ssh == "local":
        return _LockHere(server, FileLock(_directory_here(site) / name))
    path = PurePosixPath(site.settings.safety.server_lock_directory) / name
    return _LockThere(server, str(path), _NEEDED_SECONDS if is_needed else _OTHER_SECONDS)


def _directory_here(site: Site) -> Path:
    """Return where those who come by SSH find the lock of this machine, unless another place is chosen."""
    common = Path(site.settings.safety.server_lock_directory)
    if site.settings.safety.lock_directory is None and common.is_dir():
        return common
    return lock.directory(site.settings.safety.lock_directory)


def refusal(site: Site, server: str, error: ClientError) -> RefusedError:
    """Say that a change cannot be made because a server cannot be locked."""
    text = _("{server} cannot be locked for this change: {reason}; nothing was changed")
    was_asked = error.stage == server_lock.STAGE
    return RefusedError(
        text.format(server=server, reason=error.message),
        hint="[safety] server_lock_directory" if was_asked else log_in(site, server),
    )


@dataclass
class _LockHere:
    """The lock of this machine as one of the servers."""

    server: str
    file: FileLock

    def look(self, _shells: ShellPool) -> None:
        if self.file.is_held():
            raise _locked(self.server, self.file.written())

    def take(self, _shells: ShellPool) -> None:
        if not self.file.take(lock.this_process_now()):
            raise _locked(self.server, self.file.written())

    def check(self) -> None:
        self.file.check()

    def release(self) -> None:
        self.file.release()


@dataclass
class _LockThere:
    """The lock of a server that is reached by SSH."""

    server: str
    path: str
    seconds: float
    held: ServerLock | None = field(default=None, init=False)

    def look(self, shells: ShellPool) -> None:
        try:
            server_lock.look(shells.of(self.server), self.path, self.seconds)
        except server_lock.TakenError as taken:
            raise _locked(self.server, read_owner(taken.text)) from taken

    def take(self, shells: ShellPool) -> None:
        words = json.dumps(asdict(lock.this_process_now()))
        try:
            self.held = server_lock.take(shells.of(self.server), self.path, words, self.seconds)
        except server_lock.TakenError as taken:
            raise _locked(self.server, read_owner(taken.text)) from taken

    def check(self) -> None:
        try:
            if self.held is not None:
                self.held.check()
        except ClientError as error:
            text = _("the lock on {server} was lost: {reason}")
            raise LockedError(text.format(server=self.server, reason=error.message)) from error

    def release(self) -> None:
        held, self.held = self.held, None
        if held is not None:
            held.release()


def _locked(server: str, owner: Owner | None) -> LockedError:
    """Return the error that names who changes a server."""
    if owner is None:
        return LockedError(_("Another change is being made on {server}").format(server=server))
    text = _("Another change is being made on {server} by {user} on {host}, process {pid}, since {since}")
    return LockedError(
        text.format(server=server, user=owner.user, host=owner.host, pid=owner.pid, since=owner.since),
        hint=_("on {host}: samaops history list").format(host=owner.host),
    )
