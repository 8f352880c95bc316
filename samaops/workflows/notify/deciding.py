"""Decide what of a report is news: the same trouble is told once until it changes. Pure: the same values give the same news."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from msgspec import Struct
from msgspec.structs import replace

from samaops.facts.telling import BAD, Seen, Silence, Trouble, is_worse, number_of, seen_of, silences_of
from samaops.i18n import _
from samaops.model.finding import Finding
from samaops.model.news import Known, News, Recovery
from samaops.model.report import Report
from samaops.model.status import Status

RUN_FAILED = "maintenance.run.failed"
JOB_FAILED = "schedule.run.failed"
# A run that begins a little earlier than the one before reminds too.
_EARLY = 0.95


class Manner(Struct, frozen=True):
    """When it is, and how people want to be told: seconds after which they are reminded, and whether warnings wait now."""

    now: datetime
    remind_seconds: float
    remind_warning_seconds: float
    is_quiet: bool = False


class Decision(Struct, frozen=True):
    """The news at a moment, and what is to be kept: troubles that go on, those that are over, silences that ended, and what they saw."""

    news: News
    at: datetime
    troubles: tuple[Trouble, ...] = ()
    over: tuple[str, ...] = ()
    ended: Mapping[int, str] = {}
    seen: Mapping[int, Mapping[str, Seen]] = {}


def decide(report: Report, known: Sequence[Trouble], silences: Sequence[Silence], manner: Manner) -> Decision:
    """Return what of a report is news after what was told before, and what is to be kept of it."""
    before = {trouble.key: trouble for trouble in known}
    causes = {key: cause.id for cause in report.causes for key in cause.explains}
    # of a run that failed, why it did is its cause; of a job's, how it ended, for its last words differ from run to run
    causes.update({finding.key: finding.title for finding in _failed(report)})
    causes.update(
        {finding.key: _end_of(finding) for finding in report.findings if finding.code == JOB_FAILED}
    )
    bad = [*(finding for finding in report.findings if finding.status in BAD), *_failed(report)]
    outgrown = dict(_outgrown(bad, silences, manner.now))
    silent = silences_of(bad, report.causes, silences, manner.now)
    announced, held = list[str](), list[str]()
    troubles, shown = [], dict[str, Known]()
    seen: dict[int, dict[str, Seen]] = {}
    for finding in bad:
        trouble = _trouble(finding, before.get(finding.key), causes.get(finding.key, ""), manner.now)
        why = (
            _("worse than when it was silenced")
            if finding.key in outgrown
            else _why(trouble, finding, manner)
        )
        silence = silent.get(finding.key)
        if silence is not None and finding.key not in silence.seen:
            seen.setdefault(silence.number, {})[finding.key] = seen_of(finding)
        shown[finding.key] = Known(finding.key, trouble.since, trouble.announced_at, why or "")
        if silence is None and why is not None:
            is_held = manner.is_quiet and finding.status is Status.WARNING
            (held if is_held else announced).append(finding.key)
        troubles.append(trouble)
    recovered, waiting, over = _recovered(report, before, manner)
    ended = dict(outgrown.values())
    owed = _owed(troubles, announced)
    news = News(tuple(announced), shown, tuple(held), tuple(recovered), owed, tuple(ended.values()))
    return Decision(news, manner.now, (*troubles, *waiting), tuple(over), ended, seen)


def _failed(report: Report) -> Iterator[Finding]:
    """Yield what a run that failed is as a finding."""
    for error in report.errors[:1]:
        yield Finding(RUN_FAILED, Status.CRITICAL, report.command, error.message)


def _end_of(finding: Finding) -> str:
    """Return how the run of a job ended: its state and its exit code."""
    words = (finding.evidence.get("state"), finding.evidence.get("exit_code"))
    return " ".join(str(word) for word in words if word is not None)


def _trouble(finding: Finding, before: Trouble | None, cause: str, now: datetime) -> Trouble:
    value = number_of(finding.value)
    if before is None:
        status, title = finding.status.value, finding.title
        return Trouble(finding.code, finding.subject, status, title, now, now, cause, value)
    return replace(
        before, status=finding.status.value, title=finding.title, seen_at=now, cause=cause, value=value, ended_at=None
    )  # fmt: skip


def _why(trouble: Trouble, finding: Finding, manner: Manner) -> str | None:
    """Say why a trouble is told now, "" for one that is new; None where it was told and has not changed."""
    if trouble.announced is None or trouble.announced_at is None:
        return ""
    if is_worse(trouble.announced, finding):
        return _("worse than when it was told")
    if trouble.cause != trouble.announced_cause and trouble.cause:
        return _("its cause is another one")
    is_warning = finding.status is Status.WARNING
    seconds = manner.remind_warning_seconds if is_warning else manner.remind_seconds
    age = (manner.now - trouble.announced_at).total_seconds()
    return _("a reminder") if age >= seconds * _EARLY else None


def _recovered(
    report: Report, before: Mapping[str, Trouble], manner: Manner
) -> tuple[list[Recovery], list[Trouble], list[str]]:
    """Return the troubles that are over: those told now, those that wait for the end of the quiet hours, and all keys."""
    well = {finding.key for finding in report.findings if finding.status is Status.OK}
    if not report.errors:
        well.add(f"{RUN_FAILED}@{report.command}")
    recovered, waiting, over = [], [], []
    for key, trouble in before.items():
        if key not in well:
            continue
        ended_at = trouble.ended_at or manner.now
        if trouble.announced is None:
            over.append(key)  # nobody knows of it
        elif manner.is_quiet and trouble.announced.status == Status.WARNING.value:
            waiting.append(replace(trouble, ended_at=ended_at))
        else:
            is_run = trouble.code == RUN_FAILED
            title = f"samaops {trouble.subject}: {trouble.title}" if is_run else trouble.title
            recovered.append(Recovery(key, title, trouble.announced.status, trouble.since, ended_at))
            over.append(key)
    return recovered, waiting, over


def _outgrown(
    findings: Sequence[Finding], silences: Sequence[Silence], now: datetime
) -> Iterator[tuple[str, tuple[int, str]]]:
    """Yield the findings that are worse than what was silenced, the silence of each, and why that ends."""
    text = _("silence {number} of {user} ended early: it got worse: {title}")
    for silence in silences:
        for finding in findings if silence.is_active(now) else ():
            if silence.covers(finding.code, finding.subject) and silence.is_outgrown(finding):
                words = text.format(number=silence.number, user=silence.by, title=finding.title)
                yield finding.key, (silence.number, words)


def _owed(troubles: Sequence[Trouble], announced: Sequence[str]) -> dict[str, tuple[str, ...]]:
    owed: dict[str, tuple[str, ...]] = {}
    for trouble in troubles:
        for channel in trouble.owed if trouble.key not in announced else ():
            owed[channel] = (*owed.get(channel, ()), trouble.key)
    return owed


def after_telling(decision: Decision, failed: Sequence[str], *, is_anybody_told: bool) -> Decision:
    """Return what is to be kept after the channels were used: what one failed to tell, it tells the next time.

    Where nobody at all could be told, all of it is news the next time; so is what is over.
    """
    news = decision.news
    if is_anybody_told or not news.is_needed:
        troubles = tuple(_paid(trouble, decision, failed) for trouble in decision.troubles)
        return replace(decision, troubles=troubles)
    untold = {recovery.key for recovery in news.recovered}
    return replace(decision, over=tuple(key for key in decision.over if key not in untold))


def _paid(trouble: Trouble, decision: Decision, failed: Sequence[str]) -> Trouble:
    if trouble.key not in decision.news.announced:
        return replace(trouble, owed=tuple(name for name in trouble.owed if name in failed))
    announced = Seen(trouble.status, trouble.value)
    return replace(
        trouble,
        announced=announced,
        announced_at=decision.at,
        announced_cause=trouble.cause,
        owed=tuple(failed),
    )
