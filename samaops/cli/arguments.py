"""What must be known of the command line before it is parsed: the language of the help, the form of an error."""

from __future__ import annotations

from collections.abc import Iterator


def language(argv: list[str]) -> str | None:
    """Return the value of ``--lang``, if any."""
    return next(_values(argv, "--lang", ""), None)


def output(argv: list[str]) -> str:
    """Return the value of ``-o`` or ``--output``: the last one, as the parser takes it."""
    found = list(_values(argv, "--output", "-o"))
    return found[-1] if found else "human"


def command(argv: list[str]) -> str:
    """Return the first word that is a command, for the error report."""
    from samaops.cli.commands import COMMANDS

    return next((one for one in argv if one in COMMANDS), "samaops")


def asks_postgresql(argv: list[str]) -> bool:
    """Return whether the command will most probably look at PostgreSQL or PgBouncer; a guess that costs nothing but time."""
    looks_at_nothing = {"--help", "-h", "--list-checks", "--from"}.intersection(argv)
    if command(argv) != "diagnose" or looks_at_nothing:
        return False
    only = ",".join(_values(argv, "--only", "")).split(",")
    return any(name.startswith(("postgresql", "pgbouncer", "@")) for name in only) or only == [""]


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
