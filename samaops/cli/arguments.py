"""What must be known of the command line before it is parsed: the language of the help, the form of an error."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from samaops.cli.commands import COMMANDS


def language(argv: list[str]) -> str | None:
    """Return the value of ``--lang``, if any: the last one, as the parser takes it."""
    languages = list(_values(argv, "--lang", ""))
    return languages[-1] if languages else None


def output(argv: list[str]) -> str:
    """Return the value of ``-o`` or ``--output``: the last one, as the parser takes it."""
    formats = list(_values(argv, "--output", "-o"))
    return formats[-1] if formats else "human"


def command(argv: list[str]) -> str:
    """Return the first word that is a command, for the error report: as the report itself calls it."""
    place = next((place for place, word in enumerate(argv) if word in COMMANDS), None)
    if place is None:
        return "samaops"
    routine = "".join(argv[place + 1 : place + 2]) if argv[place] == "maintain" else ""
    return f"{argv[place]} {routine}" if routine.isalpha() else argv[place]


def textfile(argv: list[str]) -> Path | None:
    """Return the value of ``--textfile`` where the command has that option."""
    has_option = command(argv).partition(" ")[0] in ("diagnose", "maintain")
    files = list(_values(argv, "--textfile", "")) if has_option else []
    return Path(files[-1]) if files else None


def _values(argv: list[str], long: str, short: str) -> Iterator[str]:
    for place, word in enumerate(argv):
        following = argv[place + 1 : place + 2]
        if word == "--":
            return
        if word in (long, short):
            yield from following
        elif word.startswith(f"{long}="):
            yield word.partition("=")[2]
        elif short and word.startswith(short) and not word.startswith("--"):
            yield word[len(short) :]
