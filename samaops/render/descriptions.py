"""Descriptions of checks: one in full for ``explain``, all in a table for ``--list-checks``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from samaops.i18n import _
from samaops.model.description import CheckDescription
from samaops.render import escape, words
from samaops.render.layout import CommandLine, Hanging

EXPLANATION_SCHEMA = "samaops/explanation/1"
CHECKS_SCHEMA = "samaops/checks/1"


def page(check: CheckDescription) -> Group:
    """Return one check in full, for a screen."""
    return Group(*_page(check))


def _page(check: CheckDescription) -> Iterator[RenderableType]:
    yield Hanging(Text(""), Text(check.title, "bold"))
    limits = _limits(check)
    yield Text(check.code + (f"  ({limits})" if limits else ""), "dim")
    yield from _paragraph(_("What it means"), check.meaning)
    if check.confirm:
        yield Text("")
        yield Text(_("Confirm it by hand (reads only)"), "bold")
        yield from (CommandLine(escape.command(command), indent=2) for command in check.confirm)
    yield from _paragraph(_("The least risky fix"), check.fix)
    if check.avoid:
        yield from _paragraph(_("What not to do"), check.avoid)


def _paragraph(heading: str, text: str) -> Iterator[RenderableType]:
    yield Text("")
    yield Text(heading, "bold")
    yield Hanging(Text(""), Text(text), indent=2)


def _limits(check: CheckDescription) -> str:
    unit = f" {check.unit}" if check.unit else ""
    named = ((_("warning"), check.warning), (_("critical"), check.critical))
    return ", ".join(f"{name} {words.number(limit)}{unit}" for name, limit in named if limit is not None)


def table(checks: Sequence[CheckDescription]) -> Group:
    """Return all checks, for a screen: by system, code and limits, then the title."""
    lines: list[RenderableType] = []
    system = ""
    for check in checks:
        if check.system != system:
            lines += [Text("")] if system else []
            lines.append(Text(check.system, "bold"))
            system = check.system
        limits = _limits(check)
        lines.append(Hanging(Text(f"  {check.code}  "), Text(f"({limits})" if limits else "", "dim")))
        lines.append(Hanging(Text(""), Text(check.title, "dim"), indent=6))
    return Group(*lines)


def explanation_document(check: CheckDescription) -> dict[str, Any]:
    """Return one check in full, as plain values."""
    return {
        "schema": EXPLANATION_SCHEMA,
        **_summary(check),
        "meaning": check.meaning,
        "confirm": list(check.confirm),
        "fix": check.fix,
        "avoid": check.avoid,
    }


def checks_document(checks: Sequence[CheckDescription]) -> dict[str, Any]:
    """Return all checks with their limits, as plain values."""
    return {"schema": CHECKS_SCHEMA, "checks": [_summary(check) for check in checks]}


def _summary(check: CheckDescription) -> dict[str, Any]:
    return {
        "code": check.code,
        "title": check.title,
        "system": check.system,
        "warning": check.warning,
        "critical": check.critical,
        "unit": check.unit,
    }


def markdown_page(check: CheckDescription) -> str:
    """Return one check in full, as Markdown."""
    limits = _limits(check)
    lines = [f"# {escape.markdown(check.title)}", "", f"`{check.code}`" + (f" ({limits})" if limits else "")]
    lines += ["", "## " + _("What it means"), "", escape.markdown(check.meaning)]
    if check.confirm:
        lines += ["", "## " + _("Confirm it by hand (reads only)"), ""]
        lines += [escape.markdown_code(command) for command in check.confirm]
    lines += ["", "## " + _("The least risky fix"), "", escape.markdown(check.fix)]
    if check.avoid:
        lines += ["", "## " + _("What not to do"), "", escape.markdown(check.avoid)]
    return "\n".join(lines) + "\n"
