"""One run of a job now, by whoever asks for it: a person, cron or a timer of systemd. It has its row, its limit and its log."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone

from msgspec.structs import replace

from samaops.errors import LockedError, RefusedError
from samaops.facts.schedule import BY_HAND, FAILED, INTERRUPTED, RUNNING, TIMED_OUT, WAITING, Run
from samaops.i18n import _
from samaops.journal.ledger import Ledger
from samaops.journal.lock import this_process_now
from samaops.model.plan import Plan
from samaops.model.quantities import duration, moment
from samaops.model.table import Column, Table
from samaops.site import jobs
from samaops.site.commands import typed
from samaops.site.jobs import LIMIT_RUNS, Job
from samaops.site.site import Site
from samaops.workflows import change
from samaops.workflows.schedule import foreground
from samaops.workflows.schedule.book import Book
from samaops.workflows.schedule.listing import row_of
from samaops.workflows.schedule.outcomes import outcome_of, paused
from samaops.workflows.schedule.processes import GroupProcesses

_LOOK_SECONDS, _GRACE_SECONDS = 0.5, 60.0


def plan(site: Site, name: str) -> Plan:
    """Return what would be run, to be asked about."""
    job = jobs.named(site, name)
    title = _("Run {job} now: samaops {command}").format(job=name, command=" ".join(job.words))
    return Plan("schedule run-now", (name,), title, target=name)


def run(site: Site, name: str, tell: Callable[[str], None]) -> Run:
    """Run a job to its end, and return its row.

    Raises LockedError when a run of it, or of a job beside which it does not run, goes on; RefusedError when it is paused.
    """
    job = jobs.named(site, name)
    journal = change.journal_of(site)
    processes = foreground.processes_of(site)
    book = Book(Ledger(journal, site.name), tell=tell)
    try:
        _require_free(site, book, processes, job)
        now = datetime.now(timezone.utc)
        row = Run(name, now, RUNNING, trigger=BY_HAND, started_at=now, host=this_process_now().host)
        claimed = book.claim(row).run
        if claimed is None:
            raise LockedError(_("a run of {job} begins in this moment").format(job=name))
        return _carry_out(book, processes, job, claimed)
    finally:
        journal.close()


def _require_free(site: Site, book: Book, processes: GroupProcesses, job: Job) -> None:
    now, host = datetime.now(timezone.utc), this_process_now().host
    reason = paused(book.pauses() or (), job.name, now)
    if reason:
        hint = typed(site, f"schedule resume {job.name}")
        raise RefusedError(f"{job.name}: {reason}", hint=hint)
    limit = job.limit(book.last(job.name, LIMIT_RUNS))
    for run in book.open_runs():
        if run.job not in (job.name, *job.beside_none_of) or run.state == WAITING:
            continue
        began = run.started_at or run.planned_at
        is_young = now < began + timedelta(seconds=_GRACE_SECONDS if run.host == host else limit)
        goes_on = processes.lives(run) if run.host == host and run.pid else is_young
        if goes_on:
            text = _("{job} still goes on: process {pid} on {host}, since {moment}")
            message = text.format(job=run.job, pid=run.pid, host=run.host, moment=moment(began.timestamp()))
            raise LockedError(message, typed(site, f"schedule explain {run.job}"), began.isoformat())


def _carry_out(book: Book, processes: GroupProcesses, job: Job, row: Run) -> Run:
    limit = job.limit(book.last(job.name, LIMIT_RUNS))
    try:
        row = processes.start(row, job)
    except OSError as error:
        return _close(book, row, FAILED, str(error), None)
    book.update(row)
    state = reason = ""
    ends_at = time.monotonic() + limit
    try:
        while not processes.ended_yet(row) and time.monotonic() < ends_at:
            processes.wait(row, _LOOK_SECONDS)
        if not processes.ended_yet(row):
            state = TIMED_OUT
            reason = _("it took longer than its limit of {time}").format(time=duration(limit))
            _end(processes, row)
    except KeyboardInterrupt:
        _end(processes, row)
        _close(book, row, INTERRUPTED, _("interrupted"), None)
        raise
    ended = processes.ended(row)
    assert ended is not None
    how, why = outcome_of(ended)
    return _close(book, row, state or how, reason or why, ended.exit_code)


def _end(processes: GroupProcesses, row: Run) -> None:
    """End all of a run, politely at first."""
    processes.end(row)
    processes.wait(row, _GRACE_SECONDS)
    processes.end(row, at_once=True)
    processes.wait(row, _GRACE_SECONDS)


def _close(book: Book, row: Run, state: str, reason: str, code: int | None) -> Run:
    ended = replace(row, state=state, reason=reason, exit_code=code, ended_at=datetime.now(timezone.utc))
    book.update(ended)
    return ended


def table_of(run: Run, site: Site) -> Table:
    """Return one run as an answer."""
    row = row_of(run, site)
    columns = (Column("when", _("when")), Column("how", _("how it ended")), Column("took", _("took")))
    title = ": ".join(word for word in (f"{run.job}, {row['how']}", str(row["reason"] or "")) if word)
    notes = (_("output: {path}").format(path=run.log),) if run.log else ()
    return Table("schedule_runs", columns, (row,), title, notes, title)
