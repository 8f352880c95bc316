"""Every way samaops ends other than with an answer: one root error, few leaves, each with its exit code."""

from __future__ import annotations

USAGE = 64
UNAVAILABLE = 69
BUG = 70
LOCKED = 75
REFUSED = 77
CONFIGURATION = 78
INTERRUPTED = 130


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
