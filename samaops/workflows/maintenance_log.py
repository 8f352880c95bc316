"""Append what a run has to say to the log of maintenance; where it cannot be written, to one of our own."""

from __future__ import annotations

import os
from pathlib import Path

from samaops.i18n import _
from samaops.journal.history import default_file


def append(path: Path, text: str) -> tuple[str, ...]:
    """Write one section at the log's end; return a sentence when that was not possible there."""
    try:
        _append(path, text)
    except OSError as error:
        return (_instead(path, text, error),)
    return ()


def _instead(path: Path, text: str, error: OSError) -> str:
    own = default_file().with_name(path.name)
    reason = error.strerror or str(error)
    try:
        _append(own, text)
    except OSError as second:
        return _("No log was written: {path}: {reason}; {own}: {second}").format(
            path=path, reason=reason, own=own, second=second.strerror
        )
    return _("The log {path} cannot be written: {reason}; it is in {own}").format(
        path=path, reason=reason, own=own
    )


def _append(path: Path, text: str) -> None:
    """Append in one write, so that two writers never mix their lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(path, flags, 0o640)
    try:
        os.write(descriptor, text.encode("utf-8", "backslashreplace"))
    finally:
        os.close(descriptor)
