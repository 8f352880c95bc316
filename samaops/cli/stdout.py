"""Exact text on stdout, without what shows it to people: that an answer failed is said before rich is imported."""

from __future__ import annotations

import sys


def write(text: str) -> None:
    """Write exact text to stdout, UTF-8 whatever the locale says."""
    sys.stdout.flush()
    sys.stdout.buffer.write(text.encode("utf-8", "backslashreplace"))
    sys.stdout.buffer.flush()
