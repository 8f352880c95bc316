"""A page: lists of several kinds under one answer, with what is drawn of them. Every face of it shows the same figures."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from msgspec import Struct, to_builtins

from samaops.model.status import Status
from samaops.model.table import Table


class Point(Struct, frozen=True):
    """One value of a chart: what it is of, the value, and how that is written; None where nothing was observed.

    ``level`` is how it is judged, "" where it is not.
    """

    label: str
    value: float | None
    text: str
    level: str = ""


class Limit(Struct, frozen=True):
    """A line that a chart has for comparison: the target, or where it becomes critical."""

    label: str
    value: float
    text: str


class Chart(Struct, frozen=True):
    """What is drawn: ``line`` (with its limits), ``bars``, or ``days`` (a strip of them). ``title`` says what is drawn, with its unit."""

    form: str
    title: str
    points: tuple[Point, ...]
    limits: tuple[Limit, ...] = ()


class Section(Struct, frozen=True):
    """A part of a page: a list, the name that programs know it by, and what is drawn above it.

    ``is_seen``: something was observed. Its ``status`` is that of the worst in it, "" where it is not judged.
    """

    id: str
    title: str
    table: Table
    charts: tuple[Chart, ...] = ()
    status: str = ""
    is_seen: bool = True


class Page(Struct, frozen=True):
    """All of it. ``schema`` names it for programs; moments are in UTC.

    ``answer`` is all of it in one sentence; ``notes`` say what was not observed and why; ``figures`` are numbers about all of it.
    """

    schema: str
    site: str
    title: str
    period: str
    since: datetime
    until: datetime
    made_at: datetime
    answer: str
    sections: tuple[Section, ...]
    status: Status = Status.OK
    notes: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()
    figures: Mapping[str, Any] = {}
    is_whole: bool = True


def document(page: Page) -> dict[str, Any]:
    """Return a page as plain values, for JSON: its parts by their names."""
    return {
        "schema": page.schema,
        "site": page.site,
        "title": page.title,
        "period": page.period,
        "since": page.since.isoformat(timespec="seconds"),
        "until": page.until.isoformat(timespec="seconds"),
        "made_at": page.made_at.isoformat(timespec="seconds"),
        "answer": page.answer,
        "status": page.status.value,
        "is_whole": page.is_whole,
        "figures": dict(page.figures),
        "notes": list(page.notes),
        "commands": list(page.commands),
        "sections": {section.id: _section(section) for section in page.sections},
    }


def _section(section: Section) -> dict[str, Any]:
    table = section.table
    return {
        "title": section.title,
        "status": section.status or None,
        "is_seen": section.is_seen,
        "answer": table.answer,
        "columns": [{"key": column.key, "heading": column.heading} for column in table.columns],
        "rows": [dict(row) for row in table.rows],
        "notes": list(table.notes),
        "commands": list(table.commands),
        "figures": dict(table.figures),
        "charts": to_builtins(section.charts),
    }
