"""A page for a screen, and as Markdown for a ticket."""

from __future__ import annotations

from collections.abc import Iterator
from io import StringIO

from rich.console import Console, Group, RenderableType
from rich.text import Text

from samaops.i18n import _
from samaops.model.page import Chart, Page, Section
from samaops.render import escape
from samaops.render import table as table_face
from samaops.render.layout import CommandLine, Hanging

# What a value of a drawing becomes where there is only text: by its place between the lowest and the highest.
_STEPS = "▁▂▃▄▅▆▇█"
_LEVELS = {"ok": "█", "warning": "▅", "critical": "▂", "unknown": "·", "": "█"}
_BAR = 24
_MAIL_WIDTH, _LONGEST_LABEL = 78, 36


def screen(page: Page) -> Group:
    """Return a page for a screen: its answer first, then its parts, one under the other."""
    lines: list[RenderableType] = [Hanging(Text(""), Text(escape.plain(page.answer), "bold"))]
    head = f"{page.title}, {page.period}" if page.period else page.title
    lines.append(Hanging(Text(""), Text(escape.plain(head), "dim")))
    lines += [Hanging(Text(""), Text(escape.plain(note), "dim")) for note in page.notes]
    for section in page.sections:
        lines += [Text(""), Text(escape.plain(section.title), "bold underline")]
        lines += [Hanging(Text(""), Text(line), indent=2) for line in _drawn(section)]
        lines.append(table_face.screen(section.table))
    lines += [Text("")] if page.commands else []
    lines += [CommandLine(escape.command(command), indent=2) for command in page.commands]
    return Group(*lines)


def mail(page: Page) -> str:
    """Return a page as plain text of 78 columns, for mail."""
    written = StringIO()
    console = Console(file=written, width=_MAIL_WIDTH, color_system=None, force_terminal=False)
    console.print(screen(page))
    return "\n".join(line.rstrip() for line in written.getvalue().splitlines()) + "\n"


def markdown(page: Page) -> str:
    """Return a page as Markdown."""
    return "\n".join(_markdown(page)).rstrip("\n") + "\n"


def _markdown(page: Page) -> Iterator[str]:
    yield f"# {escape.markdown(page.title)}"
    yield ""
    yield f"**{escape.markdown(page.answer)}**"
    yield ""
    if page.period:
        yield escape.markdown(f"{page.site}, {page.period}")
        yield ""
    for note in page.notes:
        yield f"- {escape.markdown(note)}"
    for section in page.sections:
        yield ""
        yield f"## {escape.markdown(section.title)}"
        yield ""
        for line in _drawn(section):
            yield escape.markdown(line)
            yield ""
        yield table_face.markdown(section.table).rstrip("\n")
    for command in page.commands:
        yield ""
        yield escape.markdown_hint(command)


def _drawn(section: Section) -> Iterator[str]:
    for chart in section.charts:
        yield from drawn(chart)


def drawn(chart: Chart) -> Iterator[str]:
    """Yield a drawing in characters, as mail has it: a line as its ups and downs, bars as bars, days as a strip."""
    if chart.form == "bars":
        yield chart.title
        longest = max((abs(point.value or 0.0) for point in chart.points), default=0.0) or 1.0
        labels = [escape.plain(point.label, _LONGEST_LABEL) for point in chart.points]
        wide = max(map(len, labels), default=0)
        for label, point in zip(labels, chart.points, strict=True):
            length = round(_BAR * abs(point.value or 0.0) / longest)
            yield f"{label:<{wide}}  {'█' * length or '·'} {escape.plain(point.text)}"
        return
    if chart.form == "days":
        yield chart.title
        yield "".join(_LEVELS.get(point.level, "█") for point in chart.points)
        return
    known = [point.value for point in chart.points if point.value is not None]
    if not known:
        yield _("{title}: not observed").format(title=chart.title)
        return
    low, high = min(known), max(known)
    strip = "".join(
        "·"
        if point.value is None
        else _STEPS[round((len(_STEPS) - 1) * (point.value - low) / (high - low)) if high > low else 3]
        for point in chart.points
    )
    first = next(point for point in chart.points if point.value == low)
    last = next(point for point in chart.points if point.value == high)
    text = _("{title}: {strip} from {low} to {high}") if high > low else _("{title}: {strip} {low}")
    yield text.format(title=chart.title, strip=strip, low=first.text, high=last.text)
