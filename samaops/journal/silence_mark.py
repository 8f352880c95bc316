"""A mark in the state directory until when anything is silenced here: a look opens no database where nothing is.

It counts for a history in the state directory alone; one that is elsewhere may be written by others.
"""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

from samaops.config import files, places
from samaops.config.settings import Settings
from samaops.errors import ConfigurationError

_LARGEST_BYTES = 100
_ALWAYS = datetime.max.replace(tzinfo=timezone.utc)


def leave(until: datetime) -> None:
    """Say that something is silenced until then; a later end that is known stays. Raises OSError."""
    known = _left()
    latest = until if known is None or known == _ALWAYS else max(until, known)
    path = _path()
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    files.write_whole(path, latest.astimezone(timezone.utc).isoformat().encode(), 0o600)


def may_be_silenced(settings: Settings, now: datetime) -> bool:
    """Return whether anything may be silenced now."""
    if settings.history.url is not None:
        return True
    try:
        until = _left()
    except ConfigurationError:  # who has no home has no history either
        return False
    return until is not None and now < until


def _left() -> datetime | None:
    try:
        return datetime.fromisoformat(files.read(_path(), _LARGEST_BYTES).decode())
    except FileNotFoundError:
        return None
    except (OSError, ValueError):  # what cannot be read may say anything: then the history is asked
        return _ALWAYS


def _path() -> Path:
    return places.state() / "silenced-until"
