"""A report as Markdown, for a ticket or a chat."""

from __future__ import annotations

from collections.abc import Iterator

from samaops.i18n import _
from samaops.model.cause import Cause
from samaops.model.plan import Action
from samaops.model.report import Report
from samaops.model.status import SEVERITY, Status
from samaops.render import words
from samaops.render.escape import markdown, markdown_code, markdown_hint
from samaops.site import chosen


def render(report: Report) -> str:
    """Return the report as Markdown."""
    return "\n".join(_lines(report)).rstrip("\n") + "\n"


def _lines(report: Report) -> Iterator[str]:
    status = _("plan") if report.is_plan else words.status(report.status)
    yield f"# samaops {markdown(report.command)}: {markdown(status)}"
    yield ""
    for error in report.errors:
        yield f"**{markdown(error.message)}** {markdown_hint(chosen.same(error.hint))}".rstrip()
        yield ""
    yield f"{markdown(report.started_at.isoformat(timespec='seconds'))}, {_counts(report)}"
    yield ""
    if report.answer:
        yield f"**{markdown(report.answer)}**"
        yield ""
    for action in report.actions:
        yield from _action(action)
    for cause in report.causes:
        yield from _cause(cause)
    yield from _differences(report)
    yield from _findings(report)


def _counts(report: Report) -> str:
    counts = report.counts()
    return ", ".join(words.counted(status, counts[status]) for status in SEVERITY if counts[status])


def _differences(report: Report) -> Iterator[str]:
    comparison = report.since_well
    if comparison is None or (report.status is Status.OK and not comparison.is_asked):
        return
    if not comparison.differences:
        return
    yield "## " + _("Different since all was well")
    yield ""
    for difference in comparison.differences:
        yield f"- {markdown(comparison.sentence(difference, report.started_at))}"
    yield ""


def _cause(cause: Cause) -> Iterator[str]:
    yield f"## {markdown(cause.title)}"
    yield ""
    yield f"{words.verdict(cause.verdict)}, {markdown(cause.subject)}"
    yield ""
    for label, sentences in ((_("for"), cause.speaks_for), (_("against"), cause.speaks_against)):
        yield from (
            "- " + _("{label}: {text}").format(label=label, text=markdown(sentence)) for sentence in sentences
        )
    label = _("explains")
    yield from ("- " + _("{label}: {text}").format(label=label, text=markdown(key)) for key in cause.explains)
    yield ""
    for fix in cause.fixes:
        yield f"**{markdown(fix.title)}** ({words.risk(fix.risk)})"
        yield ""
        for command in fix.commands:
            yield markdown_code(command)
            yield ""


def _action(action: Action) -> Iterator[str]:
    yield f"## {markdown(action.title)}"
    yield ""
    yield f"{words.action(action.status)}, {words.risk(action.risk)}"
    yield ""
    for command in action.commands:
        yield markdown_code(command)
        yield ""
    if action.result:
        yield "- " + _("brought: ") + markdown(action.result)
    if action.destroys:
        yield "- " + _("destroys: ") + markdown(action.destroys)
    for text in action.undo_restores:
        yield "- " + _("undo brings back: ") + markdown(text)
    if action.no_undo:
        yield "- " + _("cannot be taken back: {reason}").format(reason=markdown(action.no_undo))
    yield ""
    for command in action.undo:
        yield _("undo: ")
        yield ""
        yield markdown_code(command)
        yield ""


def _findings(report: Report) -> Iterator[str]:
    wrong = [finding for finding in report.findings if finding.status not in (Status.OK, Status.SKIPPED)]
    if not wrong:
        return
    yield "| " + " | ".join((_("status"), _("check"), _("subject"), _("finding"))) + " |"
    yield "| --- | --- | --- | --- |"
    for finding in wrong:
        title = markdown(f"{finding.title} ({finding.detail})" if finding.detail else finding.title)
        title += f" ({markdown(words.silenced(finding.silenced))})" if finding.silenced else ""
        yield f"| {words.status(finding.status)} | {markdown(finding.code)} | {markdown(finding.subject)} | {title} |"
