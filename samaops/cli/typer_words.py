"""The errors and words of the command-line library, in the user's language and in our sentences.

typer 0.26 and later carry their own copy of click; before, it was a package of its own. The classes are the
same in both, so they are found through what typer exports.
"""

from __future__ import annotations

import re
from typing import Any

import typer

from samaops.i18n import N_, _, joined

# What typer itself asks gettext for; here so that the catalogue holds it.
WORDS = (
    N_("Arguments"),
    N_("Options"),
    N_("Commands"),
    N_("[default: {}]"),
    N_("[required]"),
    N_("default: {default}"),
    N_("required"),
    N_("(dynamic)"),
    N_("Usage:"),
    N_("Usage: "),
    N_("Show this message and exit."),
    N_("Install completion for the current shell."),
    N_("Show completion for the current shell, to copy it or customize the installation."),
)
# What stands for a value in a help: whole words in capitals.
PLACEHOLDERS = (
    N_("ADDRESS"),
    N_("ARGS"),
    N_("ARGUMENTS"),
    N_("BACKUP"),
    N_("BY"),
    N_("BYTES"),
    N_("CAUSE"),
    N_("CHANNEL"),
    N_("CODE"),
    N_("COLUMN"),
    N_("COMMAND"),
    N_("CONTAINER"),
    N_("DATABASE"),
    N_("DAY"),
    N_("DAYS"),
    N_("DIRECTORY"),
    N_("FILE"),
    N_("FIX"),
    N_("FORM"),
    N_("FRACTION"),
    N_("HOLDING"),
    N_("HOURS"),
    N_("INCIDENT"),
    N_("ITEM"),
    N_("JOB"),
    N_("KEY"),
    N_("KEYS"),
    N_("KIND"),
    N_("LEVEL"),
    N_("MB"),
    N_("MEMBER"),
    N_("MEMORY"),
    N_("MOUNT"),
    N_("NAME"),
    N_("NUMBER"),
    N_("PATH"),
    N_("PATTERN"),
    N_("POLICY"),
    N_("PREFIX"),
    N_("QUEUE"),
    N_("RATE"),
    N_("RELEASE"),
    N_("SECONDS"),
    N_("SERVER"),
    N_("SIZE"),
    N_("STATE"),
    N_("SUBJECT"),
    N_("TASK"),
    N_("TEXT"),
    N_("TIME"),
    N_("VALUE"),
    N_("VERB"),
    N_("WHAT"),
    N_("WHEN"),
    N_("WORDS"),
    N_("YYYY"),
)
_CAPITALS = re.compile(r"[A-Z]{2,}")
# How typer puts a value into brackets of its own, beside those that we have given it.
_BRACKETS = (
    (re.compile(r"\[(\[[^][]*\](?:\.\.\.)?)\](?:\.\.\.)?"), r"\1"),
    (re.compile(r"\{([^{}|]*?)(?:\.\.\.)?\}(\.\.\.)?"), r"\1\2"),
)
_CHOICES = re.compile(r"is not one of (?P<names>.*)")
_SENTENCES = (
    (re.compile(r"^No such command '(?P<name>[^']*)'\.$"), N_("There is no command {name!r}")),
    (
        re.compile(r"^No such command '(?P<name>[^']*)'\. Did you mean (one of: )?(?P<meant>.*)\?$"),
        N_("There is no command {name!r}; did you mean {meant}?"),
    ),
    (re.compile(r"^Option '(?P<option>.*)' requires an argument\.$"), N_("{option} needs a value")),
    (
        re.compile(r"^Got unexpected extra arguments?(\(s\))? \((?P<words>.*)\)$"),
        N_("Too many words: {words}"),
    ),
)
_BOUND = re.compile(r"(?P<side>greater|less) than or equal to (?P<limit>[\d.]+)")


def placeholder(metavar: str) -> str:
    """Return what stands for a value, in the user's language; a word that is none of ours stays as it is."""
    return _CAPITALS.sub(lambda word: _(word[0]) if word[0] in PLACEHOLDERS else word[0], metavar)


def usage(line: str) -> str:
    """Return the line that shows how a command is typed, which typer begins in English."""
    line = line.removeprefix("Usage: ")
    for pattern, kept in _BRACKETS:
        line = pattern.sub(kept, line)
    return _("Usage: ") + line.replace("COMMAND [ARGS]", " ".join((_("COMMAND"), "[" + _("ARGS") + "]")))


def usage_error() -> Any:
    """Return the class of every error in a command line."""
    return typer.BadParameter.__mro__[2]  # BadParameter, UsageError, ClickException


def abort() -> Any:
    """Return the class of "the user ended a prompt"."""
    return typer.Abort


def is_help(error: Any) -> bool:
    """Return whether this only says that the help was shown because nothing was asked."""
    return type(error).__name__ == "NoArgsIsHelpError"


def sentence(error: Any) -> str:
    """Return what is wrong with the command line."""
    kind = type(error).__name__
    if kind == "NoSuchOption":
        text = _("There is no option {option}").format(option=error.option_name)
        possibilities = ", ".join(sorted(error.possibilities or ()))
        meant = [_("did you mean {meant}?").format(meant=possibilities)] if possibilities else []
        return joined((text, *meant))
    if kind == "MissingParameter" and error.param is not None:
        return _("{parameter} is missing").format(parameter=_parameter(error.param))
    if kind == "BadParameter" and error.param is not None:
        return _("{parameter}: {reason}").format(
            parameter=_parameter(error.param), reason=_reason(error.message)
        )
    return _translated(error.format_message())


def _translated(message: str) -> str:
    """Return the library's English sentence in ours, where we know it."""
    for pattern, text in _SENTENCES:
        match = pattern.search(message)
        if match:
            return _(text).format(**match.groupdict())
    return message


def _reason(message: str) -> str:
    """Return why a value was refused; typer says it in pydantic's or click's English."""
    expected = _CHOICES.search(message)
    if expected:
        return _("must be one of {expected}").format(expected=expected["names"].replace("'", "").rstrip("."))
    if "valid integer" in message:
        return _("must be a whole number")
    if "valid number" in message or "valid float" in message:
        return _("must be a number")
    bound = _BOUND.search(message)
    if bound:
        text = _("must be at least {limit}") if bound["side"] == "greater" else _("must be at most {limit}")
        return text.format(limit=bound["limit"])
    return message


def _parameter(param: Any) -> str:
    return "/".join(param.opts) if param.param_type_name == "option" else param.metavar or param.name.upper()


def hint(error: Any, command: str) -> str:
    """Return the command that shows the help which is needed now; ``command`` is what was called."""
    context = getattr(error, "ctx", None)
    return f"{context.command_path if context else command} --help"
