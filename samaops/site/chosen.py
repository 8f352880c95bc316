"""How the command line chose its configuration: a command that is shown to people must choose the same one.

Only what is shown: a report is the same wherever it is judged, also from a saved look on another machine.
"""

from __future__ import annotations

import shlex
from pathlib import Path

# Commands that need no configuration, or make one.
_OF_NO_SITE = ("-", "lab ", "config init")
_options: tuple[str, ...] = ()
_is_verbose = False


def remember(config: Path | None, *, lab: bool) -> None:
    """Keep what was chosen for the rest of this run; nothing when the configuration was found where it always is."""
    global _options, _is_verbose  # noqa: PLW0603 - one command line per process, as with the language
    _is_verbose = False
    _options = ("--config", str(config)) if config is not None else ("--lab",) if lab else ()


def same(command: str) -> str:
    """Return a command with the options that chose this configuration, when it is one of samaops that reads one."""
    program, _space, words = command.partition(" ")
    words = words.removeprefix("--lab ") if _options else words
    if program != "samaops" or not words or words.startswith(_OF_NO_SITE) or words.endswith("--help"):
        return command
    return " ".join([program, *map(shlex.quote, _options), words])


def show_everything(is_asked: bool) -> bool:
    """Keep that everything is asked for (``-v``), wherever it stands in the line; return what was given."""
    global _is_verbose  # noqa: PLW0603 - as above
    _is_verbose = _is_verbose or is_asked
    return is_asked


def shows_everything() -> bool:
    """Return whether everything was asked for: then also what statements of the application hold."""
    return _is_verbose
