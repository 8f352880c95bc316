"""The manual, samaops(1), made of the command line itself; ``scripts/reference`` writes it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from samaops import __version__
from samaops.cli import global_options, help_text
from samaops.i18n import _


def walk(root: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield every command with its words, each group before what is in it."""
    yield words, root
    if words:
        children = getattr(root, "commands", {}).items()
    else:
        context = root.make_context("samaops", [], resilient_parsing=True)
        children = [root.resolve_command(context, [name])[:2] for name in root.list_commands(context)]
    for name, child in children:
        yield from walk(child, (*words, name))


def page(root: Any) -> str:
    """Return the manual in the language in use, as man reads it."""
    return "\n".join(_lines(root)) + "\n"


def _lines(root: Any) -> Iterator[str]:
    title, options, command = _("Operations of SamaConso"), _("OPTIONS"), _("COMMAND")
    yield f'.TH SAMAOPS 1 "" "samaops {__version__}" "{_text(title)}"'
    yield from _section(_("NAME"), f"samaops \\- {_text(root.help)}")
    yield from _section(_("SYNOPSIS"), ".B samaops", f"[{_text(options)}] {_text(command)}")
    yield from _section(options, _text(_(global_options.PANEL)) + ":")
    shared = {name for param in root.params for name in param.opts}
    for param in root.params:
        yield from _option(param)
    yield from _section(_("COMMANDS"))
    for words, found in walk(root):
        if words and not getattr(found, "commands", None):
            yield from _command(" ".join(words), found, shared)
    yield from _section(_("EXIT CODES"))
    for code, meaning in help_text.EXIT_CODES.items():
        yield from _item(f"\\fB{code}\\fR", _(meaning))
    yield from _section(_("FILES"))
    for place in ("~/.config/samaops/config.toml", "/etc/samaops/config.toml"):
        yield from _item(f"\\fI{_text(place)}\\fR", _("The configuration; the first that exists is used."))
    place = "~/.local/state/samaops/"
    yield from _item(f"\\fI{_text(place)}\\fR", _("The history of changes, and the log."))
    yield from _section(_("ENVIRONMENT"))
    yield from _item("\\fBSAMAOPS_CONFIG\\fR", _("The configuration file to use."))
    yield from _item(
        "\\fBSAMAOPS_\\fISECTION\\fB__\\fIKEY\\fR",
        _("One value of the configuration, in place of the file's."),
    )
    yield from _item("\\fBNO_COLOR\\fR", _("No colours."))


def _command(path: str, command: Any, shared: set[str]) -> Iterator[str]:
    own = [param for param in command.params if shared.isdisjoint(param.opts)]
    arguments = " ".join(_text(_metavar(param)) for param in own if param.param_type_name == "argument")
    yield f".SS \\fBsamaops {_text(path)}\\fR {arguments}".rstrip()
    yield _text(command.help)
    for param in own:
        if param.param_type_name == "argument":
            yield from _item(f"\\fI{_text(_metavar(param))}\\fR", param.help or "")
        else:
            yield from _option(param)
    for line, meaning in help_text.examples(path):
        yield ".PP"
        yield ".RS 4"
        yield f"\\fBsamaops {_text(line)}\\fR"
        yield ".br"
        yield _text(_(meaning))
        yield ".RE"
    yield ".PP"
    codes = ", ".join(map(str, help_text.exit_codes(path, command)))
    yield _text(_("Exit codes: {codes}").format(codes=codes))


def _metavar(param: Any) -> str:
    return str(param.metavar or param.name.upper())


def _option(param: Any) -> Iterator[str]:
    names = ", ".join(f"\\fB{_text(name)}\\fR" for name in param.opts)
    value = "" if param.is_flag else f" \\fI{_text(_metavar(param))}\\fR"
    yield from _item(names + value, param.help or "")


def _section(title: str, *lines: str) -> Iterator[str]:
    yield f".SH {_text(title)}"
    yield from lines


def _item(head: str, text: str) -> Iterator[str]:
    yield ".TP"
    yield head
    yield _text(text)


def _text(text: str) -> str:
    """Return text that roff shows as it is: no line of it is a request, and each hyphen can be copied."""
    line = " ".join(text.split()).replace("\\", "\\e").replace("-", "\\-")
    return re.sub(r"^([.'])", r"\\&\1", line)
