"""Spaces at which no line ends: those of French before a sign and inside its quotation marks, those before a unit."""

from __future__ import annotations

import re

_HOLDING = re.compile(
    r" (?=[;:?!»%](?:\s|$))|(?<=«) |(?<=\d) (?=(?:ms|s|min|h|d|j|k[Bo]|M[Bo]|G[Bo]|T[Bo])\b)|[\u00a0\u202f]"
)
_GLUE = {" ": "\ue000", "\u00a0": "\ue001", "\u202f": "\ue002"}
_UNGLUED = {ord(glue): space for space, glue in _GLUE.items()}


def held(text: str) -> str:
    """Return a text, of the same length, that may be broken into lines at any of its spaces; ``released`` gives it back."""
    return _HOLDING.sub(lambda space: _GLUE[space[0]], text)


def released(text: str) -> str:
    """Return what was held, with its spaces."""
    return text.translate(_UNGLUED)
