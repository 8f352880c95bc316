"""The report of a month: all that is known of it gathered into one struct, and the page that is made of that."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any, TypeVar

from samaops.errors import SamaopsError, UnavailableError
from samaops.facts.availability import CRITICAL, MET, MISSED, Availability, Period
from samaops.facts.backup_run import Run as BackupRun
from samaops.facts.backup_run import Survey
from samaops.facts.month import (
    AVAILABILITY,
    BACKUPS,
    CAPACITY,
    CHANGES,
    KPIS,
    RUNS,
    SERVERS,
    MonthlyReport,
)
from samaops.facts.sample import WHOLE as SERVICE
from samaops.i18n import N_, _, joined, ngettext, number
from samaops.model.page import Page, Section
from samaops.model.status import Status
from samaops.site import redaction
from samaops.site.commands import typed
from samaops.site.site import Site
from samaops.workflows import backup
from samaops.workflows.maintenance.monthly import MONTHLY
from samaops.workflows.reports import (
    availability,
    capacity,
    incidents,
    kpi,
    planned,
    remembered,
)
from samaops.workflows.reports import period as periods
from samaops.workflows.reports import seen as seen_of
from samaops.workflows.reports.parts import (
    events,
    filling,
    hosts,
    jobs,
    objectives,
    saved,
    service,
    words,
    work,
)
from samaops.workflows.reports.seen import Seen

SCHEMA = "samaops/monthly/1"
PartT = TypeVar("PartT")
_MONTHS = (
    N_("January"), N_("February"), N_("March"), N_("April"), N_("May"), N_("June"), N_("July"), N_("August"),
    N_("September"), N_("October"), N_("November"), N_("December"),
)  # fmt: skip
# The run of the 1st looks at the month before; it may be some days late, or be made by hand.
_LATE = timedelta(days=4)
# Who could log in is compared with the run of the month before.
_EARLIER = timedelta(days=45)


def report(site: Site, month: str = "", now: datetime | None = None) -> Page:
    """Return the report of a month such as ``2026-10``; of the last whole one where it is empty. Raises UsageError."""
    gathered = gather(site, periods.of_month(site, month, now), now)
    page: Page = redaction.redacted(compose(site, gathered), site)
    return page


def gather(site: Site, month: Period, now: datetime | None = None) -> MonthlyReport:
    """Read all that is known of a month; what cannot be read is named with its reason, and the rest is told."""
    missing: dict[str, str] = {}

    def read(part: str, look: Callable[[], PartT]) -> PartT | None:
        try:
            return look()
        except SamaopsError as error:
            missing[part] = error.message
            return None

    times, unknown = planned.read(site, month)
    samples = read(AVAILABILITY, lambda: _samples(site, month))
    if samples is None:
        missing |= dict.fromkeys((KPIS, CAPACITY), missing[AVAILABILITY])
    seen = availability.of_seen(samples, site, month, times) if samples else ()
    vip = next((each for each in seen if each.subject == SERVICE), None)
    changes = read(CHANGES, lambda: remembered.changes(site, month)) or ()
    known = read(RUNS, lambda: remembered.routines(site, month.since, month.until + _LATE)) or ()
    survey = read(BACKUPS, lambda: _backups(site))
    in_month = tuple(run for run in known if run.at < month.until)
    return MonthlyReport(
        month,
        now or datetime.now(timezone.utc),
        availability=seen,
        budget=availability.budget(vip) if vip is not None and vip.coverage else None,
        kpis=kpi.of_seen(samples, site, month, times) if samples else (),
        incidents=incidents.of(seen, changes, in_month),
        changes=changes,
        runs=read(RUNS, lambda: remembered.runs(site, month)) or (),
        routines=in_month,
        backups=_within(survey, month),
        drilled=_drilled(survey, month),
        capacity=capacity.of_seen(samples.on_days(month)) if samples else (),
        growth=read(CAPACITY, lambda: capacity.growth(site, month)) or (),
        servers=next((run for run in reversed(known) if run.command == MONTHLY.command), None),
        access=read(SERVERS, lambda: remembered.access(site, month.since - _EARLIER, month.until + _LATE)),
        missing=missing,
        planned_unknown=unknown,
    )


def _samples(site: Site, month: Period) -> Seen:
    """Read the samples of the months of the trend: a month has a million, so they are read once for all that needs them."""
    return seen_of.read(site, periods.before(site, month, kpi.MONTHS)[0].since, month.until)


def _backups(site: Site) -> Survey | None:
    if site.settings.backup is None:
        raise UnavailableError(_("[backup] is not configured"))
    return backup.surveyed(site)


def _within(survey: Survey | None, month: Period) -> tuple[BackupRun, ...]:
    """Return the backups that were begun in a month, newest first: those that were removed since are gone."""
    if survey is None:
        return ()
    return tuple(run for run in survey.runs if month.since <= _moment(run.started_at) < month.until)


def _drilled(survey: Survey | None, month: Period) -> BackupRun | None:
    """Return the backup that was restored last for a trial, up to the end of a month's own maintenance."""
    tried = [
        run
        for run in (survey.runs if survey else ())
        if run.grades.restored is not None and _moment(run.grades.restored.at) < month.until + _LATE
    ]
    return max(tried, key=lambda run: run.grades.restored.at if run.grades.restored else "", default=None)


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return datetime.fromtimestamp(0, timezone.utc)
    return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)


def compose(site: Site, of: MonthlyReport) -> Page:
    """Return the page of what was gathered. Pure."""
    sections = tuple(_sections(site, of))
    month = of.period
    return Page(
        SCHEMA,
        site.name,
        title_of(month),
        _period_words(site, month),
        month.since,
        month.until,
        of.made_at,
        _answer(of),
        sections,
        _status(of, sections),
        notes=tuple(_notes(of)),
        commands=(typed(site, f"report monthly --month {month.label} -o html"),),
        figures=_figures(of),
        is_whole=not of.missing,
    )


def _sections(site: Site, of: MonthlyReport) -> Iterator[Section]:
    """Yield the parts in the order in which they are read."""
    yield objectives.objectives(site, of)
    yield service.availability(site, of)
    yield events.incidents(site, of)
    yield events.changes(site, of)
    yield jobs.maintenance(site, of)
    yield saved.backups(site, of)
    yield filling.capacity(site, of)
    yield hosts.servers(site, of)
    yield work.following(site, of)


def title_of(month: Period) -> str:
    """Return the title of a month's report: ``Report of October 2026``."""
    year, _dash, number_ = month.label.partition("-")
    name = _(_MONTHS[int(number_) - 1])
    return _("Report of {month} {year}").format(month=name, year=year)


def _period_words(site: Site, month: Period) -> str:
    zone = site.settings.schedule.timezone
    text = _("{since} to {until} ({zone})")
    return text.format(since=words.clock(site, month.since), until=words.clock(site, month.until), zone=zone)


def _service(of: MonthlyReport) -> Availability | None:
    return next((each for each in of.availability if each.subject == SERVICE), None)


def _answer(of: MonthlyReport) -> str:
    """Say the month in one sentence: was the service there, which objectives were missed, what happened."""
    vip, budget = _service(of), of.budget
    sentences = []
    if vip is None or not vip.coverage or budget is None:
        sentences.append(_("The availability of the service was not observed"))
    else:
        text = _("Available {bounds} (target {target} %, observed for {coverage} of the time)")
        sentences.append(
            text.format(
                bounds=words.bounds(vip.outside_planned),
                target=number(f"{budget.target:g}"),
                coverage=words.percent(vip.coverage),
            )
        )
    known = [each for each in of.kpis if each.status in (MET, MISSED, CRITICAL)]
    if known:
        met = sum(each.status == MET for each in known)
        text = ngettext("{met} of {count} objectives is met", "{met} of {count} objectives are met", met)
        if len(known) < len(of.kpis):
            text = ngettext(
                "{met} of {count} objectives is met, {unseen} not known",
                "{met} of {count} objectives are met, {unseen} not known",
                met,
            )
        sentences.append(text.format(met=met, count=len(known), unseen=len(of.kpis) - len(known)))
    else:
        sentences.append(_("no objective was observed"))
    sentences.append(events.counted_incidents(of))
    lost = jobs.lost_runs(of)
    if lost:
        sentences.append(jobs.counted_lost(lost))
    return joined(sentences)


def _status(of: MonthlyReport, sections: Sequence[Section]) -> Status:
    judged = {section.id: section.status for section in sections}
    if judged.get("objectives") == Status.CRITICAL.value:
        return Status.CRITICAL
    for status in (Status.CRITICAL, Status.WARNING):
        if status.value in judged.values():
            return Status.WARNING
    return (
        Status.UNKNOWN
        if of.missing or of.planned_unknown or judged.get("objectives") == Status.UNKNOWN.value
        else Status.OK
    )


def _notes(of: MonthlyReport) -> Iterator[str]:
    if not of.period.is_whole:
        yield _("This month is not over: all figures are up to the moment at which this was made")
    for part, reason in of.missing.items():
        text = _("Not observed: {part}: {reason}")
        yield text.format(part=words.name_of(part), reason=reason)
    if of.planned_unknown:
        yield availability.planned_unknown(of.planned_unknown)


def _figures(of: MonthlyReport) -> Mapping[str, Any]:
    vip = _service(of)
    return {
        "month": of.period.label,
        "is_month_over": of.period.is_whole,
        "minutes": of.period.minutes,
        "available_at_least": vip.outside_planned.lower if vip else None,
        "available_at_most": vip.outside_planned.upper if vip else None,
        "coverage": vip.coverage if vip else None,
        "objectives_met": sum(each.status == MET for each in of.kpis),
        "objectives_observed": sum(each.status in (MET, MISSED, CRITICAL) for each in of.kpis),
        "objectives": len(of.kpis),
        "incidents": len(of.incidents) if AVAILABILITY not in of.missing and vip else None,
        "changes": None if CHANGES in of.missing else len(of.changes),
        "runs_missed_or_failed": None if RUNS in of.missing else len(jobs.lost_runs(of)),
        "missing": dict(of.missing),
    }
