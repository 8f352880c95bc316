"""The backups: how far each is proved, and how long it takes to be back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

from msgspec import to_builtins

from samaops.facts import month as names
from samaops.facts.backup_run import WHOLE
from samaops.facts.backup_run import Run as BackupRun
from samaops.facts.month import MonthlyReport
from samaops.i18n import _, joined, ngettext
from samaops.model.page import Chart, Point, Section
from samaops.model.quantities import duration, size
from samaops.model.table import Column
from samaops.site.commands import typed
from samaops.site.site import Site
from samaops.workflows.reports.parts.events import cut
from samaops.workflows.reports.parts.words import BAD, MOST_ROWS, OK, UNKNOWN, WARNING, clock, listed, unread

Row = dict[str, Any]
_NEWEST_BACKUPS = 7


def backups(site: Site, of: MonthlyReport) -> Section:
    shown = _told_backups(of)
    rows = [_backup(site, each) for each in shown]
    columns = (
        Column("id", _("backup"), is_copied=True),
        Column("when", _("when"), is_copied=True),
        Column("shown_size", _("size"), True),
        Column("shown_state", _("state")),
        Column("shown_grade", _("proved")),
        Column("shown_restore", _("time to recover"), True),
    )
    is_seen = names.BACKUPS not in of.missing
    whole = [each for each in of.backups if each.state == WHOLE]
    answer = _backup_words(site, of, whole) if is_seen else unread(of, names.BACKUPS)
    points = tuple(
        Point(clock(site, _at(each)), float(each.bytes), size(each.bytes))
        for each in reversed(whole)
        if each.bytes is not None
    )
    charts = (Chart("line", _("Size of the backups"), points),) if len(points) > 2 else ()
    table = listed(
        "backups",
        columns,
        rows,
        answer,
        notes=cut(len(of.backups), len(shown)),
        commands=(typed(site, "backup list"),),
        figures=_drill_figures(of),
    )
    grade = of.drilled.grades.restored if of.drilled else None
    status = (
        UNKNOWN
        if not is_seen
        else BAD
        if not whole or (grade is not None and not grade.is_good)
        else WARNING
        if grade is None or at_of(grade.at) < of.period.since
        else OK
    )
    return Section("backups", _("Backups"), table, charts, status, is_seen)


def _told_backups(of: MonthlyReport) -> tuple[BackupRun, ...]:
    """Return the newest backups, those that are no good, and that which was restored for a trial."""
    newest = of.backups[:_NEWEST_BACKUPS]
    tried = of.drilled.id if of.drilled else ""
    others = [each for each in of.backups[_NEWEST_BACKUPS:] if not _is_good(each) or each.id == tried]
    return (*newest, *others[: MOST_ROWS - _NEWEST_BACKUPS])


def _is_good(run: BackupRun) -> bool:
    grades = (run.grades.stored, run.grades.readable, run.grades.restored)
    return run.state == WHOLE and all(grade is None or grade.is_good for grade in grades)


def _at(run: BackupRun) -> datetime:
    return at_of(run.started_at)


def at_of(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)


def _drill_figures(of: MonthlyReport) -> Mapping[str, Any]:
    grade = of.drilled.grades.restored if of.drilled else None
    return {
        "drilled": of.drilled.id if of.drilled else None,
        "drilled_at": grade.at if grade else None,
        "is_drill_good": grade.is_good if grade else None,
        "seconds_to_recover": grade.seconds if grade else None,
    }


def _backup_words(site: Site, of: MonthlyReport, whole: Sequence[BackupRun]) -> str:
    count, failed = len(whole), len(of.backups) - len(whole)
    words = [ngettext("{count} whole backup", "{count} whole backups", count).format(count=count)]
    if failed:
        words.append(ngettext("{count} not whole", "{count} not whole", failed).format(count=failed))
    grade = of.drilled.grades.restored if of.drilled else None
    if grade is None:
        words.append(_("none was ever restored for a trial"))
    elif not grade.is_good:
        words.append(_("the last trial failed: {reason}").format(reason=grade.reason))
    elif grade.seconds is None:
        words.append(_("last restored for a trial: {moment}").format(moment=clock(site, at_of(grade.at))))
    else:
        text = _("last restored for a trial: {moment}, in {time}")
        words.append(text.format(moment=clock(site, at_of(grade.at)), time=duration(grade.seconds)))
    return joined(words)


def _backup(site: Site, each: BackupRun) -> Row:
    grades = each.grades
    name, grade = next(
        (
            (name, grade)
            for name, grade in (
                (_("restored"), grades.restored),
                (_("read"), grades.readable),
                (_("stored"), grades.stored),
            )
            if grade is not None
        ),
        (_("no"), None),
    )
    is_good = grade is None or grade.is_good
    seconds = grades.restored.seconds if grades.restored else None
    is_whole = each.state == WHOLE
    return {
        "id": each.id,
        "when": clock(site, _at(each)),
        "started_at": each.started_at,
        "engine": each.engine,
        "state": each.state,
        "reason": each.reason or None,
        "bytes": each.bytes,
        "grades": to_builtins(grades),
        "seconds_to_recover": seconds,
        "level": OK if _is_good(each) else BAD,
        "shown_size": None if each.bytes is None else size(each.bytes),
        "shown_state": each.state
        if is_whole or not each.reason
        else _("{what}: {words}").format(what=each.state, words=each.reason),
        "shown_grade": name if is_good else _("{grade}: bad").format(grade=name),
        "shown_restore": None if seconds is None else duration(seconds),
    }
