"""The root of the command line: the global options, and commands that are loaded when called."""

from __future__ import annotations

import re
from collections.abc import Callable
from difflib import get_close_matches
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from samaops.cli import global_options, help_text, log, typer_words
from samaops.cli.commands import ALONE, COMMANDS
from samaops.cli.global_options import Globals
from samaops.config.places import how_to_add_the_lab
from samaops.errors import UnavailableError, UsageError
from samaops.i18n import N_, _, number


class LazyGroup(TyperGroup):
    """A group whose commands are imported only when called; the help needs their names and one line each."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - typer's signature
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002 - typer's signature
        if cmd_name not in COMMANDS:
            return None
        return TyperCommand(cmd_name, help=_(COMMANDS[cmd_name][1]))

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name = args[0]
        if name in COMMANDS:
            return name, _load(name, ALONE.get(" ".join(args[:2]))), args[1:]
        if ctx.resilient_parsing:
            return None, None, args
        matches = get_close_matches(name, COMMANDS, n=1)
        raise UsageError(
            _("There is no command {name!r}").format(name=name),
            hint=f"samaops {matches[0]}" if matches else "samaops --help",
        )


# What typer's help says of a value, beside the help of ours.
_NUMBERS = ("_get_default_string", "_get_number_range_help_str")
_NUMBER = re.compile(r"\b\d+\.\d+\b")


def _load(name: str, alone: str | None = None) -> Any:
    """Return a command; ``alone`` is a module that has one of its commands and not what the others import."""
    module, text = COMMANDS[name]
    try:
        loaded = typer.main.get_command(import_module(alone or module).app)
    except ModuleNotFoundError as error:
        if name != "lab":
            raise
        raise UnavailableError(
            _("the lab needs more libraries ({name} is not installed)").format(name=error.name),
            hint=how_to_add_the_lab(),
        ) from error
    global_options.add_to(loaded, global_options.PANEL)
    _translate(loaded)
    loaded.name, loaded.help = name, _(text)
    help_text.add_to(loaded, name)
    return loaded


def _translate(command: Any) -> None:
    """Put the help of a command and all under it into the user's language; in the code it is marked with N_."""
    for param in command.params:
        if getattr(param, "help", None):
            param.help = _(param.help)
        if getattr(param, "rich_help_panel", None):
            param.rich_help_panel = _(param.rich_help_panel)
        if getattr(param, "is_flag", False):
            param.metavar = ""  # typer would write <bool> behind a flag
        elif param.param_type_name == "argument":
            param.metavar = typer_words.placeholder(param.metavar or param.name.upper())
            param.display_type_rich = _no_type
        elif param.metavar:
            param.metavar = typer_words.placeholder(param.metavar)
        for name in _NUMBERS:
            if hasattr(param, name):
                setattr(param, name, _with_our_numbers(getattr(param, name)))
    if command.help:
        command.help = _(command.help)
    command.get_help_option = _translated_help_option(command.get_help_option)
    command.get_usage = _translated_usage(command.get_usage)
    for child in getattr(command, "commands", {}).values():
        _translate(child)


def _with_our_numbers(show: Callable[..., str | None]) -> Callable[..., str | None]:
    """Wrap what writes a default or a range, whose numbers have the library's point."""

    def shown(*arguments: Any, **words: Any) -> str | None:
        text = show(*arguments, **words)
        return text and _NUMBER.sub(lambda found: number(found[0]), text)

    return shown


def _translated_help_option(make: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Wrap what makes a command's ``--help``, which is no parameter until it is asked for."""

    def translated(ctx: Any) -> Any:
        option = make(ctx)
        if option is not None:
            option.help, option.metavar = _("Show this message and exit."), ""
        return option

    return translated


def _translated_usage(show: Callable[[Any], str]) -> Callable[[Any], str]:
    """Wrap what writes the first line of a command's help, which has its first word in English."""
    return lambda ctx: typer_words.usage(show(ctx))


def _no_type(ctx: Any = None) -> None:
    """Say nothing of an argument's type: typer would write <str> behind its name."""


app = typer.Typer(
    cls=LazyGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    help=N_("Operations of SamaConso: find the root cause, repair safely, maintain."),
)


@app.callback()
def root(ctx: typer.Context) -> None:
    """Begin with what the options before the command chose; others may follow it."""
    log.begin()
    ctx.obj = ctx.obj or Globals()


def command() -> Any:
    """Return the whole command line, in the user's language."""
    global_options.begin()
    built = typer.main.get_command(app)
    global_options.add_to(built)
    help_text.add_to(built, "")
    _translate(built)
    return built
