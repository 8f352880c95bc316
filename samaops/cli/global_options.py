"""The options that may stand anywhere in the line: before the command, between its words and after them."""

from __future__ import annotations

from copy import copy
from pathlib import Path
from typing import Annotated, Any

import typer
from msgspec import Struct
from msgspec.structs import asdict, replace

from samaops import __version__
from samaops.cli import log
from samaops.cli.options import completed_by
from samaops.errors import UsageError
from samaops.i18n import LANGUAGES, N_, _
from samaops.site import chosen

PANEL = N_("Options of every command, anywhere in the line")
_TOGETHER = (("config", "lab"), ("config", "site"), ("lab", "site"), ("verbose", "quiet"))


class Globals(Struct, frozen=True):
    """What these options chose. ``log_level`` is the least grave line that the log keeps."""

    config: Path | None = None
    lab: bool = False
    site: str | None = None
    lang: str | None = None
    verbose: bool = False
    quiet: bool = False
    log_level: str = ""
    debug: bool = False


class _Current:
    """The choice of this process: one command line per process, as with the language."""

    chosen = Globals()


def begin() -> None:
    """Forget what an earlier command line of this process chose."""
    _Current.chosen = Globals()
    chosen.remember(None, lab=False)


def current() -> Globals:
    """Return what is chosen, for what is no command: a screen."""
    return _Current.chosen


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"samaops {__version__}")
        raise typer.Exit


_declared = typer.Typer(add_completion=False)


@_declared.command()
def _options(
    config: Annotated[
        Path | None, typer.Option("--config", metavar="FILE", help=N_("The configuration file to use."))
    ] = None,
    lab: Annotated[bool, typer.Option("--lab", help=N_("Use the lab's configuration."))] = False,
    site: Annotated[
        str | None,
        typer.Option(
            "--site",
            metavar="NAME",
            help=N_("Use the configuration of this site (samaops sites)."),
            autocompletion=completed_by("sites"),
        ),
    ] = None,
    lang: Annotated[
        str | None,
        typer.Option(
            "--lang",
            metavar="fr|en",
            help=N_("The language of the answer."),
            autocompletion=lambda: list(LANGUAGES),
        ),
    ] = None,
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help=N_("Show everything."))] = False,
    quiet: Annotated[
        bool, typer.Option("-q", "--quiet", help=N_("No progress and no notes; nothing when all is well."))
    ] = False,
    log_level: Annotated[
        str | None,
        typer.Option(
            "--log-level",
            metavar="LEVEL",
            help=N_("What the log keeps: debug, info, warning or error."),
            autocompletion=lambda: list(log.LEVELS),
        ),
    ] = None,
    debug: Annotated[
        bool, typer.Option("--debug", help=N_("Tell on stderr, and in the log, each thing that is done."))
    ] = False,
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help=N_("Show the version.")),
    ] = False,
) -> None:
    """Hold the options; what each command does with them is in ``Globals``."""


def add_to(command: Any, panel: str | None = None) -> None:
    """Let a command, and all under it, take these options; those that it declares itself are its own."""
    own = {name for param in command.params for name in param.opts}
    for option in typer.main.get_command(_declared).params:
        if own.isdisjoint(option.opts):
            command.params.append(_remembered(option, panel))
    for child in getattr(command, "commands", {}).values():
        add_to(child, PANEL)


def _remembered(option: Any, panel: str | None) -> Any:
    taken = copy(option)
    taken.expose_value, taken.rich_help_panel = False, panel
    if taken.name != "_version":
        taken.callback = _remember
    return taken


def _remember(ctx: Any, param: Any, value: Any) -> Any:
    """Keep the value for the command, whose context takes over what those before it have."""
    if not value:
        return value
    if param.name == "lang":
        _require("--lang", value, LANGUAGES)
    if param.name == "log_level":
        _require("--log-level", value, log.LEVELS)
    chosen_now = replace(
        ctx.obj or Globals(), **{param.name: Path(value) if param.name == "config" else value}
    )
    given = asdict(chosen_now)
    for first, other in _TOGETHER:
        if given[first] and given[other]:
            text = _("{one} and {other} exclude each other")
            raise UsageError(text.format(one=f"--{first}", other=f"--{other}"))
    chosen.remember(chosen_now.config, lab=chosen_now.lab, language=chosen_now.lang, site=chosen_now.site)
    chosen.show_everything(chosen_now.verbose)
    log.keep(chosen_now.log_level, on_screen=chosen_now.debug)
    ctx.obj = _Current.chosen = chosen_now
    return value


def _require(option: str, value: str, allowed: tuple[str, ...]) -> None:
    if value in allowed:
        return
    if option == "--lang":
        message = _("{value!r} is not a language of samaops").format(value=value)
    else:
        message = _("{value!r} is not a level of the log").format(value=value)
    raise UsageError(message, hint=", ".join(f"{option} {word}" for word in allowed))
