"""Commands on the servers: over SSH (host keys verified) or on this machine.

One connection per server and run, shared by all who need it; many commands through it. A command that looks several
times, locks and changes keeps its connections meanwhile (``kept``).
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from samaops.clients.errors import ClientError
from samaops.clients.local import LocalShell
from samaops.clients.shell import Shell
from samaops.config.settings import Settings
from samaops.model.failure import FailureKind


class _Kept:
    """Connections that outlive the pool which opened them; one that is no longer well, only while somebody uses it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._current: dict[str, Shell] = {}
        self._users: Counter[Shell] = Counter()

    def borrow(self, name: str, open_anew: Callable[[str], Shell]) -> Shell:
        with self._lock:
            shell = self._current.get(name)
            if shell is not None and shell.is_well:
                self._users[shell] += 1
                return shell
        opened = open_anew(name)
        with self._lock:
            replaced = self._current.get(name)
            self._current[name] = opened
            self._users[opened] += 1
        if replaced is not None:
            self._close_unused(replaced)
        return opened

    def give_back(self, shell: Shell) -> None:
        with self._lock:
            self._users[shell] -= 1
        self._close_unused(shell)

    def _close_unused(self, shell: Shell) -> None:
        with self._lock:
            if self._users[shell] > 0 or shell in self._current.values():
                return
            del self._users[shell]
        shell.close()

    def close(self) -> None:
        with self._lock:
            opened = list(self._users)
        for shell in opened:
            shell.close()


_kept: ContextVar[_Kept | None] = ContextVar("samaops_kept_shells", default=None)


@contextmanager
def kept() -> Iterator[None]:
    """Let all pools that are made meanwhile share their connections; one that was lost is opened anew."""
    if _kept.get() is not None:
        yield
        return
    kept_here = _Kept()
    token = _kept.set(kept_here)
    try:
        yield
    finally:
        _kept.reset(token)
        kept_here.close()


class ShellPool:
    """The shells of one run, opened when first asked for, one per server."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._locks: dict[str, threading.Lock] = {}
        self._opened: dict[str, Shell | ClientError] = {}
        self._kept = _kept.get()
        self._is_closed = False

    def of(self, server: str) -> Shell:
        """Return the shell of a server, logging in the first time.

        Raises the same ClientError each time when the log-in failed: nobody tries twice in one run, but where sshd hung up.
        """
        with self._lock:
            lock = self._locks.setdefault(server, threading.Lock())
        with lock:
            if server not in self._opened:
                opened = self._open_first(server)
                with self._lock:
                    self._opened[server] = opened
                    is_late = self._is_closed
                if is_late and not isinstance(opened, ClientError):
                    self._give_back(opened)
            opened = self._opened[server]
        if isinstance(opened, ClientError):
            raise opened
        return opened

    def _open_first(self, name: str) -> Shell | ClientError:
        try:
            return self._kept.borrow(name, self._open) if self._kept is not None else self._open(name)
        except ClientError as error:
            return error

    def _open(self, name: str) -> Shell:
        server = self._settings.servers.get(name)
        if server is None:
            raise ClientError(FailureKind.MISSING, f"[servers.{name}] is not configured")
        if server.ssh == "none":
            raise ClientError(FailureKind.MISSING, f'[servers.{name}] ssh = "none"')
        if server.ssh == "local":
            return LocalShell()
        from samaops.clients import (
            ssh,  # with paramiko: a site whose servers are not reached by SSH needs none
        )

        try:
            return ssh.connect(server.address, server.ssh)
        except ClientError as error:
            if error.kind is not FailureKind.CLOSED:
                raise
        # sshd cuts log-ins that are under way when it is restarted, and some at random when many come (MaxStartups).
        return ssh.connect(server.address, server.ssh)

    def close(self) -> None:
        """Close every connection that was opened, unless it is kept; a log-in that is under way ends by itself."""
        with self._lock:
            opened = [] if self._is_closed else list(self._opened.values())
            self._is_closed = True
        for shell in opened:
            if not isinstance(shell, ClientError):
                self._give_back(shell)

    def _give_back(self, shell: Shell) -> None:
        if self._kept is None:
            shell.close()
        else:
            self._kept.give_back(shell)
