"""Talk to an external SQL Server over ODBC, one rung at a time: driver, name, port, login, query."""

from __future__ import annotations

import json
import math
import os
import re
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from samaops.clients import footprint, odbc_errors
from samaops.clients.errors import ClientError
from samaops.clients.odbc_errors import Meaning
from samaops.clients.time_limit import TimeLimit
from samaops.config import files, programs
from samaops.config.settings import SqlServer
from samaops.errors import reason_of
from samaops.i18n import _
from samaops.model.failure import FailureKind

# What makes a value of a connection string need braces (Microsoft, "SQLDriverConnect function", and a ; or a }).
_SPECIAL = re.compile(r"[\[\]{}(),;?*=!@\s]")
_SHORTEST_SECRET = 4
_LONGEST_WORDS = 500
_PROGRAM = Path(__file__).with_name("odbc_program.py")
# Where drivers find what they are and what they need.
_OF_DRIVERS = (
    *("ODBCSYSINI", "ODBCINI", "ODBCINSTINI", "FREETDSCONF", "KRB5CCNAME", "KRB5_CONFIG"),
    *("LD_LIBRARY_PATH", "SSL_CERT_FILE", "SSL_CERT_DIR"),
)
_SPARE_SECONDS, _LEAVE_SECONDS = 0.3, 1.0
_LONGEST_ANSWER_BYTES = 1024 * 1024


def has_driver(name: str, installed: tuple[str, ...]) -> bool:
    """Return whether a driver is installed; its name may be the path of its library."""
    if name.startswith("/"):
        return files.is_regular(Path(name))
    return name.lower() in {driver.lower() for driver in installed}


class OdbcError(ClientError):
    """What a driver could not do. An attempt to log in has the rung that broke as its stage."""

    def __init__(self, meaning: Meaning, words: str, stage: str) -> None:
        super().__init__(meaning.kind, words, meaning.rung if stage == odbc_errors.LOGIN else stage)
        self.number = meaning.number


def reach(settings: SqlServer) -> tuple[float, float]:
    """Resolve the name and connect to the port; return the milliseconds of both. Raises ClientError."""
    started = time.monotonic()
    try:
        address = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)[0][4][0]
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ClientError(FailureKind.NAME, f"{settings.host}: {reason}", "name") from error
    name_ms = _milliseconds_since(started)
    started = time.monotonic()
    with TimeLimit(settings.timeout) as limit:
        limit.connect(str(address), settings.port).close()
    return name_ms, _milliseconds_since(started)


class Odbc:
    """ODBC in a process of its own (``odbc_program.py``), with at most one connection, read-only; end it with ``close``.

    Raises ClientError throughout: at the stage "driver" where there is no ODBC, or where the driver ends its process.
    """

    def __init__(self, settings: SqlServer) -> None:
        self._settings = settings
        # Without the site's own start, which would look through all that is installed: where modules are, we know.
        words = (sys.executable, "-I", "-S", str(_PROGRAM), *filter(os.path.isabs, sys.path))
        self._unread = b""
        try:
            self._process = subprocess.Popen(
                words,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=programs.environment_with(*_OF_DRIVERS),
                start_new_session=True,  # Ctrl-C does not reach it: it is ended here
            )
        except OSError as error:
            raise ClientError(FailureKind.ERROR, reason_of(error), odbc_errors.DRIVER) from error

    def drivers(self, timeout: float) -> tuple[str, ...]:
        """Return the names of the ODBC drivers of this machine."""
        return tuple(self._ask({"do": "drivers"}, timeout, odbc_errors.DRIVER)["drivers"])

    def log_in(self, timeout: float) -> float:
        """Log in and return the milliseconds it took."""
        wanted = {"do": "log in", "to": connection_string(self._settings)}
        milliseconds = self._ask(wanted, timeout, odbc_errors.LOGIN)["ms"]
        footprint.count(connections=1)
        return float(milliseconds)

    def query(self, statement: str, timeout: float) -> float:
        """Run one statement, read its first row, and return the milliseconds it took."""
        milliseconds = self._ask({"do": "query", "statement": statement}, timeout, "query")["ms"]
        footprint.count(commands=1)
        return float(milliseconds)

    def close(self) -> None:
        """Take leave of the server, and end the process where that takes long."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_LEAVE_SECONDS)
        self._end()

    def _ask(self, wanted: Mapping[str, Any], timeout: float, stage: str) -> dict[str, Any]:
        """Return what it answers. The driver's own limit comes first: it says more."""
        assert self._process.stdin is not None
        seconds = max(1, math.floor(timeout))  # ODBC counts whole seconds, and 0 means for ever
        with suppress(BrokenPipeError):  # it has ended: its output tells
            self._process.stdin.write(json.dumps({**wanted, "seconds": seconds}).encode() + b"\n")
            self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._line(max(timeout, seconds + _SPARE_SECONDS), stage))
        if "missing" in answer:
            words = _("no ODBC manager: {words}").format(words=answer["missing"])
            raise ClientError(FailureKind.MISSING, words, odbc_errors.DRIVER)
        if "error" in answer:
            raise error_of(answer["error"], self._settings, stage)
        return answer

    def _line(self, timeout: float, stage: str) -> bytes:
        """Return its next line, within a time."""
        assert self._process.stdout is not None
        ends_at = time.monotonic() + timeout
        readable = select.poll()
        readable.register(self._process.stdout, select.POLLIN)
        while b"\n" not in self._unread:
            if not readable.poll(max(0, 1000 * (ends_at - time.monotonic()))):
                self._end()
                words = _("no answer within {seconds:g} s").format(seconds=round(timeout, 1))
                raise ClientError(FailureKind.NO_ANSWER, words, stage)
            block = os.read(self._process.stdout.fileno(), 65536)
            self._unread += block
            if not block or len(self._unread) > _LONGEST_ANSWER_BYTES:
                raise self._crash()
        line, _newline, self._unread = self._unread.partition(b"\n")
        return line

    def _crash(self) -> ClientError:
        """Say how the process ended that was to answer."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_LEAVE_SECONDS)
        self._end()
        code = self._process.returncode
        how = signal.strsignal(-code) if code < 0 else _("exit code {code}").format(code=code)
        words = _("the driver ended the process that used it: {how}").format(how=how)
        return ClientError(FailureKind.ERROR, words, odbc_errors.DRIVER)

    def _end(self) -> None:
        if self._process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()


def connection_string(settings: SqlServer) -> str:
    """Return the ODBC connection string, in the words of the driver's kind."""
    driver = settings.driver.lower()
    parts: dict[str, str] = {}
    if "postgres" in driver or "psqlodbc" in driver:
        parts |= {"Server": settings.host, "Port": str(settings.port)}
    elif "freetds" in driver or "tdsodbc" in driver:
        parts |= {"Server": settings.host, "Port": str(settings.port), "TDS_Version": "7.4"}
    else:  # Microsoft's drivers have no Port
        parts["Server"] = f"{settings.host},{settings.port}"
    optional = {
        "Database": settings.database,
        "UID": settings.user,
        "PWD": settings.password.reveal() if settings.password else "",
    }
    parts |= {key: _escaped(value) for key, value in optional.items() if value}
    parts |= {key: _escaped(value) for key, value in settings.options.items()}
    return f"Driver={{{settings.driver}}};" + "".join(f"{key}={value};" for key, value in parts.items())


def error_of(reported: Sequence[str], settings: SqlServer, stage: str) -> OdbcError:
    """Sort an error of the driver, SQLSTATE and words, which become one line: the most telling first, never our password."""
    state, words = (reported[index] if reported else "" for index in (0, -1))
    records = odbc_errors.by_weight(state, " ".join(words.split()))
    words = "; ".join(dict.fromkeys(record.words for record in records))
    secret = settings.password.reveal() if settings.password else ""
    if len(secret) >= _SHORTEST_SECRET:
        words = words.replace(secret, "***")
    return OdbcError(records[0].meaning, words[:_LONGEST_WORDS], stage)


def _escaped(value: str) -> str:
    return "{" + value.replace("}", "}}") + "}" if _SPECIAL.search(value) else value


def _milliseconds_since(started: float) -> float:
    return round((time.monotonic() - started) * 1000, 2)
