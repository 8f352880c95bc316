"""Open the files that users name, without waiting for ever."""

from __future__ import annotations

import errno
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
