"""Do the tasks of a run: look at what they ask for, judge it, change what they change, and look at that again."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from datetime import datetime, timezone

from msgspec import Struct
from msgspec.structs import replace

from samaops.causes import graph
from samaops.checks import engine as checks
from samaops.collect import engine, registry
from samaops.errors import (
    LockedError,
    RefusedError,
    SamaopsError,
    UnavailableError,
    UsageError,
)
from samaops.facts.observation import Snapshot
from samaops.facts.selection import Selection
from samaops.i18n import _
from samaops.model.finding import Finding
from samaops.model.report import Report, ReportError, worst_first
from samaops.model.routine import Task
from samaops.model.status import Status
from samaops.site import redaction
from samaops.site.commands import samaops
from samaops.workflows import change, diagnose
from samaops.workflows.maintenance import past
from samaops.workflows.maintenance.limit import OverdueError
from samaops.workflows.maintenance.past import Earlier
from samaops.workflows.maintenance.request import Run

FAILED = 2
_UNWELL = (Status.WARNING, Status.CRITICAL)


class Seen(Struct, frozen=True):
    """What a run has so far: what was observed (None when it hung), its report, and why a change was refused."""

    snapshot: Snapshot | None
    report: Report
    refusal: str = ""


def do(this: Run, earlier: Earlier) -> Seen:
    """Look and change; when that hangs, return a report that says so."""
    started_at, limit = datetime.now(timezone.utc), this.limit
    try:
        return limit.run(lambda: _look(this, earlier))
    except OverdueError:
        text = _("Maintenance was ended at its limit of {seconds:g} s")
        seconds = this.whole.seconds
        error = ReportError(text.format(seconds=seconds), "[maintenance] limit_seconds", FAILED)
        milliseconds = round(limit.seconds * 1000)
        report = Report(this.routine.command, started_at, milliseconds, deadline_hit=True, errors=(error,))
        return Seen(None, report)


def _look(this: Run, earlier: Earlier) -> Seen:
    """Look at what the tasks ask for, judge it, and change what they change."""
    started, site = time.monotonic(), this.site
    codes = (*(code for task in this.tasks for code in task.codes), past.CODE)
    selection = Selection(only=codes, probe=site.settings.maintenance.probe)
    seconds = this.limit.remaining() * (1 - this.routine.spare)
    collectors = registry.collectors(site, selection)
    snapshot = engine.observe(collectors, site, selection, seconds, earlier.past)
    snapshot = replace(snapshot, observations=(*snapshot.observations, past.observation(earlier)))
    snapshot = redaction.redacted(snapshot, site)
    findings = _with_words(this.tasks, checks.judge(snapshot, site, selection), snapshot)
    findings, causes = graph.explain(findings, site, snapshot.own_load)
    report = Report(
        command=this.routine.command,
        started_at=snapshot.taken_at,
        deadline_hit=snapshot.deadline_hit,
        findings=findings,
        causes=causes,
        footprint=snapshot.footprint,
        timings_ms={observation.subject: observation.duration_ms for observation in snapshot.observations},
    )
    refusal = ""
    for task in this.tasks:
        if task.change is not None and (task.change.on is None or task.change.on(site.settings)):
            report, reason = _change(this, task, snapshot, report)
            refusal = refusal or reason
    duration_ms = round((time.monotonic() - started) * 1000)
    return Seen(snapshot, replace(report, duration_ms=duration_ms), refusal)


def _with_words(
    tasks: Sequence[Task], findings: Sequence[Finding], snapshot: Snapshot
) -> tuple[Finding, ...]:
    for task in tasks:
        if task.with_words is not None:
            findings = [task.with_words(finding, snapshot) for finding in findings]
    return tuple(findings)


def _change(this: Run, task: Task, snapshot: Snapshot, report: Report) -> tuple[Report, str]:
    """Return the report with a task's change in it, and why it was refused; a dry run only plans it."""
    assert task.change is not None
    site = this.site
    try:
        planner = task.change.prepare
        plan = planner(site) if planner else change.prepare(site, task.change.verb, task.change.arguments)
    except UnavailableError as error:
        return _unplanned(task, report, error), ""
    except (RefusedError, LockedError, UsageError) as error:
        return _still(this, task, report, error), error.message
    if not plan.steps:
        return _with_findings(report, change.report_of(site, plan).findings), ""
    if this.request.dry_run:
        planned = change.report_of(site, plan)
        report = _with_findings(report, planned.findings)
        return replace(report, actions=(*report.actions, *planned.actions)), ""
    try:
        this.request.consent(plan)
        done = change.apply(site, plan, task.change.wait_seconds)
    except (RefusedError, LockedError) as error:
        actions = (*report.actions, *change.refused(site, plan, error).actions)
        refusal = error.message if isinstance(error, RefusedError) else ""
        return replace(_still(this, task, report, error), actions=actions), refusal
    failure = done.errors[0].message if done.errors else ""
    findings = _looked_again(this, task, snapshot, failure)
    report = replace(
        report, findings=_replaced(report, task, findings), actions=(*report.actions, *done.actions)
    )
    if failure and not any(finding.status in _UNWELL for finding in findings):
        report = replace(report, errors=(*report.errors, *done.errors))  # nothing else would say it
    return _with_findings(report, (each for each in done.findings if each.code.endswith(".left_out"))), ""


def _unplanned(task: Task, report: Report, error: UnavailableError) -> Report:
    """Say why a change was not planned, where no finding says that what it needs to know could not be looked at."""
    own = Selection(only=task.codes)
    is_said = any(
        finding.status is Status.UNKNOWN for finding in report.findings if own.includes(finding.code)
    )
    is_said = is_said or any(finding.status is Status.CRITICAL for finding in report.findings)
    if is_said:
        return report
    return replace(report, errors=(*report.errors, ReportError(error.message, error.hint, error.exit_code)))


def _with_findings(report: Report, more: Iterable[Finding]) -> Report:
    """Return a report with what a change left out: that is never taken for done."""
    return replace(report, findings=worst_first([*report.findings, *more]))


def _still(this: Run, task: Task, report: Report, error: SamaopsError) -> Report:
    """Say in the task's findings why what they found is still there."""
    own = Selection(only=task.codes)
    findings = [
        _with_reason(this, task, finding, error.message)
        for finding in report.findings
        if own.includes(finding.code)
    ]
    return replace(report, findings=_replaced(report, task, findings))


def _with_reason(this: Run, task: Task, finding: Finding, reason: str) -> Finding:
    if finding.status not in _UNWELL:
        return finding
    return replace(
        finding, detail=reason, hint=samaops(this.site, f"{this.routine.command} --only {task.id} --yes")
    )


def _looked_again(this: Run, task: Task, before: Snapshot, failure: str) -> list[Finding]:
    """Return the task's findings as they are after its change, with what that achieved."""
    assert task.change is not None
    selection = Selection(only=task.codes)
    after = diagnose.observe(this.site, selection)
    findings = list(checks.judge(after, this.site, selection))
    if failure:
        findings = [_with_reason(this, task, finding, failure) for finding in findings]
    return [task.change.achieved(finding, before, after) for finding in findings]


def _replaced(report: Report, task: Task, findings: Sequence[Finding]) -> tuple[Finding, ...]:
    own = Selection(only=task.codes)
    others = [finding for finding in report.findings if not own.includes(finding.code)]
    return worst_first([*others, *findings])
