"""Connect to whatever speaks PostgreSQL's protocol, within one time limit, and sort what goes wrong.

Shared by the clients of PostgreSQL and of PgBouncer. psycopg's own ``connect`` is not used because its
timeout counts whole seconds from two on, and because it keeps to itself how far a failed connection had come.
"""

from __future__ import annotations

import os
import re
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg
from psycopg import adapt, conninfo, errors, pq
from psycopg.rows import DictRow, dict_row

from samaops.clients import footprint
from samaops.clients.errors import IN_CLEAR, NO_SLOT, OWN_LIMIT, WELCOME, ClientError
from samaops.clients.time_limit import TimeLimit
from samaops.config import in_clear
from samaops.config.settings import Tls
from samaops.i18n import _
from samaops.model.failure import FailureKind

# Where the system keeps the authorities that it trusts; libpq's own library may look elsewhere.
_AUTHORITIES = (Path("/etc/ssl/certs/ca-certificates.crt"), Path("/etc/pki/tls/certs/ca-bundle.crt"))
TEXT_TYPES = ("text", "varchar", "name", "bpchar", '"char"')
_TOO_MANY_CONNECTIONS = "53300"
_NO_SLOT_WORDS = re.compile(r"too many clients|connection slots", re.IGNORECASE)
# In every language the limit of a database or a role names it; that of the server names at most its reserved role.
_NAMED = re.compile(r"[\"«](?!\s*pg_use_reserved)")
# For a thread to hear that its connection was shut down.
_LAST_SECONDS = 5.0
_TLS_MODES = ("require", "verify-ca", "verify-full")
_BEFORE_CONNECTION = (pq.ConnStatus.STARTED, pq.ConnStatus.NEEDED)

# SQLSTATE -> kind, from PostgreSQL's appendix A. Codes of a whole class stand with their first two letters.
_KINDS_BY_SQLSTATE = {
    "28": FailureKind.AUTHENTICATION,
    "3D000": FailureKind.MISSING,  # no such database
    "42501": FailureKind.PERMISSION,
    "53": FailureKind.UNAVAILABLE,  # too many connections, disk full, out of memory
    "55000": FailureKind.UNAVAILABLE,  # the database accepts no connections
    "57014": FailureKind.NO_ANSWER,  # our statement_timeout
    "55P03": FailureKind.NO_ANSWER,  # our lock_timeout
    "57P": FailureKind.UNAVAILABLE,  # starting up, shutting down, in recovery
    "42P01": FailureKind.MISSING,
    "42703": FailureKind.MISSING,
    "42883": FailureKind.MISSING,
}

# What libpq says itself, and PgBouncer, which gives nearly everything the SQLSTATE 08P01.
_KINDS_BY_WORDS = (
    (r"connection refused", FailureKind.REFUSED),
    (r"could not translate host name|name or service not known", FailureKind.NAME),
    (r"timed out|timeout expired|no route to host|unreachable", FailureKind.SILENT),
    (r"received invalid|expected authentication request|unexpected message", FailureKind.GARBAGE),
    (r"invalid message length|lost synchronization|invalid ALPN|protocol version", FailureKind.GARBAGE),
    (r"password authentication failed|SASL authentication failed|auth failed", FailureKind.AUTHENTICATION),
    (r"no password supplied|no such user|not allowed|no pg_hba", FailureKind.AUTHENTICATION),
    (r"SYSCALL error: (EOF|Connection reset)", FailureKind.CLOSED),
    (r"SSL|certificate|TLS", FailureKind.TLS),
    (r"no such database|database .* does not exist", FailureKind.MISSING),
    (
        r"too many (clients|connections)|connection slots|no more connections|starting up",
        FailureKind.UNAVAILABLE,
    ),
    (
        r"shutting down|recovery|not currently accepting|database .* is disabled|pooler is shut",
        FailureKind.UNAVAILABLE,
    ),
    (r"server login|server_login_retry|query_wait_timeout|server conn crashed", FailureKind.DEPENDENCY),
    (r"server closed the connection|connection reset|broken pipe|closed unexpectedly", FailureKind.CLOSED),
)


class _LenientText(adapt.Loader):
    """Text that may be in another encoding than the connection's, as queries of other databases are."""

    def load(self, data: Any) -> str:
        return bytes(data).decode("utf-8", "backslashreplace")


def security(host: str, over: Tls | None, sslmode: str) -> dict[str, Any]:
    """Return the parameters that say how the connection is protected, the host to connect to among them."""
    if over is None:
        return {"host": host, "sslmode": sslmode}
    parameters: dict[str, Any] = {"host": host, "sslmode": "verify-full" if over.verify else "require"}
    if over.verify:
        parameters["sslrootcert"] = str(over.ca_file or next(filter(Path.is_file, _AUTHORITIES), "system"))
    if over.server_name:  # libpq verifies what stands in "host", and connects to "hostaddr"
        parameters |= {"host": over.server_name, "hostaddr": _address(host)}
    if over.certificate_file:
        parameters |= {"sslcert": str(over.certificate_file), "sslkey": str(over.key_file or "")}
    return parameters


def accepted_logins(
    host: str, over: Tls | None, sslmode: str, *, has_password: bool, takes_clear_text: bool
) -> dict[str, str]:
    """Return what keeps the password itself from whoever answers in the place of the server.

    It is given only where it stays on this machine, where the connection cannot be without TLS, or where the
    configuration says so. Raises ClientError (SCHEME) when this libpq would give it to anybody.
    """
    if takes_clear_text or over is not None or sslmode in _TLS_MODES or in_clear.is_loopback(host):
        return {}
    if pq.version() >= in_clear.FIRST_LIBPQ:
        return {"require_auth": "!password"}
    if not has_password:
        return {}
    words = _(
        "libpq {version} would send the password in clear to whoever asks for it: use TLS, psycopg[binary] with libpq 16 or "
        "later, or clear_text_password = true"
    )
    raise ClientError(FailureKind.SCHEME, words.format(version=pq.version() // 10000), IN_CLEAR)


def _address(host: str) -> str:
    try:
        return str(socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)[0][4][0])
    except OSError as error:
        raise ClientError(FailureKind.NAME, f"{host}: {error.strerror or error}", "name") from error


class Session:
    """One connection, all of it over before ``seconds`` have passed, whatever the other side does."""

    def __init__(self, parameters: Mapping[str, Any], seconds: float, connect_seconds: float) -> None:
        self._parameters = parameters
        self._seconds = seconds
        self._connect_seconds = min(seconds, connect_seconds)
        self._connection: psycopg.Connection[DictRow] | None = None
        self._limit: TimeLimit | None = None
        # Held by whoever is inside libpq: what is freed under it would be somebody else's memory.
        self._in_use = threading.Lock()
        # What the server said besides, in its order: severity (not translated) and words.
        self.notices: list[tuple[str, str]] = []

    def connect(self, simple_protocol: bool = False) -> None:
        """Log in; ``simple_protocol`` for PgBouncer's console. Raises ClientError."""
        self._limit = TimeLimit(self._seconds)
        pgconn = _log_in(conninfo.make_conninfo("", **self._parameters), self._connect_seconds)
        footprint.count(connections=1)
        with socket.socket(fileno=os.dup(pgconn.socket)) as duplicate:
            self._limit.watch(duplicate)
        connection = psycopg.Connection[DictRow](pgconn, row_factory=dict_row)
        connection.autocommit = True
        connection.prepare_threshold = None
        if simple_protocol:
            connection.cursor_factory = psycopg.ClientCursor[DictRow]
        for name in TEXT_TYPES:
            connection.adapters.register_loader(name, _LenientText)
        connection.add_notice_handler(self._notice)
        self._connection = connection

    def _notice(self, notice: psycopg.errors.Diagnostic) -> None:
        severity = notice.severity_nonlocalized or notice.severity or ""
        self.notices.append((severity, notice.message_primary or ""))

    @property
    def pid(self) -> int:
        """The process of the server that serves this connection; 0 while there is none."""
        return self._connection.info.backend_pid if self._connection else 0

    def query(self, statement: str, parameters: Mapping[str, Any] | None = None) -> list[DictRow]:
        """Run one statement and return its rows by column name. Raises ClientError."""
        return self._run(lambda connection: connection.execute(statement.encode(), parameters))

    def query_single(self, statement: str) -> list[DictRow]:
        """Run what the server must refuse if it is more than one statement. Raises ClientError."""
        # Only a statement whose answer is wanted in binary form goes by the protocol that takes no second one.
        return self._run(lambda connection: connection.execute(statement.encode(), binary=True))

    def _run(self, work: Callable[[psycopg.Connection[DictRow]], psycopg.Cursor[DictRow]]) -> list[DictRow]:
        if self._connection is None or self._limit is None:
            raise ClientError(FailureKind.CLOSED, _("not connected"))
        try:
            with self._in_use:
                cursor = work(self._connection)
                rows = cursor.fetchall() if cursor.description else []
        except psycopg.Error as error:
            if self._limit.is_expired:
                words = _("no answer within {seconds:.1f} s").format(seconds=self._seconds)
                raise ClientError(FailureKind.NO_ANSWER, words) from error
            raise _client_error(error) from error
        footprint.count(commands=1, bytes_read=_size(cursor.pgresult))
        return rows

    def query_ms(self, statement: str) -> float:
        """Return how long a statement takes, in milliseconds. Raises ClientError."""
        started = time.monotonic()
        self.query(statement)
        return round((time.monotonic() - started) * 1000, 2)

    def parameter(self, name: str) -> str | None:
        """Return what the server said of itself at log-in, such as ``server_version``; costs no round trip."""
        return self._connection.info.parameter_status(name) if self._connection else None

    def close(self) -> None:
        """Close the connection; the statement of another thread on it fails first."""
        if self._limit is None:
            return
        if self._connection is None:  # it was never made
            self._limit.cancel()
            return
        is_free = self._in_use.acquire(blocking=False)
        if not is_free:
            self._limit.end()
            is_free = self._in_use.acquire(timeout=_LAST_SECONDS)
        self._limit.cancel()
        if is_free:  # else the other thread keeps it to the end of the process
            self._connection.close()
            self._in_use.release()


def _size(result: pq.abc.PGresult | None) -> int:
    if result is None:
        return 0
    cells = ((row, column) for row in range(result.ntuples) for column in range(result.nfields))
    return sum(len(result.get_value(row, column) or b"") for row, column in cells)


def _log_in(info: str, seconds: float) -> pq.abc.PGconn:
    ends_at = time.monotonic() + seconds
    pgconn = pq.PGconn.connect_start(info.encode())
    reached = pgconn.status
    polled: int = pq.PollingStatus.WRITING  # libpq's manual: wait as if the first poll had said so
    with _trace(pgconn) as trace:
        try:
            while True:
                if pgconn.status != pq.ConnStatus.BAD and not _wait(pgconn.socket, polled, ends_at):
                    raise _silence(reached, seconds, trace())
                is_bad = pgconn.status == pq.ConnStatus.BAD
                polled = pq.PollingStatus.FAILED if is_bad else pgconn.connect_poll()
                if polled == pq.PollingStatus.OK:
                    pgconn.nonblocking = 1
                    return pgconn
                if polled == pq.PollingStatus.FAILED:
                    raise _refused(pgconn.error_message, trace(), reached)
                reached = pgconn.status
        except ClientError:
            pgconn.finish()
            raise


@contextmanager
def _trace(pgconn: pq.abc.PGconn) -> Iterator[Callable[[], bytes]]:
    """Let libpq trace the log-in, in memory only: the one place where the SQLSTATE of a refusal is kept.

    The words of a refusal are in the server's language, the SQLSTATE is not. libpq before 18 does not trace
    the log-in and some builds not at all; then the words alone must do. Yields what returns the end of the trace.
    """
    descriptor = -1

    def written() -> bytes:
        if descriptor < 0:
            return b""
        with suppress(psycopg.Error):  # the connection may be closed already
            pgconn.untrace()
        return os.pread(descriptor, 4096, max(0, os.fstat(descriptor).st_size - 4096))

    try:
        with suppress(psycopg.NotSupportedError, AttributeError, OSError):
            descriptor = os.memfd_create("samaops-login")
            pgconn.trace(descriptor)
            pgconn.set_trace_flags(pq.Trace.SUPPRESS_TIMESTAMPS | pq.Trace.REGRESS_MODE)
        yield written
    finally:
        if descriptor >= 0:
            with suppress(psycopg.Error):
                pgconn.untrace()
            os.close(descriptor)


def _wait(descriptor: int, polled: int, ends_at: float) -> bool:
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT if polled == pq.PollingStatus.WRITING else select.POLLIN)
    return bool(poll.poll(max(0.0, ends_at - time.monotonic()) * 1000))


def _silence(reached: int, seconds: float, trace: bytes) -> ClientError:
    words = _("no answer within {seconds:.1f} s").format(seconds=seconds)
    if reached in _BEFORE_CONNECTION:
        return ClientError(FailureKind.SILENT, words, "connect")
    if b"\tAuthentication" in trace:
        return ClientError(FailureKind.NO_ANSWER, words, WELCOME)
    if reached == pq.ConnStatus.SSL_STARTUP and b"\tSSLResponse" in trace:
        return ClientError(FailureKind.TLS, words, "tls")
    return ClientError(FailureKind.NO_ANSWER, words, "login")


def _refused(message: bytes, trace: bytes, reached: int) -> ClientError:
    codes = re.findall(rb'ErrorResponse\t.*? C "([0-9A-Z]{5})"', trace)
    sqlstate = codes[-1].decode() if codes else ""
    words = _plain(message.decode("utf-8", "backslashreplace"))
    stage = "connect" if reached in _BEFORE_CONNECTION else "login"
    if sqlstate == _TOO_MANY_CONNECTIONS or (not sqlstate and _NO_SLOT_WORDS.search(words)):
        stage = OWN_LIMIT if _NAMED.search(words) else NO_SLOT
    if not sqlstate and in_clear.ASKED.search(words):
        words = _(
            "it asks for the password in clear, without TLS that is required, and was not given it; set tls, or "
            "clear_text_password = true where that is meant"
        )
        return ClientError(FailureKind.SCHEME, words, IN_CLEAR)
    kind = _kind_of_sqlstate(sqlstate) or _kind_of_words(words)
    return ClientError(kind, words, stage)


def _client_error(error: psycopg.Error) -> ClientError:
    words = error.diag.message_primary or str(error).strip() or type(error).__name__
    if error.sqlstate is None and not isinstance(error, errors.OperationalError):
        return ClientError(FailureKind.GARBAGE, words)
    return ClientError(_kind_of_sqlstate(error.sqlstate or "") or _kind_of_words(words), words)


def _kind_of_sqlstate(sqlstate: str) -> FailureKind | None:
    for length in (5, 3, 2):
        if sqlstate[:length] in _KINDS_BY_SQLSTATE:
            return _KINDS_BY_SQLSTATE[sqlstate[:length]]
    return None


def _kind_of_words(words: str) -> FailureKind:
    for pattern, kind in _KINDS_BY_WORDS:
        if re.search(pattern, words, re.IGNORECASE):
            return kind
    return FailureKind.ERROR


def _plain(message: str) -> str:
    """Return the reason alone: without the address, which every finding names itself."""
    lines = [line.strip() for line in message.strip().splitlines() if line.strip()]
    return re.sub(r"^connection to server at .*? failed: ", "", " / ".join(lines)) or _("no reason was given")
