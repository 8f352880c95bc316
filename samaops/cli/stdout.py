"""Exact text on stdout, without what shows it to people: that an answer failed is said before rich is imported."""

from __future__ import annotations

import codecs
import sys
import unicodedata
from typing import TextIO


def write(text: str) -> None:
    """Write exact text to stdout, UTF-8 whatever the locale says."""
    sys.stdout.flush()
    sys.stdout.buffer.write(text.encode("utf-8", "backslashreplace"))
    sys.stdout.buffer.flush()


def let_fit(stream: TextIO) -> None:
    """Let a stream take every text: what its encoding has not becomes what looks most like it."""
    codecs.register_error("samaops.ascii", _without_accents)
    reconfigure = getattr(stream, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="samaops.ascii")


def _without_accents(error: UnicodeError) -> tuple[str, int]:
    """Replace what an encoding has not: "é" becomes "e", anything else "?"."""
    assert isinstance(error, UnicodeEncodeError)
    text = unicodedata.normalize("NFKD", error.object[error.start : error.end])
    return "".join(
        character if character.isascii() else "" if unicodedata.combining(character) else "?"
        for character in text
    ), error.end
