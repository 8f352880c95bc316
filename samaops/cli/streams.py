"""stdout and stderr that never fail: what nobody takes any more is dropped, and why is kept for the end.

A reader that has gone, a full disk, a stream opened for reading: the work under way, and the exit code, are the same.
"""

from __future__ import annotations

import io
import os
import select
import shutil
import sys
import textwrap
from typing import TextIO

from samaops.model import spaces

# Longer lines are hard to read, however wide the screen is.
WIDEST = 100


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


def folded(sentence: str, stream: TextIO, further: str = "") -> str:
    """Return a sentence in lines that fit a terminal, those after the first behind ``further``; else as it is."""
    if not stream.isatty():
        return sentence
    lines = textwrap.fill(
        spaces.held(sentence),
        min(shutil.get_terminal_size().columns, WIDEST),
        subsequent_indent=further,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return spaces.released(lines)


def say(sentence: str, further: str = "") -> None:
    """Print a sentence to stdout, folded for a terminal."""
    print(folded(sentence, sys.stdout, further))  # noqa: T201 - for people


def lost(stream: TextIO) -> OSError | None:
    """Return why what was written to a stream did not arrive; None while it did."""
    raw = getattr(getattr(stream, "buffer", None), "raw", None)
    return getattr(raw, "lost", None)
