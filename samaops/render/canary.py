"""The way of a canary for people: each hop with the time at which it was there, and who says so."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.text import Text

from samaops.i18n import _
from samaops.model.finding import Finding
from samaops.model.report import Report
from samaops.render import escape, human
from samaops.render.actions import action_lines
from samaops.render.human import STYLES, View
from samaops.render.layout import CommandLine, Hanging


def page(report: Report, view: View, journaled: str = "") -> Group:
    """Return the answer, the hops in their order, and what to type next.

    ``journaled`` is the command that shows what the journal has of it.
    """
    return Group(human.answer(report, view), Text(""), *_lines(report, view, journaled))


def _lines(report: Report, view: View, journaled: str) -> Iterator[RenderableType]:
    for number, finding in enumerate(report.findings, start=1):
        yield _hop(number, finding, view)
    for hint in dict.fromkeys(finding.hint for finding in report.findings if finding.hint):
        yield Text("")
        yield CommandLine(escape.command(hint), prefix=f"{view.symbols.arrow} ")
    if view.verbose and report.actions:
        yield Text("")
        yield from action_lines(report.actions, view.symbols)
    if journaled:
        yield Text("")
        yield CommandLine(escape.command(journaled), prefix=_("in the journal: "), style="dim")


def _hop(number: int, hop: Finding, view: View) -> RenderableType:
    at = f"{hop.value:.0f} ms" if isinstance(hop.value, (int, float)) else view.symbols.dash
    body = Text(escape.plain(hop.title), "bold")
    if hop.detail:
        body.append(f"  {escape.plain(hop.detail)}", "dim")
    return Hanging(Text(f"{number}. {view.symbols.status[hop.status]} {at:>9}  ", STYLES[hop.status]), body)
