"""A playbook to follow by hand, and the hops of a diagnosis, for people and programs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from msgspec import to_builtins
from rich.console import Group, RenderableType
from rich.text import Text

from samaops.i18n import _
from samaops.model.finding import Finding
from samaops.model.guide import Guide, GuideFix
from samaops.model.plan import Risk
from samaops.model.status import Status
from samaops.render import escape, words
from samaops.render.human import STYLES
from samaops.render.layout import CommandLine, Hanging
from samaops.render.words import Symbols

SCHEMA = "samaops/playbook/1"


def document(guide: Guide) -> dict[str, Any]:
    """Return a playbook as plain values, for JSON."""
    return {"schema": SCHEMA, **to_builtins(guide)}


def page(guide: Guide) -> Group:
    """Return a playbook for a screen."""
    return Group(*_page(guide))


def _page(guide: Guide) -> Iterator[RenderableType]:
    yield Text(guide.title, "bold")
    yield Hanging(Text(""), Text(guide.meaning))
    for number, hop in enumerate(guide.hops, start=1):
        yield Text("")
        yield Hanging(Text(f"{number}. "), Text(escape.plain(hop.title), "bold"))
        yield Hanging(Text(""), Text(escape.plain(hop.meaning)), indent=3)
        yield from (CommandLine(escape.command(command), indent=5) for command in hop.commands)
    yield Text("")
    yield Text(_("Causes, and what helps"), "bold")
    for cause in guide.causes:
        yield Hanging(
            Text(escape.plain(cause.id) + _(": "), "bold"), Text(escape.plain(cause.meaning)), indent=2
        )
        yield Hanging(Text(""), Text(escape.plain(", ".join(cause.fixes)), "dim"), indent=4)
    yield Text("")
    yield Text(_("Fixes"), "bold")
    for fix in guide.fixes:
        yield from _fix(fix)
    for name in guide.see_also:
        yield CommandLine(escape.command(f"samaops troubleshoot show {name}"), prefix=_("see also: "))


def markdown(guide: Guide) -> str:
    """Return a playbook as a page that a team can print."""
    return "\n".join(_printed(guide)).rstrip("\n") + "\n"


def _printed(guide: Guide) -> Iterator[str]:
    yield f"# {escape.markdown(guide.title)}"
    yield ""
    yield _wide(guide.meaning)
    yield ""
    if guide.hops:
        yield "## " + _("1. Find the place")
        yield ""
    for number, hop in enumerate(guide.hops, start=1):
        yield f"{number}. **{escape.markdown(hop.title)}**: {_wide(hop.meaning)}"
        yield ""
        yield from _code(hop.commands, indent=3)
    yield "## " + _("2. Name the cause")
    yield ""
    yield "| " + " | ".join((_("cause"), _("how it shows"), _("what helps, the least risky first"))) + " |"
    yield "| --- | --- | --- |"
    for cause in guide.causes:
        fixes = ", ".join(map(escape.markdown, cause.fixes)) or _("see {command}").format(
            command=escape.markdown_hint(f"samaops explain {cause.id}")
        )
        yield f"| {escape.markdown(cause.id)} | {_wide(cause.meaning)} | {fixes} |"
    yield ""
    if guide.see_also:
        names = ", ".join(
            escape.markdown_hint(f"samaops troubleshoot show {name}") for name in guide.see_also
        )
        yield _("Not among them? It may be one of these: {names}").format(names=names)
        yield ""
    yield "## " + _("3. Keep what is there, then repair")
    yield ""
    yield _(
        "Before anything is restarted, keep what it shows; and never restart the last member that serves:"
    )
    yield ""
    yield from _code((f"samaops troubleshoot {guide.id} --bundle FILE",))
    for fix in guide.fixes:
        yield from _printed_fix(fix)
    yield "## " + _("4. See that it is over, and write it down")
    yield ""
    yield from _code(("samaops diagnose --wait 60", "samaops history list"))


def _wide(text: str) -> str:
    """Return a whole paragraph, which is never cut."""
    return " ".join(map(escape.markdown, text.split()))


def _printed_fix(fix: GuideFix) -> Iterator[str]:
    yield f"### {escape.markdown(fix.id)}: {escape.markdown(fix.title)} ({words.risk(Risk(fix.risk))})"
    yield ""
    yield from _code((fix.command, *fix.by_hand))
    if fix.text:
        yield "```"
        yield from (escape.plain(line) if line.strip() else "" for line in fix.text.splitlines())
        yield "```"
        yield ""


def _code(commands: Iterable[str], indent: int = 0) -> Iterator[str]:
    for command in commands:
        yield from (f"{' ' * indent}{line}" for line in escape.markdown_code(command).splitlines())
        yield ""


def _fix(fix: GuideFix) -> Iterator[RenderableType]:
    body = Text(escape.plain(fix.title)).append(f"  ({words.risk(Risk(fix.risk))})", "dim")
    yield Hanging(Text(escape.plain(fix.id) + _(": "), "bold"), body, indent=2)
    yield CommandLine(escape.command(fix.command), indent=5)
    for command in fix.by_hand:
        yield CommandLine(escape.command(command), prefix=_("by hand: "), indent=5)
    for line in fix.text.splitlines():
        yield Text(f"     | {escape.plain(line)}", "dim")


def hop_lines(hops: Iterable[Finding], symbols: Symbols) -> Group:
    """Return the hops of a diagnosis in their order: how each is, its count, and what it is made of."""
    return Group(*(_hop(number, hop, symbols) for number, hop in enumerate(hops, start=1)))


def _hop(number: int, hop: Finding, symbols: Symbols) -> RenderableType:
    count = _count(hop, symbols)
    body = Text(escape.plain(hop.title), "bold")
    if hop.detail:
        body.append(f"  {escape.plain(hop.detail)}", "dim")
    return Hanging(Text(f"{number}. {symbols.status[hop.status]} {count:>6}  ", STYLES[hop.status]), body)


def _count(hop: Finding, symbols: Symbols) -> str:
    """Return the count of a hop: ``?`` where it could not be read, a dash where there is nothing to count."""
    if hop.value is not None:
        return words.number(float(hop.value))
    return symbols.dash if hop.status in (Status.OK, Status.SKIPPED) else "?"
