"""The guide's objectives against what was measured, with the six months."""

from __future__ import annotations

from typing import Any

from msgspec import to_builtins

from samaops.facts import month as names
from samaops.facts.availability import (
    AVAILABILITY,
    CRITICAL,
    MET,
    MISSED,
    Kpi,
    MonthValue,
)
from samaops.facts.month import MonthlyReport
from samaops.i18n import _, joined, ngettext, number
from samaops.model.page import Chart, Limit, Point, Section
from samaops.model.table import Column
from samaops.site.commands import typed
from samaops.site.site import Site
from samaops.workflows.reports import kpi as measured
from samaops.workflows.reports.parts.words import BAD, OK, UNKNOWN, WARNING, listed, percent, unread, worst

Row = dict[str, Any]
_LEVELS = {MET: OK, MISSED: WARNING, CRITICAL: BAD}


def objectives(site: Site, of: MonthlyReport) -> Section:
    month = of.period.label
    rows = [_objective(each) for each in of.kpis]
    columns = (
        Column("title", _("objective")),
        Column("shown", _("measured"), True),
        Column("shown_target", _("target"), True),
        Column("shown_critical", _("critical"), True),
        Column("shown_status", _("result")),
        Column("shown_coverage", _("observed"), True),
    )
    commands = dict.fromkeys(each.command for each in of.kpis if each.command)
    answer = _kpi_answer(of) if of.kpis else _("No objective was observed")
    if names.KPIS in of.missing:
        answer = unread(of, names.KPIS)
    notes = [
        _("{what}: {words}").format(what=row["title"], words=row["basis"]) for row in rows if row["basis"]
    ]
    again = tuple(commands) or (typed(site, f"report kpi --month {month}"),)
    table = listed("objectives", columns, rows, answer, notes=notes, commands=again)
    charts = tuple(_trend(each) for each in of.kpis if any(m.value is not None for m in each.trend))
    status = worst(_LEVELS.get(each.status, UNKNOWN) for each in of.kpis) or UNKNOWN
    return Section("objectives", _("Objectives"), table, charts, status, bool(of.kpis))


def _objective(kpi: Kpi) -> Row:
    sign = measured.signs(kpi)
    return {
        "id": kpi.id,
        "title": kpi.title,
        "value": kpi.value,
        "value_at_least": kpi.value_at_least,
        "value_at_most": kpi.value_at_most,
        "target": kpi.target,
        "critical": kpi.critical,
        "unit": kpi.unit,
        "is_least": kpi.is_least,
        "status": kpi.status,
        "coverage": kpi.coverage,
        "reason": kpi.reason or None,
        "basis": joined(each for each in (kpi.basis, kpi.reason if kpi.value is None else "") if each)
        or None,
        "trend": to_builtins(kpi.trend),
        "command": kpi.command or None,
        "level": _LEVELS.get(kpi.status, UNKNOWN),
        "shown": kpi_value(kpi),
        "shown_target": f"{sign[0]} {amount(kpi.target, kpi.unit)}",
        "shown_critical": f"{sign[1]} {amount(kpi.critical, kpi.unit)}",
        "shown_status": _(measured.WORDS.get(kpi.status, kpi.status)),
        "shown_coverage": percent(kpi.coverage),
    }


def kpi_value(kpi: Kpi) -> str:
    low, high = kpi.value_at_least, kpi.value_at_most
    if low is not None and high is not None and low != high:
        first, last = amount(low, kpi.unit), amount(high, kpi.unit)
        if first != last:
            return _("{low} to {high}").format(low=first, high=last)
    return _("not observed") if kpi.value is None else amount(kpi.value, kpi.unit)


def amount(value: float, unit: str) -> str:
    """Return a value of an objective, with as many digits as tell it from its limits."""
    if unit == "%":
        return percent(value)
    text = f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.1f}"
    return number(text) + (f" {unit}" if unit else "")


def _trend(kpi: Kpi) -> Chart:
    levels = [_level_of(kpi, each) for each in kpi.trend]
    levels[-1:] = [_LEVELS.get(kpi.status, UNKNOWN)]
    points = tuple(
        Point(each.month, each.value, _point_words(kpi, each, level), level)
        for each, level in zip(kpi.trend, levels, strict=True)
    )
    limits = (
        Limit(_("target"), kpi.target, amount(kpi.target, kpi.unit)),
        Limit(_("critical"), kpi.critical, amount(kpi.critical, kpi.unit)),
    )
    return Chart("line", kpi.title, points, limits)


def _point_words(kpi: Kpi, month: MonthValue, level: str) -> str:
    """Say a month's value; of one that decides nothing, of how little of the time it is."""
    if month.value is None:
        return _("not observed")
    shown = amount(month.value, kpi.unit)
    if level != UNKNOWN:
        return shown
    return _("{value} of the {coverage} observed").format(value=shown, coverage=percent(month.coverage))


def _level_of(kpi: Kpi, month: MonthValue) -> str:
    if month.value is None:
        return UNKNOWN
    least = most = month.value
    if kpi.id == AVAILABILITY:
        least = month.value * month.coverage / 100
        most = least + 100 - month.coverage
    return _LEVELS.get(measured.judged(kpi, least, most), UNKNOWN)


def _kpi_answer(of: MonthlyReport) -> str:
    missed = [each.title for each in of.kpis if each.status in (MISSED, CRITICAL)]
    unseen = [each.title for each in of.kpis if each.status not in (MET, MISSED, CRITICAL)]
    met = len(of.kpis) - len(missed) - len(unseen)
    words = [ngettext("{count} objective met", "{count} objectives met", met).format(count=met)]
    if missed:
        words.append(_("missed: {names}").format(names=", ".join(missed)))
    if unseen:
        words.append(_("not known: {names}").format(names=", ".join(unseen)))
    return joined(words)
