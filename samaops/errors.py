"""Every way samaops ends other than with an answer: one root error, few leaves, each with its exit code."""

from __future__ import annotations

from samaops.i18n import N_, _

USAGE = 64
UNAVAILABLE = 69
BUG = 70
LOCKED = 75
REFUSED = 77
CONFIGURATION = 78
INTERRUPTED = 130


# What the system says of a file; in English, since it knows other languages only where their locale is installed.
SYSTEM_WORDS = (
    N_("Permission denied"),
    N_("Operation not permitted"),
    N_("No such file or directory"),
    N_("File exists"),
    N_("Not a directory"),
    N_("Is a directory"),
    N_("Too many levels of symbolic links"),
    N_("File name too long"),
    N_("No space left on device"),
    N_("Disk quota exceeded"),
    N_("Read-only file system"),
    N_("Input/output error"),
    N_("Too many open files"),
    N_("No such device or address"),
    N_("Exec format error"),
)


def reason_of(error: OSError) -> str:
    """Return why the system refused, in the user's language where we know its words."""
    return _(error.strerror) if error.strerror else str(error) or type(error).__name__


class SamaopsError(Exception):
    """What failed, where, and what to do next. ``str()`` of it is the message for the user."""

    exit_code = BUG

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(SamaopsError):
    """The command line asks for something that does not exist."""

    exit_code = USAGE


class ConfigurationError(SamaopsError):
    """The configuration cannot be used: file, key, reason."""

    exit_code = CONFIGURATION


class UnavailableError(SamaopsError):
    """Nothing could be reached."""

    exit_code = UNAVAILABLE


class RefusedError(SamaopsError):
    """A guard refused, or the user did not confirm; nothing was changed."""

    exit_code = REFUSED


class LockedError(SamaopsError):
    """Another run holds the lock, ``since`` when: ISO 8601, "" when that is not known."""

    exit_code = LOCKED

    def __init__(self, message: str, hint: str = "", since: str = "") -> None:
        super().__init__(message, hint)
        self.since = since
