"""Completion as typer has it, and for words that it does not expect: ``docker@api``, ``--only=redis``."""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any

from typer import _completion_classes as classes

# Bash breaks a word at these (COMP_WORDBREAKS), and puts what is offered in the place of what follows the last of them.
_BREAKS = "@=:"


class BashComplete(classes.BashComplete):
    """What bash splits is put together before the parser sees it, and taken apart again for the answer."""

    def get_completion_args(self) -> tuple[list[str], str]:
        """Return the whole words before the one that is typed, and that one."""
        line, place = os.environ.get("COMP_WORDS", ""), os.environ.get("COMP_CWORD", "")
        split = line.split("\n" if "\n" in line else " ")[: int(place) + 1 if place.isdecimal() else None]
        words: list[str] = []
        is_open = False
        for word in split:
            is_break = bool(word) and not word.strip(_BREAKS)
            if words and (is_break or is_open):
                words[-1] += word
            else:
                words.append(word)
            is_open = is_break
        return words[1:-1], words[-1]

    def format_completion(self, item: Any) -> str:
        """Return only what comes behind the last place at which bash breaks the word."""
        _args, typed = self.get_completion_args()
        if typed.startswith("--"):
            typed = typed.partition("=")[2]  # the parser offers the value alone
        place = max(typed.rfind(character) for character in _BREAKS)
        if place < 0:
            return str(item.value)
        kept = 0 if typed[place] == "@" else 1  # an @ is part of what bash replaces
        return str(item.value)[place + kept :]


class _WholeWord:
    """A shell that replaces the whole word: the parser offers the value alone of ``--only=redis``."""

    def format_completion(self, item: Any) -> str:
        """Return what is offered behind the option that stands in the same word."""
        _args, typed = self.get_completion_args()  # type: ignore[attr-defined]
        option, equals, _value = typed.partition("=")
        if option.startswith("--") and equals:
            item.value = f"{option}={item.value}"
        return str(super().format_completion(item))  # type: ignore[misc]


class ZshComplete(_WholeWord, classes.ZshComplete):
    """zsh, for both forms of an option with a value."""


class FishComplete(_WholeWord, classes.FishComplete):
    """fish, for both forms of an option with a value."""


def register() -> None:
    """Let the shells be answered by these in place of typer's own."""
    library = import_module(classes.BashComplete.__mro__[1].__module__)
    for name, answering in (("bash", BashComplete), ("zsh", ZshComplete), ("fish", FishComplete)):
        library.add_completion_class(answering, name)
