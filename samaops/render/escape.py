"""Text from outside, made safe to show: no control characters, no hidden direction changes, no endless lines.

Queue names, queries and log lines are data. What cannot be printed is shown as its escape, so that nothing is
hidden and nothing acts on the terminal.
"""

from __future__ import annotations

import re

from samaops.site import chosen

LONGEST_TEXT = 500
# Printable for people though not for str.isprintable: French typography puts them before ":" and in numbers.
_SPACES = "\u00a0\u202f"


def plain(text: object, limit: int = LONGEST_TEXT) -> str:
    """Return one safe line of at most about ``limit`` characters; line breaks become spaces."""
    line = str(text)[: 2 * limit + 1]
    cut = len(str(text)) > len(line)
    line = " ".join(line.split("\n")).replace("\t", " ")
    line = _shown(line)
    if len(line) > limit or cut:
        line = line[: limit - 1] + "…"
    return line.strip(" ")


def lines(text: str) -> str:
    """Return text in the lines and with the spaces that it has, safe to show."""
    return _shown(text, "\n")


def _shown(text: str, kept: str = "") -> str:
    if text.isprintable():
        return text
    return "".join(
        character
        if character.isprintable() or character in _SPACES or character in kept
        else _escaped(character)
        for character in text
    )


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def command(text: str) -> str:
    """Return a command line, safe but never shortened: the user must be able to type it, and mean the same site."""
    same = chosen.same(text)
    # What is escaped takes up to ten characters ("\\U0001f600").
    return plain(same, limit=10 * len(same))


def json_text(document: str) -> str:
    """Escape what a terminal could act upon in a JSON document; it stays the same document."""
    return "".join(
        character
        if character.isprintable() or character == "\n" or character in _SPACES
        else _json_escape(character)
        for character in document
    )


def _json_escape(character: str) -> str:
    units = character.encode("utf-16-be", errors="surrogatepass")
    return "".join(f"\\u{units[place]:02x}{units[place + 1]:02x}" for place in range(0, len(units), 2))


_MARKDOWN = re.compile(r"([\\`*_{}\[\]()#+\-.!|<>~&])")


def markdown(text: object) -> str:
    """Return text that Markdown shows literally."""
    return _MARKDOWN.sub(r"\\\1", plain(text))


def markdown_hint(text: str) -> str:
    """Return what to do: a command as code, which nothing in it can end; a sentence as text."""
    line = command(text)
    if not line.startswith("samaops "):
        return markdown(line)
    fence = "`" * (_longest_run(line) + 1)
    return f"{fence} {line} {fence}" if "`" in line else f"{fence}{line}{fence}"


def _longest_run(line: str) -> int:
    return max((len(run) for run in re.findall("`+", line)), default=0)


def markdown_code(text: str) -> str:
    """Return a fenced code block whose fence is longer than any in the text."""
    line = command(text)
    fence = "`" * max(3, _longest_run(line) + 1)
    return f"{fence}sh\n{line}\n{fence}"
