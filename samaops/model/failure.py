"""Why something could not be observed."""

from __future__ import annotations

from enum import Enum

from msgspec import Struct


class FailureKind(str, Enum):
    """What went wrong between us and the system, as it was seen from here."""

    REFUSED = "refused"  # the port is closed: nothing listens
    SILENT = "silent"  # no answer to the connection itself: host down, or a firewall drops
    NO_ANSWER = "no_answer"  # connected, then nothing within the timeout: hung
    CLOSED = "closed"  # connected, then closed before an answer
    GARBAGE = "garbage"  # answered, but not in this protocol
    TLS = "tls"  # the TLS handshake or the certificate failed
    UNAVAILABLE = "unavailable"  # it answers that it cannot serve now (starting up, loading, shutting down)
    NAME = "name"  # the name does not resolve
    AUTHENTICATION = "authentication"  # our user or password was refused
    NO_AUTHENTICATION = "no_authentication"  # it has no password set, so it cannot check ours
    SCHEME = "scheme"  # it lets in, and not by a user and password: Kerberos, NTLM, OAuth
    PERMISSION = "permission"  # logged in, but not allowed to look
    MISSING = "missing"  # a driver, command, database or file we need is not there
    ABSENT = "absent"  # the configuration says that the site has no such thing
    HOST_KEY = "host_key"  # the SSH server's key is unknown or has changed
    DEPENDENCY = "dependency"  # something we must go through (SSH, proxy, pool) does not work
    DEADLINE = "deadline"  # our own time was over
    ERROR = "error"  # anything else the system said

    def __str__(self) -> str:
        return self.value


# What says that not even a connection came about, or that nobody waited for one.
_UNREACHED_KINDS = frozenset(
    {
        FailureKind.REFUSED,
        FailureKind.SILENT,
        FailureKind.NAME,
        FailureKind.DEPENDENCY,
        FailureKind.DEADLINE,
    }
)
# What says that the system itself does not serve, as any client would see it. The others only say
# that we could not look: they are never critical.
OUTAGE_KINDS = frozenset(
    {
        FailureKind.REFUSED,
        FailureKind.SILENT,
        FailureKind.NO_ANSWER,
        FailureKind.CLOSED,
        FailureKind.GARBAGE,
        FailureKind.TLS,
        FailureKind.UNAVAILABLE,
    }
)


class Failure(Struct, frozen=True):
    """One failed look: its kind, the system's own words, and at which step it happened.

    ``has_answered`` says whether anybody answered on the way there, where the kind does not tell.
    """

    kind: FailureKind
    message: str
    stage: str = ""
    after_ms: int | None = None
    has_answered: bool | None = None

    @property
    def is_unreached(self) -> bool:
        """Whether nobody answered: the reason may lie between here and there, or here."""
        return not self.has_answered if self.has_answered is not None else self.kind in _UNREACHED_KINDS

    @property
    def is_outage(self) -> bool:
        """Whether this says the system does not serve, and not only that we could not look."""
        return self.kind in OUTAGE_KINDS
