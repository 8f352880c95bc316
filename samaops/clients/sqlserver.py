"""Talk to an external SQL Server over ODBC, one rung at a time: driver, name, port, login, query."""

from __future__ import annotations

import contextlib
import math
import re
import socket
import threading
import time
from pathlib import Path
from typing import Any

from samaops.clients import footprint, odbc_errors
from samaops.clients.errors import ClientError
from samaops.clients.odbc_errors import Meaning
from samaops.clients.time_limit import TimeLimit
from samaops.config import files
from samaops.config.settings import SqlServer
from samaops.i18n import _
from samaops.model.failure import FailureKind

# What makes a value of a connection string need braces (Microsoft, "SQLDriverConnect function", and a ; or a }).
_SPECIAL = re.compile(r"[\[\]{}(),;?*=!@\s]")
_SHORTEST_SECRET = 4
_LONGEST_WORDS = 500


def installed_drivers() -> tuple[str, ...]:
    """Return the names of the ODBC drivers of this machine. Raises ClientError without an ODBC manager."""
    return tuple(_pyodbc().drivers())


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


class OdbcConnection:
    """One connection through an ODBC driver, read-only, closed with ``close``."""

    def __init__(self, settings: SqlServer, timeout: float) -> None:
        self._settings = settings
        seconds = max(1, math.floor(timeout))  # ODBC counts whole seconds, and 0 means for ever
        driver = _pyodbc()
        try:
            self._connection = driver.connect(
                connection_string(settings), timeout=seconds, autocommit=True, readonly=True
            )
        except driver.Error as error:
            raise self._client_error(error, "login") from error
        footprint.count(connections=1)
        self._seconds = seconds

    def query(self, statement: str) -> None:
        """Run one statement and read its first row. Raises ClientError, also when it takes too long."""
        driver = _pyodbc()
        cursor = self._connection.cursor()
        # Not the driver's own query timeout: psqlODBC has none (attribute 113), a cancel works with all.
        watchdog = threading.Timer(self._seconds, _cancel, (cursor,))
        watchdog.daemon = True
        watchdog.start()
        try:
            cursor.execute(statement).fetchone()
        except driver.Error as error:
            raise self._client_error(error, "query") from error
        finally:
            watchdog.cancel()
        footprint.count(commands=1)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _client_error(self, error: Exception, stage: str) -> OdbcError:
        return error_of(error, self._settings, stage)


def _cancel(cursor: Any) -> None:
    """End a query from another thread; where even that fails, the caller is given up by the engine."""
    with contextlib.suppress(_pyodbc().Error):
        cursor.cancel()


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


def error_of(error: Exception, settings: SqlServer, stage: str) -> OdbcError:
    """Sort an error of the driver, with its words on one line: the most telling first, and never our password."""
    state, words = (str(error.args[index]) if error.args else "" for index in (0, -1))
    records = odbc_errors.by_weight(state, " ".join(words.split()))
    words = "; ".join(dict.fromkeys(record.words for record in records))
    secret = settings.password.reveal() if settings.password else ""
    if len(secret) >= _SHORTEST_SECRET:
        words = words.replace(secret, "***")
    return OdbcError(records[0].meaning, words[:_LONGEST_WORDS], stage)


def _escaped(value: str) -> str:
    return "{" + value.replace("}", "}}") + "}" if _SPECIAL.search(value) else value


def _pyodbc() -> Any:
    try:
        import pyodbc
    except ImportError as error:
        raise ClientError(
            FailureKind.MISSING, _("no ODBC manager: {words}").format(words=error), "driver"
        ) from error
    pyodbc.pooling = False  # a pool would keep connections open after we are done
    return pyodbc


def _milliseconds_since(started: float) -> float:
    return round((time.monotonic() - started) * 1000, 2)
