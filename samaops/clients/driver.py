"""The driver of PostgreSQL and PgBouncer in a process of its own, begun before anything else is imported.

Importing psycopg takes 60 ms of processor, a fifth of a short run, and a process imports one module after the other. So
another core does it while this one reads the configuration. The process connects to nothing until it is told to, serves
sessions, and ends with this one. Where there is none (one core, no fork, it died) the same session is made here.
"""

from __future__ import annotations

import os
import pickle
import signal
import socket
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, NoReturn, Protocol

from msgspec.structs import asdict

from samaops.clients import footprint
from samaops.clients.errors import ClientError
from samaops.i18n import _
from samaops.model.failure import FailureKind

Row = dict[str, Any]
# The session there keeps to its time by itself; here is waited a little longer, for the word that says so.
_GRACE_SECONDS = 0.3
_READY = b"r"
_NEW_SESSION = b"s"


class SqlSession(Protocol):
    """One connection to whatever speaks PostgreSQL's protocol: ``samaops.clients.libpq.Session``, here or there."""

    def connect(self, simple_protocol: bool = False) -> None:
        """Log in; ``simple_protocol`` for PgBouncer's console. Raises ClientError."""

    def query(self, statement: str, parameters: Mapping[str, Any] | None = None) -> list[Row]:
        """Run one statement and return its rows by column name. Raises ClientError."""

    def query_ms(self, statement: str) -> float:
        """Return how long a statement takes, in milliseconds. Raises ClientError."""

    def parameter(self, name: str) -> str | None:
        """Return what the server said of itself at log-in, such as ``server_version``; costs no round trip."""

    def close(self) -> None:
        """Close the connection."""


class _Driver:
    """The other process, and the socket through which it is given one end of each session's own socket."""

    def __init__(self, pid: int, control: socket.socket) -> None:
        self.pid = pid
        self._control = control
        self._lock = threading.Lock()
        self._is_ready: bool | None = None

    def open(self, seconds: float) -> socket.socket | None:
        """Return our end of a new session's socket; None when the process is not ready in time, or gone."""
        here, there = socket.socketpair()
        with self._lock, there:
            try:
                if self._is_ready is None:
                    self._control.settimeout(seconds)
                    self._is_ready = self._control.recv(1) == _READY
                if self._is_ready:
                    socket.send_fds(self._control, [_NEW_SESSION], [there.fileno()])
                    return here
            except OSError:
                self._is_ready = False
        here.close()
        return None

    def kill(self) -> None:
        """End it; its sessions are closed already, or given up."""
        with suppress(ProcessLookupError, ChildProcessError):
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)


_driver: _Driver | None = None


def start() -> None:
    """Begin the other process; to be called before this one has a second thread."""
    global _driver  # noqa: PLW0603 - one in a process
    if len(os.sched_getaffinity(0)) < 2:
        return
    here, there = socket.socketpair()
    try:
        pid = os.fork()
    except OSError:
        here.close()
        there.close()
        return
    if pid == 0:
        here.close()
        _serve(there)
    there.close()
    _driver = _Driver(pid, here)


def stop() -> None:
    """End the other process, if there is one."""
    global _driver  # noqa: PLW0603
    if _driver is not None:
        _driver.kill()
        _driver = None


def session(parameters: Mapping[str, Any], seconds: float, connect_seconds: float) -> SqlSession:
    """Return a session, not yet connected, that is over before ``seconds`` have passed, whatever the other side does."""
    stream = _driver.open(seconds) if _driver is not None else None
    if stream is not None:
        return _FarSession(stream, parameters, seconds, connect_seconds)
    from samaops.clients.libpq import Session

    return Session(parameters, seconds, connect_seconds)


class _FarSession:
    """A session that the other process has."""

    def __init__(
        self, stream: socket.socket, parameters: Mapping[str, Any], seconds: float, connect_seconds: float
    ) -> None:
        self._stream = stream
        self._file = stream.makefile("rwb")
        self._seconds = seconds
        self._ends_at = time.monotonic() + seconds + _GRACE_SECONDS
        self._begin: tuple[Any, ...] = (dict(parameters), seconds, connect_seconds)

    def connect(self, simple_protocol: bool = False) -> None:
        self._ask("connect", simple_protocol)

    def query(self, statement: str, parameters: Mapping[str, Any] | None = None) -> list[Row]:
        rows: list[Row] = self._ask("query", statement, parameters)
        return rows

    def query_ms(self, statement: str) -> float:
        milliseconds: float = self._ask("query_ms", statement)
        return milliseconds

    def parameter(self, name: str) -> str | None:
        value: str | None = self._ask("parameter", name)
        return value

    def close(self) -> None:
        with suppress(ClientError):  # what is gone is closed
            self._ask("close")
        with suppress(OSError):
            self._file.close()
        self._stream.close()

    def _ask(self, name: str, *arguments: Any) -> Any:
        self._stream.settimeout(max(0.05, self._ends_at - time.monotonic()))
        try:
            if self._begin:
                pickle.dump(self._begin, self._file)
                self._begin = ()
            pickle.dump((name, arguments), self._file)
            self._file.flush()
            value, failure, counted = pickle.load(self._file)  # noqa: S301 - our own process wrote it
        except TimeoutError as error:
            words = _("no answer within {seconds:.1f} s").format(seconds=self._seconds)
            raise ClientError(FailureKind.NO_ANSWER, words) from error
        except (OSError, EOFError, ValueError, pickle.UnpicklingError) as error:
            words = _("the process of samaops that talks with PostgreSQL has ended")
            raise ClientError(FailureKind.ERROR, words) from error
        footprint.count(**counted)
        if failure is not None:
            raise ClientError(*failure)
        return value


def _serve(control: socket.socket) -> NoReturn:
    """Be the other process: it ends when ``control`` does, which is when this program's own process ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to both; the other answers it
    for one in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(one, signal.SIG_DFL)
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in range(3):  # who reads our output must not wait for this process
        os.dup2(nothing, number)
    try:
        import samaops.clients.libpq  # noqa: F401 - what this process is for

        control.sendall(_READY)
        while True:
            word, descriptors, _flags, _address = socket.recv_fds(control, 1, 1)
            if not word:
                break
            stream = socket.socket(fileno=descriptors[0])
            threading.Thread(target=_serve_session, args=(stream,), daemon=True).start()
    finally:
        os._exit(0)


def _serve_session(stream: socket.socket) -> None:
    from samaops.clients.libpq import Session

    with suppress(OSError, EOFError), stream, stream.makefile("rwb") as file:
        there = Session(*pickle.load(file))  # noqa: S301 - as above
        while True:
            name, arguments = pickle.load(file)  # noqa: S301
            pickle.dump(_done(there, name, arguments), file)
            file.flush()


def _done(there: SqlSession, name: str, arguments: tuple[Any, ...]) -> tuple[Any, Any, dict[str, int]]:
    """Return what a method returned, or why it failed, and what it cost."""
    tally = footprint.open_tally()
    value, failure = None, None
    try:
        value = getattr(there, name)(*arguments)
    except ClientError as error:
        failure = (error.kind, error.message, error.stage)
    except Exception as error:  # noqa: BLE001 - a bug costs this session only, and is told
        failure = (FailureKind.ERROR, f"{type(error).__name__}: {error}", "")
    return value, failure, asdict(tally.footprint())
