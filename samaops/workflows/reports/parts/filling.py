"""What grows, and when it is full."""

from __future__ import annotations

from typing import Any

from msgspec import to_builtins

from samaops.facts import month as names
from samaops.facts.availability import (
    Capacity,
    Growth,
)
from samaops.facts.month import MonthlyReport
from samaops.i18n import _, number
from samaops.model.page import Chart, Point, Section
from samaops.model.quantities import size
from samaops.model.table import Column
from samaops.site import disk_owners
from samaops.site.commands import typed
from samaops.site.site import Site
from samaops.workflows.reports import capacity as measured
from samaops.workflows.reports.parts.words import MOST_ROWS, OK, UNKNOWN, WARNING, iso, listed, unread

Row = dict[str, Any]
_MOST_GROWN = 12


def capacity(site: Site, of: MonthlyReport) -> Section:
    rows = [_full(each) for each in of.capacity[:MOST_ROWS]]
    columns = (
        Column("shown_subject", _("what")),
        Column("shown_now", _("now"), True),
        Column("shown_limit", _("limit"), True),
        Column("shown_growth", _("a day"), True),
        Column("shown_full", _("full on")),
        Column("reason", _("why there is no date")),
    )
    is_seen = names.CAPACITY not in of.missing and bool(of.capacity or of.growth)
    dated = [each for each in of.capacity if each.full_on is not None]
    grown = sorted(
        (each for each in of.growth if each.grown_bytes), key=lambda each: -(each.grown_bytes or 0)
    )[:_MOST_GROWN]
    if names.CAPACITY in of.missing:
        answer = unread(of, names.CAPACITY)
    elif not is_seen:
        answer = _("Not observed: no day of growth was kept")
    elif dated:
        first = dated[0]
        answer = _("First full: {what}, on {day}").format(what=place(first), day=band(first))
    else:
        answer = _("For nothing a date can be told")
    points = tuple(
        Point(
            f"{disk_owners.word(each.owner) or each.owner} ({each.server})",
            float(each.grown_bytes or 0),
            _signed(each.grown_bytes or 0),
            OK if (each.grown_bytes or 0) < 0 else "",
        )
        for each in grown
    )
    charts = (Chart("bars", _("Who grew most"), points),) if points else ()
    table = listed(
        "capacity",
        columns,
        rows,
        answer,
        commands=tuple(
            typed(site, words) for words in (f"report capacity --month {of.period.label}", "disk grew")
        ),
        figures={"growth": [_grown(each) for each in of.growth]},
    )
    soon = [each for each in dated if measured.is_soon(each, of.period)]
    status = UNKNOWN if not is_seen else WARNING if soon else OK
    return Section("capacity", _("Growth"), table, charts, status, is_seen)


def place(each: Capacity) -> str:
    return (
        f"{each.server}: {each.subject}" if each.server and each.server not in each.subject else each.subject
    )


def band(each: Capacity) -> str:
    if each.full_on is None:
        return ""
    if each.earliest is None or each.earliest == each.latest == each.full_on:
        return each.full_on.isoformat()
    text = (
        _("{day} (from {earliest} to {latest})")
        if each.latest
        else _("{day} (from {earliest}, perhaps never)")
    )
    return text.format(day=each.full_on, earliest=each.earliest, latest=each.latest)


def _signed(count: float) -> str:
    return ("+" if count > 0 else "") + size(count)


_BYTES = ("B", "bytes", "byte")


def _of_unit(value: float | None, unit: str, *, is_signed: bool = False) -> str | None:
    if value is None:
        return None
    if unit in _BYTES:
        return _signed(value) if is_signed else size(value)
    text = number(f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}")
    return ("+" if is_signed and value > 0 else "") + text + (f" {unit}" if unit else "")


def _full(each: Capacity) -> Row:
    is_seen = each.points > 0
    return {
        **to_builtins(each),
        "now": each.now if is_seen else None,
        "level": None,
        "reason": each.reason or None,
        "shown_subject": place(each),
        "shown_now": _of_unit(each.now, each.unit) if is_seen else _("not observed"),
        "shown_limit": _of_unit(each.limit, each.unit),
        "shown_growth": _of_unit(each.growth_per_day, each.unit, is_signed=True),
        "shown_full": band(each) or None,
    }


def _grown(each: Growth) -> Row:
    return {**to_builtins(each), "since": iso(each.since)}
