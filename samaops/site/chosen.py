"""How the command line chose its configuration: a command that is shown to people must choose the same one.

Only what is shown: a report is the same wherever it is judged, also from a saved look on another machine.
"""

from __future__ import annotations

from pathlib import Path

from samaops.site.shell_words import quoted

# Commands that need no configuration, or make one.
_OF_NO_SITE = ("-", "lab ", "config init")
_options: tuple[str, ...] = ()


def remember(config: Path | None, *, lab: bool) -> None:
    """Keep what was chosen for the rest of this run; nothing when the configuration was found where it always is."""
    global _options  # noqa: PLW0603 - one command line per process, as with the language
    _options = ("--config", str(config)) if config is not None else ("--lab",) if lab else ()


def same(command: str) -> str:
    """Return a command with the options that chose this configuration, when it is one of samaops that reads one."""
    program, _space, words = command.partition(" ")
    words = words.removeprefix("--lab ") if _options else words
    if program != "samaops" or not words or words.startswith(_OF_NO_SITE) or words.endswith("--help"):
        return command
    return " ".join([program, *map(quoted, _options), words])
