"""What ran by itself, and what did not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from msgspec import to_builtins

from samaops.checks.schedule import STATE_WORDS
from samaops.facts import month as names
from samaops.facts.month import MonthlyReport
from samaops.facts.schedule import BEGUN, DONE, NEVER_BEGUN, OPEN, Run
from samaops.facts.schedule import MISSED as RUN_MISSED
from samaops.i18n import _, joined, ngettext
from samaops.journal.ledger import KEPT_OFTEN_DAYS
from samaops.model.page import Section
from samaops.model.quantities import duration
from samaops.model.status import Status
from samaops.model.table import Column
from samaops.site import jobs as planned_jobs
from samaops.site.commands import typed
from samaops.site.site import Site
from samaops.workflows.reports.parts.events import cut
from samaops.workflows.reports.parts.words import BAD, OK, UNKNOWN, WARNING, clock, listed, unread

Row = dict[str, Any]
_MOST_LOST = 40


def lost_runs(of: MonthlyReport) -> tuple[Run, ...]:
    """Return the runs that failed, or were never begun though they were planned."""
    return tuple(
        run for run in of.runs if run.state in NEVER_BEGUN or (run.state in BEGUN and run.state not in DONE)
    )


def counted_lost(lost: Sequence[Run]) -> str:
    """Say how many runs were missed or failed."""
    count = sum(_weight(run) for run in lost)
    text = ngettext("{count} run of a job missed or failed", "{count} runs of jobs missed or failed", count)
    return text.format(count=count)


def maintenance(site: Site, of: MonthlyReport) -> Section:
    often = _often(site, of)
    rows = [*_job_rows(of, often), *_routine_rows(of)]
    columns = (
        Column("job", _("job"), is_copied=True),
        Column("planned", _("planned"), True),
        Column("well", _("went well"), True),
        Column("warning", _("with warnings"), True),
        Column("failed", _("failed"), True),
        Column("never", _("never begun"), True),
        Column("shown_longest", _("longest"), True),
        Column("source", _("known from")),
    )
    lost = lost_runs(of)
    if names.RUNS in of.missing:
        answer = unread(of, names.RUNS)
    elif not rows:
        answer = _("Not observed: no run of a job was kept for this month")
    else:
        answer = joined(_sentences(lost, rows, of))
    shown = lost[-_MOST_LOST:]
    notes = [_lost_words(site, run) for run in reversed(shown)] + list(cut(len(lost), _MOST_LOST))
    if often:
        text = _("{jobs}: of runs that went well those of the last {days} days are kept")
        notes.append(text.format(jobs=", ".join(often), days=KEPT_OFTEN_DAYS))
    commands = dict.fromkeys([f"schedule explain {run.job}" for run in reversed(shown)][:8]) or (
        "schedule list",
    )
    table = listed(
        "maintenance",
        columns,
        rows,
        answer,
        notes=tuple(notes),
        commands=tuple(typed(site, words) for words in commands),
        figures={"lost": [to_builtins(run) for run in shown]},
    )
    has_ended = any(row["well"] or row["warning"] or row["failed"] or row["never"] for row in rows)
    is_well = all(row["level"] == OK for row in rows) and not lost
    status = UNKNOWN if not has_ended else OK if is_well else WARNING
    return Section("maintenance", _("Maintenance"), table, (), status, bool(rows))


def _sentences(lost: Sequence[Run], rows: Sequence[Row], of: MonthlyReport) -> Iterator[str]:
    """Say of the runs of a month what is worst first; that all went well only where all ended, and well."""
    if lost:
        yield counted_lost(lost)
    found = sum(row["critical"] or 0 for row in rows)
    if found:
        text = ngettext(
            "{count} run found something critical", "{count} runs found something critical", found
        )
        yield text.format(count=found)
    failed = sum(row["failed"] for row in rows if row["missed"] is None)
    if failed:
        yield ngettext("{count} run failed", "{count} runs failed", failed).format(count=failed)
    warned = sum(row["warning"] for row in rows) - found
    if warned:
        text = ngettext("{count} run ended with a warning", "{count} runs ended with a warning", warned)
        yield text.format(count=warned)
    going = _count(of.runs, OPEN)
    if going:
        text = ngettext("{count} run has not ended", "{count} runs have not ended", going)
        yield text.format(count=going)
    if not (lost or found or failed or warned or going):
        yield _("Every run that is known went well")


def _lost_words(site: Site, run: Run) -> str:
    words = STATE_WORDS[run.state]()
    text = _("{job}, {moment}: {how}: {reason}") if run.reason else _("{job}, {moment}: {how}")
    sentence = text.format(job=run.job, moment=clock(site, run.planned_at), how=words, reason=run.reason)
    return f"{sentence} (×{_weight(run)})" if _weight(run) > 1 else sentence


def _often(site: Site, of: MonthlyReport) -> tuple[str, ...]:
    """Return the jobs of the month that run so often that not all of their runs are kept."""
    begun = {run.job for run in of.runs}
    each = (job for job in planned_jobs.all_of(site) if job.name in begun)
    return tuple(
        job.name for job in each if job.interval_seconds(of.period.since) <= planned_jobs.OFTEN_SECONDS
    )


def _job_rows(of: MonthlyReport, often: Sequence[str]) -> Iterator[Row]:
    for name in dict.fromkeys(run.job for run in of.runs):
        runs = [run for run in of.runs if run.job == name]
        longest = max((run.seconds or 0.0 for run in runs if run.state in BEGUN), default=None)
        failed = _count(runs, [state for state in BEGUN if state not in DONE])
        never = _count(runs, NEVER_BEGUN)
        yield {
            "job": name,
            "planned": None if name in often else sum(run.count for run in runs),
            "well": _count(runs, ("ok",)) + sum(run.count - _weight(run) for run in runs),
            "warning": _count(runs, ("warning",)),
            "critical": None,
            "failed": failed,
            "never": never,
            "missed": _count(runs, (RUN_MISSED,)),
            "longest_seconds": longest,
            "shown_longest": None if longest is None else duration(longest),
            "source": _("the ledger"),
            "level": BAD if failed and name == "backup" else WARNING if failed or never else OK,
        }


def _count(runs: Sequence[Run], states: Sequence[str]) -> int:
    return sum(_weight(run) for run in runs if run.state in states)


def _weight(run: Run) -> int:
    """Return for how many moments a row says how they ended: a process that looks at many of them has looked at all but the last."""
    return 1 if run.started_at is not None and run.state not in DONE else run.count


def _routine_rows(of: MonthlyReport) -> Iterator[Row]:
    """Yield the routines that something else than our scheduler began: only what they kept at their end is known."""
    planned = {run.job for run in of.runs}
    for name in dict.fromkeys(run.command for run in of.routines):
        if name.removeprefix("maintain ") in planned:
            continue
        runs = [run for run in of.routines if run.command == name]
        failed = sum(run.is_failed for run in runs)
        bad = sum(not run.is_failed and run.result != Status.OK.value for run in runs)
        longest = max((run.seconds for run in runs if run.seconds is not None), default=None)
        yield {
            "job": name,
            "planned": None,
            "well": len(runs) - failed - bad,
            "warning": bad,
            "critical": sum(not run.is_failed and run.result == Status.CRITICAL.value for run in runs),
            "failed": failed,
            "never": None,
            "missed": None,
            "longest_seconds": longest,
            "shown_longest": None if longest is None else duration(longest),
            "source": _("what it kept"),
            "level": WARNING if failed or bad else OK,
        }
