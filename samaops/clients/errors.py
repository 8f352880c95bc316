"""How every client says that it could not do what was asked."""

from __future__ import annotations

import errno
import socket
import ssl

from samaops.model.failure import Failure, FailureKind

# The stage of a log-in to a database that was answered (who are you?) and then never completed.
WELCOME = "welcome"
# The stage of a log-in that is refused because max_connections is reached: the server itself is well.
NO_SLOT = "slot"
# The same where a limit of the database or of the role is reached: the server has connections left.
OWN_LIMIT = "limit"
# The stage of a log-in that we end: the other side asks for the password itself, and is not known to be who it says.
IN_CLEAR = "clear"
# The stage of a look at a Redis that refuses what is malformed at once and leaves every command without answer.
HELD = "paused"


class ClientError(Exception):
    """One failed connection, command or query, already sorted into a FailureKind.

    ``message`` holds the other side's own words, never a secret. ``has_answered``: see Failure.
    """

    def __init__(
        self, kind: FailureKind, message: str, stage: str = "", *, has_answered: bool | None = None
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.stage = stage
        self.has_answered = has_answered

    def on_the_way(self, stage: str, message: str = "") -> ClientError:
        """Return this error of something that we must go through, as that of what lies behind it."""
        return ClientError(
            FailureKind.DEPENDENCY,
            message or self.message,
            stage,
            has_answered=not self.failure().is_unreached,
        )

    def failure(self, after_ms: int | None = None) -> Failure:
        """Return this error as a plain fact."""
        return Failure(self.kind, self.message, self.stage, after_ms, self.has_answered)


# ConnectionReset and BrokenPipe mean: there was somebody, and he hung up.
_KINDS_BY_ERRNO = {
    errno.ECONNREFUSED: FailureKind.REFUSED,
    errno.ECONNRESET: FailureKind.CLOSED,
    errno.EPIPE: FailureKind.CLOSED,
    errno.ETIMEDOUT: FailureKind.SILENT,
    errno.EHOSTUNREACH: FailureKind.SILENT,
    errno.ENETUNREACH: FailureKind.SILENT,
}


def kind_of_os_error(error: BaseException, connected: bool) -> FailureKind:
    """Sort an operating-system error; a timeout means silence before and a hang after the connection."""
    if isinstance(error, ssl.SSLError):
        return FailureKind.TLS
    if isinstance(error, socket.gaierror):
        return FailureKind.NAME
    if isinstance(error, TimeoutError):
        return FailureKind.NO_ANSWER if connected else FailureKind.SILENT
    if isinstance(error, OSError) and error.errno in _KINDS_BY_ERRNO:
        return _KINDS_BY_ERRNO[error.errno]
    return FailureKind.ERROR
