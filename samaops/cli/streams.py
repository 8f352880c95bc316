"""stdout and stderr that never fail: what nobody takes any more is dropped, and why is kept for the end.

A reader that has gone, a full disk, a stream opened for reading: the work under way, and the exit code, are the same.
"""

from __future__ import annotations

import io
import os
import select
import sys
from typing import TextIO


class Stream(io.FileIO):
    """One of our streams, as bytes."""

    lost: OSError | None = None

    def write(self, data: bytes) -> int:  # type: ignore[override]
        """Write what the stream takes."""
        while self.lost is None:
            try:
                written = os.write(self.fileno(), data)
            except BlockingIOError:  # whoever shares it has made it so
                writable = select.poll()
                writable.register(self.fileno(), select.POLLOUT)
                writable.poll()
            except OSError as error:
                self.lost = error
            else:
                return written
        return len(data)


def keep() -> None:
    """Put such streams in the place of Python's own, whose errors come out wherever something is said."""
    for number, name in ((1, "stdout"), (2, "stderr")):
        own: TextIO = getattr(sys, name)
        own.flush()
        text = io.TextIOWrapper(
            io.BufferedWriter(Stream(number, "w", closefd=False)),  # type: ignore[type-var] # it takes what a FileIO takes
            encoding=own.encoding,
            errors=own.errors,
            line_buffering=number == 2 or own.isatty(),
        )
        setattr(sys, name, text)


def lost(stream: TextIO) -> OSError | None:
    """Return why what was written to a stream did not arrive; None while it did."""
    raw = getattr(getattr(stream, "buffer", None), "raw", None)
    return getattr(raw, "lost", None)
