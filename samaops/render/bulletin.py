"""A report as plain text for mail, chat and the log of maintenance."""

from __future__ import annotations

from collections.abc import Iterator

from samaops.i18n import _
from samaops.model.bulletin import Bulletin
from samaops.model.finding import Finding
from samaops.model.report import Report
from samaops.model.status import SEVERITY, Status
from samaops.render import escape, words

_GOOD = (Status.OK, Status.SKIPPED)
# A mail that lists everything is not read.
_MOST_FINDINGS = 40


def bulletin(report: Report, site: str) -> Bulletin:
    """Return what is told of a report."""
    head = f"{site}: samaops {report.command}: {_in_short(report)}"
    moment = report.started_at.strftime("%Y-%m-%d %H:%M:%S UTC")
    first = f"[{moment}] {escape.plain(head)}"
    bad = [finding for finding in report.findings if finding.status not in _GOOD]
    summary = [*_errors(report), *_causes(report)]
    summary += [line for finding in bad[:_MOST_FINDINGS] for line in _finding(finding)]
    if len(bad) > _MOST_FINDINGS:
        summary.append(_("{count} more").format(count=len(bad) - _MOST_FINDINGS))
    summary += _actions(report)
    good = [
        f"  {words.status(finding.status)}  {escape.plain(finding.title)}"
        for finding in report.findings
        if finding not in bad
    ]
    return Bulletin(
        subject=escape.plain(f"[{head}]", 180),
        summary="\n".join([first, *summary]) + "\n",
        log="\n".join([first, *summary, *good]) + "\n",
    )


def _in_short(report: Report) -> str:
    if report.errors:
        return report.errors[0].message
    counts = report.counts()
    shown = [words.counted(status, counts[status]) for status in SEVERITY if counts[status]]
    return ", ".join(shown) or _("nothing was looked at")


def _errors(report: Report) -> Iterator[str]:
    for error in report.errors:
        yield f"  {words.status(Status.CRITICAL)}  {escape.plain(error.message)}"
        if error.hint:
            yield f"      -> {escape.command(error.hint)}"


def _causes(report: Report) -> Iterator[str]:
    for cause in report.causes:
        yield _("  cause ({verdict})  {title}").format(
            verdict=words.verdict(cause.verdict), title=escape.plain(cause.title)
        )


def _line(finding: Finding) -> Iterator[str]:
    subject = escape.plain(finding.subject)
    yield f"  {words.status(finding.status)}  {escape.plain(finding.title)} ({subject})"


def _finding(finding: Finding) -> Iterator[str]:
    yield from _line(finding)
    if finding.detail:
        yield f"      {escape.plain(finding.detail)}"
    if finding.hint:
        yield f"      -> {escape.command(finding.hint)}"


def _actions(report: Report) -> list[str]:
    return [f"  {words.action(action.status)}  {escape.plain(action.title)}" for action in report.actions]
