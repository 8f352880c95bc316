"""The steps of a change for people: what is run where, when it may run, how it is verified and taken back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rich.console import RenderableType
from rich.text import Text

from samaops.i18n import _
from samaops.model.plan import Action, ActionStatus, Risk
from samaops.render import escape, words
from samaops.render.layout import CommandLine, Hanging
from samaops.render.words import Symbols

STYLES = {
    ActionStatus.PLANNED: "",
    ActionStatus.APPLIED: "yellow",
    ActionStatus.VERIFIED: "green",
    ActionStatus.FAILED: "bold red",
    ActionStatus.REVERTED: "magenta",
    ActionStatus.REFUSED: "dim",
}
RISK_STYLES = {Risk.SAFE: "cyan", Risk.DISRUPTIVE: "yellow", Risk.DESTRUCTIVE: "bold red"}
_OPEN = (ActionStatus.PLANNED, ActionStatus.REFUSED)


def action_lines(actions: Iterable[Action], symbols: Symbols) -> Iterator[RenderableType]:
    """Yield the lines of all steps, in their order."""
    for number, action in enumerate(actions, start=1):
        yield from _action(action, number, symbols)


def _action(action: Action, number: int, symbols: Symbols) -> Iterator[RenderableType]:
    body = Text(escape.plain(action.title), STYLES[action.status])
    body.append(f"  ({words.action(action.status)} {symbols.dot} ", "dim")
    body.append(words.risk(action.risk), RISK_STYLES[action.risk]).append(")", "dim")
    yield Hanging(Text(f"{number}. "), body)
    for command in action.commands:
        yield CommandLine(escape.command(command), indent=5)
    if action.status in _OPEN:
        yield from _sentences(_("only if: "), action.conditions)
        yield from _sentences(_("done when: "), action.verify)
    if action.result:
        yield from _sentences(_("brought: "), (action.result,))
    if action.destroys:
        yield Hanging(
            Text(_("destroys: "), RISK_STYLES[action.risk]), Text(escape.plain(action.destroys)), indent=5
        )
    if action.no_undo:
        text = _("cannot be taken back: {reason}").format(reason=escape.plain(action.no_undo))
        yield Hanging(Text(""), Text(text, "dim"), indent=5)
    yield from _sentences(_("undo brings back: "), action.undo_restores)
    for command in action.undo:
        yield CommandLine(escape.command(command), prefix=_("undo: "), indent=5, style="dim")


def _sentences(label: str, sentences: Iterable[str]) -> Iterator[RenderableType]:
    for sentence in sentences:
        yield Hanging(Text(label, "dim"), Text(escape.plain(sentence), "dim"), indent=5)
