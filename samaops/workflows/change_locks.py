"""One change at a time: the locks of one change, on this machine, in a shared journal, and on the servers it touches.

A server is touched when a step runs there, talks to a system that lives there, or relies on what is read of it; a step
says which. A server on which a step runs a command must hold the lock. One that is only talked to by other ways, or
only read, may be the very one that has to be repaired: when it cannot hold the lock, that is told, and the other locks
suffice.

The lock of a server is held over SSH, or here when it is the one that samaops runs on. Both are the same file, so that
whoever comes by SSH and whoever is there already exclude each other.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath

from msgspec.structs import asdict, replace

from samaops.clients import server_lock
from samaops.clients.errors import ClientError
from samaops.clients.server_lock import ServerLock
from samaops.clients.shells import ShellPool
from samaops.config.settings import Ssh
from samaops.errors import LockedError, RefusedError
from samaops.i18n import _
from samaops.journal import lock, lock_directory
from samaops.journal.lock import UNKNOWN, ChangeLock, FileLock, Lock, Locks, locked
from samaops.journal.owner import Owner, read_owner
from samaops.model.plan import Plan
from samaops.site.commands import log_in
from samaops.site.site import Site

# On a server that is very busy a session takes long to begin. Where the lock is not needed, that must not hold up the
# change that may repair it.
_NEEDED_SECONDS, _OTHER_SECONDS = 15.0, 5.0


def servers_of(site: Site, plan: Plan) -> dict[str, bool]:
    """Return the servers that a plan touches, sorted, and whether a step of it runs a command there.

    Sorted, so that of two changes that begin together one gets all it needs.
    """
    touched: dict[str, bool] = {}
    for step in plan.steps:
        for operation in (step.operation, step.undo):
            if operation and operation.server:
                is_command = "command" in operation.arguments
                touched[operation.server] = touched.get(operation.server, False) or is_command
        for server in site.settings.servers if step.servers is None else step.servers:
            touched.setdefault(server, False)
    return dict(sorted(touched.items()))


def with_notes(site: Site, plan: Plan) -> Plan:
    """Return a plan that says which of its servers the configuration gives no way to lock. Opens nothing."""
    pool, notes = ShellPool(site.settings), []
    for server in servers_of(site, plan):
        configured = site.settings.servers.get(server)
        if configured is None or configured.ssh == "none":
            try:
                pool.of(server)
            except ClientError as error:
                notes.append(_unlocked(server, error))
    here = lock_directory.choose(site.settings.safety.lock_directory)
    if plan.steps and here == lock_directory.own():
        text = _("On this machine this locks out changes of your own user alone: {path} is not there")
        notes.append(text.format(path=lock_directory.SHARED))
    return _noted(plan, notes)


def look(site: Site, plan: Plan) -> Plan:
    """Look whether the servers' locks could be taken; nothing is taken, nothing written.

    Return the plan with a note for each server that will not be locked. Raises LockedError when another change is
    being made, RefusedError when a server that must be locked cannot be.
    """
    touched, notes = servers_of(site, plan), []
    with _shells(site, touched) as pool:
        for server, is_needed in touched.items():
            try:
                owner = _lock_of(site, server, pool, plan.lock, is_needed=is_needed).holder()
            except ClientError as error:
                if is_needed:
                    raise _refusal(site, server, error) from error
                notes.append(_unlocked(server, error))
            else:
                if owner is not None:
                    raise locked(owner, server)
    return _noted(plan, notes)


def _noted(plan: Plan, notes: Iterable[str]) -> Plan:
    return replace(plan, notes=tuple(dict.fromkeys((*plan.notes, *notes))))


def _unlocked(server: str, error: ClientError) -> str:
    text = _("{server} will not be locked for other machines: {reason}")
    return text.format(server=server, reason=error.message)


def _refusal(site: Site, server: str, error: ClientError) -> RefusedError:
    """Say that a change cannot be made because a server cannot be locked."""
    text = _("{server} cannot be locked for this change: {reason}; nothing was changed")
    was_asked = error.stage == server_lock.STAGE
    return RefusedError(
        text.format(server=server, reason=error.message),
        hint="[safety] server_lock_directory" if was_asked else log_in(site, server),
    )


@contextmanager
def alone(site: Site, plan: Plan, ours: ChangeLock) -> Iterator[Locks]:
    """Hold the locks of one change: that of the site, ``ours``, then those of the servers.

    Raises LockedError when somebody else has one of them, RefusedError when one that is needed cannot be had.
    """
    touched = servers_of(site, plan)
    with ours, _shells(site, touched) as pool:
        theirs = Locks(
            *(
                _lock_of(site, server, pool, plan.lock, is_needed=is_needed)
                for server, is_needed in touched.items()
            )
        )
        with theirs:
            yield Locks(ours, theirs)


def _lock_of(site: Site, server: str, shells: ShellPool, kind: str, *, is_needed: bool) -> Lock:
    """Return the lock of a server for all changes, or for one kind (``Plan.lock``); nothing is opened yet."""
    name = lock.file_name(site.settings.site, server, *([kind] if kind else []))
    configured = site.settings.servers.get(server)
    if configured is not None and configured.ssh == "local":
        return FileLock(_directory_here(site) / name, server)
    path = PurePosixPath(site.settings.safety.server_lock_directory) / name
    return _ServerLock(site, server, str(path), shells, is_needed=is_needed)


def _directory_here(site: Site) -> Path:
    """Return where those who come by SSH find the lock of this machine, unless another place is chosen."""
    common = Path(site.settings.safety.server_lock_directory)
    if site.settings.safety.lock_directory is None and common.is_dir():
        return common
    return lock_directory.choose(site.settings.safety.lock_directory)


class _ServerLock:
    """The lock of a server that is reached by SSH. Where it is not needed, it may stay without being taken."""

    def __init__(self, site: Site, server: str, path: str, shells: ShellPool, *, is_needed: bool) -> None:
        self._site, self._server, self._path, self._shells = site, server, path, shells
        self._is_needed = is_needed
        self._seconds = _NEEDED_SECONDS if is_needed else _OTHER_SECONDS
        self._held: ServerLock | None = None

    def take(self) -> None:
        words = json.dumps(asdict(lock.this_process_now()))
        try:
            shell = self._shells.of(self._server)
            self._held = server_lock.take(shell, self._path, words, self._seconds)
        except server_lock.TakenError as taken:
            raise locked(read_owner(taken.text) or UNKNOWN, self._server) from taken
        except ClientError as error:
            if self._is_needed:
                raise _refusal(self._site, self._server, error) from error

    def holder(self) -> Owner | None:
        """Return who holds it. Raises ClientError when it could not be taken, whoever has it."""
        try:
            server_lock.look(self._shells.of(self._server), self._path, self._seconds)
        except server_lock.TakenError as taken:
            return read_owner(taken.text) or UNKNOWN
        return None

    def check(self) -> None:
        try:
            if self._held is not None:
                self._held.check()
        except ClientError as error:
            text = _("the lock on {server} was lost: {reason}")
            raise LockedError(text.format(server=self._server, reason=error.message)) from error

    def release(self) -> None:
        held, self._held = self._held, None
        if held is not None:
            held.release()


@contextmanager
def _shells(site: Site, servers: Iterable[str]) -> Iterator[ShellPool]:
    """Log in to these servers side by side."""
    pool = ShellPool(site.settings)
    configured = site.settings.servers
    names = [name for name in servers if name in configured and isinstance(configured[name].ssh, Ssh)]

    def connect(name: str) -> None:
        with suppress(ClientError):  # the pool keeps it for whoever asks
            pool.of(name)

    try:
        if names:
            with ThreadPoolExecutor(len(names)) as threads:
                list(threads.map(connect, names))
        yield pool
    finally:
        pool.close()
