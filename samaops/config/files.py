"""Open the files that users name without waiting for ever, and write what only their owner may read."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import BinaryIO

from samaops.i18n import _

# A shell's <(command) is a pipe too, but its writer is there.
_WITH_A_WRITER = ("/dev/fd/", "/proc/")


def open_to_read(path: Path) -> BinaryIO:
    """Open a file; raise OSError for a named pipe, to which perhaps nobody will ever write."""
    if path.is_fifo() and not str(path).startswith(_WITH_A_WRITER):
        raise OSError(errno.EINVAL, _("it is a named pipe"))
    return path.open("rb")


def write_private(path: Path, content: bytes) -> None:
    """Write a file that only its owner can read, whole or not at all. Raises OSError."""
    write_whole(path, content, 0o600)


def write_whole(path: Path, content: bytes, mode: int) -> None:
    """Write a file with exactly this mode, whole or not at all: who reads it has the old one or the new one."""
    aside = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, mode)
            file.write(content)
        aside.replace(path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
