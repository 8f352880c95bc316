r"""Words of a command that is shown to people: whatever they hold, they stay words, and every form shows them unchanged.

Like ``shlex``, but what no screen shows as it is (a control character, a line's end, a change of direction) is written
as its octal escape in ``$'...'``, which bash and zsh read; nothing that shows a command then has to alter it.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable


def quoted(word: str) -> str:
    """Return one word for the shell."""
    return shlex.quote(word) if word.isprintable() else _escaped(word)


def joined(words: Iterable[str]) -> str:
    """Return a command of words."""
    return " ".join(map(quoted, words))


def operands(*words: str) -> str:
    """Return the names at the end of a command; none of them is an option, whatever it begins with."""
    return ("-- " if any(word.startswith("-") for word in words) else "") + joined(words)


def without_pipe(command: str) -> str:
    """Return the same command without the character ``|``, for a form in which it means something else."""
    return f"eval {_escaped(command, '|')}" if "|" in command else command


def _escaped(text: str, also: str = "") -> str:
    return "$'" + "".join(_octal(char) if _needs_escape(char, also) else char for char in text) + "'"


def _needs_escape(char: str, also: str) -> bool:
    # An apostrophe too: so the quotes end where any shell, and shlex, takes them to end.
    return char in "'\\" + also or not char.isprintable()


def _octal(char: str) -> str:
    return "".join(f"\\{byte:03o}" for byte in char.encode("utf-8", "surrogatepass"))
