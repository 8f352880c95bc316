"""Why a run ended as it did, by what it wrote: the answer of samaops, else its message, else its last line."""

from __future__ import annotations

import re
from collections.abc import Sequence

from samaops.i18n import _

_CHARACTERS = 300
# The first line of a report, as a screen has it: a sign, the worst status in capitals, what is wrong.
_ANSWER = re.compile(r"(?P<before>\S{1,4} +(?P<status>[^\W\d_]{2,}) {2})(?P<words>\S.*)")
_PROGRAM = "samaops: "
_ADVICE = "-> "


def why(text: str) -> str:
    """Return why a run ended so, in one line; "" where nothing was written."""
    lines = text.splitlines()
    return (_answer(lines) or _message(lines) or _last(lines))[:_CHARACTERS]


def _answer(lines: Sequence[str]) -> str:
    """Return what a report says first; where it names no cause, what it found first too. "" where it says that all is well."""
    bad = [_("warning"), _("critical"), _("unknown")]
    for number, line in enumerate(lines):
        match = _ANSWER.fullmatch(line.rstrip())
        if match is None or match["status"] not in [word.upper() for word in bad]:
            continue
        words, end = _paragraph(lines, number, match)
        if end < len(lines) and lines[end].strip():  # a cause stands there
            return words
        found = ((each, _ANSWER.fullmatch(lines[each].rstrip())) for each in range(end, len(lines)))
        first = next((_paragraph(lines, each, m)[0] for each, m in found if m and m["status"] in bad), "")
        return words if not first or first in words else f"{words}; {first}"
    return ""


def _paragraph(lines: Sequence[str], number: int, match: re.Match[str]) -> tuple[str, int]:
    """Return what begins in a line and goes on below it, as far to the right, and the number of the line behind."""
    words, indent = [match["words"].strip()], " " * len(match["before"])
    number += 1
    while number < len(lines) and lines[number].startswith(indent) and lines[number].strip():
        words.append(lines[number].strip())
        number += 1
    return " ".join(words), number


def _message(lines: Sequence[str]) -> str:
    """Return the last message of samaops, which may go on in further lines."""
    begins = [number for number, line in enumerate(lines) if line.startswith(_PROGRAM)]
    if not begins:
        return ""
    words: list[str] = []
    for line in lines[begins[-1] :]:
        if not line.strip() or line.lstrip().startswith(_ADVICE):
            break
        words.append(" ".join(line.split()))
    return " ".join(words)


def _last(lines: Sequence[str]) -> str:
    """Return the last line that says something, the advice behind it left out."""
    squeezed = [line for line in (" ".join(line.split()) for line in reversed(lines)) if line]
    saying = (line for line in squeezed if not line.startswith(_ADVICE))
    return next(saying, next(iter(squeezed), ""))
