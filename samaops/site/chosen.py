"""How the command line chose its configuration and language: a command that is shown must choose the same ones.

Only what is shown: a report is the same wherever it is judged, also from a saved look on another machine.
"""

from __future__ import annotations

from pathlib import Path

from samaops.site.commands import samaops
from samaops.site.shell_words import quoted
from samaops.site.site import Site

# Commands that need no configuration, or make one.
_OF_NO_SITE = ("lab ", "config init", "sites", "diagnose --sites")
_site: tuple[str, ...] = ()
_language: tuple[str, ...] = ()
_is_verbose = False


def remember(config: Path | None, *, lab: bool, language: str | None = None, site: str | None = None) -> None:
    """Keep what was chosen for the rest of this run; nothing when the configuration was found where it always is."""
    global _site, _language, _is_verbose  # noqa: PLW0603 - one command line per process, as with the language
    _is_verbose = False
    _site = ("--config", str(config)) if config is not None else ("--lab",) if lab else ()
    _site = ("--site", site) if site is not None else _site
    _language = ("--lang", language) if language else ()


def same(command: str) -> str:
    """Return a command with the options that chose this configuration and language, when it is one of samaops."""
    program, _space, words = command.partition(" ")
    bare = words.removeprefix("--lab ")
    if program != "samaops" or not bare or bare.startswith("-") or bare.endswith("--help"):
        return command
    of_lab = ("--lab",) if bare != words else ()
    options = (() if bare.startswith(_OF_NO_SITE) else _site or of_lab) + _language
    return " ".join([program, *map(quoted, options), bare])


def typed(site: Site, words: str) -> str:
    """Return a command of samaops as a person types it, for this site: what a sentence proposes."""
    return same(samaops(site, words))


def of_site(command: str, name: str) -> str:
    """Return a command of samaops with the option that chooses one of several sites, unless it chooses one already."""
    program, _space, words = command.partition(" ")
    bare = words.removeprefix("--lab ")
    if program != "samaops" or not bare or bare.startswith(("-", *_OF_NO_SITE)):
        return command
    return " ".join([program, "--site", quoted(name), *map(quoted, _language), bare])


def show_everything(is_asked: bool) -> None:
    """Keep whether everything is asked for (``-v``)."""
    global _is_verbose  # noqa: PLW0603 - as above
    _is_verbose = is_asked


def shows_everything() -> bool:
    """Return whether everything was asked for: then also what statements of the application hold."""
    return _is_verbose
