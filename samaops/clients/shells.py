"""Commands on the servers: over SSH (OpenSSH's own client, host keys verified) or on this machine.

One connection per server and run, shared by all who need it; many commands through it. A command that looks several
times, locks and changes keeps its connections meanwhile (``kept``).
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Protocol

from samaops.clients.commands import Ended
from samaops.clients.errors import ClientError
from samaops.config.settings import Settings
from samaops.model.failure import FailureKind


@dataclass(frozen=True, slots=True)
class Completed:
    """How a command ended. Output is decoded with backslash escapes where it is not UTF-8."""

    exit_code: int
    stdout: str
    stderr: str

    @classmethod
    def of(cls, ended: Ended) -> Completed:
        """Return how a program of this machine ended."""
        return cls(ended.exit_code, text(ended.stdout), text(ended.stderr))


def text(words: bytes) -> str:
    """Return bytes from outside as text, backslash escapes where they are not UTF-8."""
    return words.decode("utf-8", errors="backslashreplace")


class Shell(Protocol):
    """Somewhere commands can be run."""

    def run(self, command: str, timeout: float, stdin: bytes = b"") -> Completed:
        """Run a POSIX shell command line and wait for it at most ``timeout`` seconds.

        Raises ClientError (NO_ANSWER after the timeout); a non-zero exit is not an error here.
        """

    @property
    def is_well(self) -> bool:
        """Whether nothing has yet been seen that speaks against using it again."""

    def close(self) -> None:
        """Give the connection back."""


class _Kept:
    """Connections that outlive the pool which opened them."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.shells: dict[str, Shell] = {}
        self.all: list[Shell] = []


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
        with kept_here.lock:
            opened = list(kept_here.all)
        for shell in opened:
            shell.close()


class ShellPool:
    """The shells of one run, opened when first asked for, one per server."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._locks: dict[str, threading.Lock] = {}
        self._opened: dict[str, Shell | ClientError] = {}
        self._kept = _kept.get()

    def of(self, server: str) -> Shell:
        """Return the shell of a server, logging in the first time.

        Raises the same ClientError each time when the log-in failed: nobody tries twice in one run.
        """
        with self._lock:
            lock = self._locks.setdefault(server, threading.Lock())
        with lock:
            if server not in self._opened:
                try:
                    self._opened[server] = self._kept_or_opened(server)
                except ClientError as error:
                    self._opened[server] = error
            opened = self._opened[server]
        if isinstance(opened, ClientError):
            raise opened
        return opened

    def _kept_or_opened(self, name: str) -> Shell:
        if self._kept is None:
            return self._open(name)
        with self._kept.lock:
            shell = self._kept.shells.get(name)
        if shell is not None and shell.is_well:
            return shell
        shell = self._open(name)
        with self._kept.lock:
            self._kept.shells[name] = shell
            self._kept.all.append(shell)
        return shell

    def _open(self, name: str) -> Shell:
        from samaops.clients import local, ssh

        server = self._settings.servers.get(name)
        if server is None:
            raise ClientError(FailureKind.MISSING, f"[servers.{name}] is not configured")
        if server.ssh == "none":
            raise ClientError(FailureKind.MISSING, f'[servers.{name}] ssh = "none"')
        if server.ssh == "local":
            return local.LocalShell()
        return ssh.connect(server.address, server.ssh)

    def close(self) -> None:
        """Close every connection that was opened, unless it is kept, and end what is still being opened."""
        if self._kept is not None:
            return
        from samaops.clients import ssh

        ssh.give_up()
        with self._lock:
            opened = list(self._opened.values())
        for shell in opened:
            if not isinstance(shell, ClientError):
                shell.close()
