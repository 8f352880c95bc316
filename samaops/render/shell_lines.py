r"""Break a long command line into lines a person can still copy into a shell: ``\`` at the end, outside quotes."""

from __future__ import annotations

from collections.abc import Iterator


def wrap(command: str, width: int) -> list[str]:
    """Return the command in lines of at most ``width`` characters, except where a single word is longer.

    Joined by the shell they are the same command.
    """
    if len(command) <= width:
        return [command]
    if command.startswith("# "):
        return _comment(command, width)
    lines, line = [], ""
    for word in _words(command):
        candidate = f"{line} {word}" if line else word
        if line and len(candidate) > width - 2:
            lines.append(f"{line} \\")
            line = f"  {word}"
        else:
            line = candidate
    return [*lines, line]


def _comment(text: str, width: int) -> list[str]:
    """Return a comment in lines of which each is one: no ``\\`` carries it on, and the rest of it would be run."""
    lines, line = [], "#"
    for word in text.split(" ")[1:]:
        if line != "#" and len(line) + 1 + len(word) > width:
            lines.append(line)
            line = "#"
        line = f"{line} {word}"
    return [*lines, line]


def _words(command: str) -> Iterator[str]:
    """Yield the parts between single spaces that stand outside quotes and are not escaped."""
    start, quote, escaped = 0, "", False
    for place, character in enumerate(command):
        if escaped:
            escaped = False
        elif character == "\\" and quote != "'":
            escaped = True
        elif quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        elif character == " ":
            yield command[start:place]
            start = place + 1
    yield command[start:]
