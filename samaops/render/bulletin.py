"""A report as plain text for mail, chat and the log of maintenance."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from typing import TypeVar

from msgspec.structs import replace

from samaops.i18n import _, ngettext
from samaops.model import quantities
from samaops.model.bulletin import Bulletin
from samaops.model.cause import Cause
from samaops.model.finding import Finding
from samaops.model.news import Recovery
from samaops.model.quantities import duration
from samaops.model.report import Report
from samaops.model.status import SEVERITY, Status
from samaops.render import escape, words

T = TypeVar("T")
_GOOD = (Status.OK, Status.SKIPPED)
# A mail that lists everything is not read.
_MOST_FINDINGS = 40
_MOST_SERVERS = 3


def bulletin(report: Report, site: str) -> Bulletin:
    """Return what is told of a report: what is wrong in the subject, where in each line, what to do behind each cause.

    Where it is known what is news, the subject and the findings are that; what was told before is named below.
    """
    moment = report.started_at.strftime("%Y-%m-%d %H:%M:%S UTC")
    first = f"[{moment}] {escape.plain(f'{site}: samaops {report.command}: {_in_short(report)}')}"
    announced = _told(report)
    subject = escape.plain(f"[{site}] {_what_is_wrong(announced)}", 180)
    good = [_line(finding) for finding in report.findings if finding.status in _GOOD]
    return Bulletin(
        subject=subject,
        summary="\n".join([subject, first, *_body(announced), *_beside(report)]) + "\n",
        log="\n".join([first, *_body(report), *good]) + "\n",
    )


def _body(report: Report) -> Iterator[str]:
    yield from (*_errors(report), *_causes(report), *_left(report), *_actions(report))


def _told(report: Report) -> Report:
    """Return of a report what is told; all of it where that is not known, or where nothing is."""
    news = report.news
    if news is None or not news.is_needed:
        return report
    return replace(
        report,
        findings=tuple(finding for finding in report.findings if finding.key in news.announced),
        causes=tuple(
            cause for cause in report.causes if any(key in news.announced for key in cause.explains)
        ),
        errors=report.errors
        if any(key.partition("@")[2] == report.command for key in news.announced)
        else (),
    )


def _beside(report: Report) -> Iterator[str]:
    """Yield what is over, what goes on that was told before, and what nobody is told of now."""
    news = report.news
    if news is None or not news.is_needed:
        return
    yield from _at_most(news.recovered, lambda recovery: ["  " + _over(recovery)])
    titles = {finding.key: escape.plain(finding.title) for finding in report.findings}
    known = [each for key, each in news.known.items() if key in titles]
    again = [each for each in known if each.key in news.announced and each.why]
    text = _("told again: {title}: {why}, since {moment}")
    yield from _at_most(
        again,
        lambda each: ["  " + text.format(title=titles[each.key], why=each.why, moment=_at(each.since))],
    )
    silenced = [finding for finding in report.findings if finding.silenced is not None]
    silent = {finding.key for finding in silenced} | set(news.held) | set(news.announced)
    before = _("told before: {title}, since {moment}")
    yield from _at_most(
        [each for each in known if each.key not in silent and each.announced_at],
        lambda each: ["  " + before.format(title=titles[each.key], moment=_at(each.since))],
    )
    yield from _at_most(silenced, lambda finding: [f"  {_silenced(finding)}"])
    yield from (f"  {escape.plain(words_)}" for words_ in news.lifted)


def _silenced(finding: Finding) -> str:
    assert finding.silenced is not None
    title = escape.plain(f"{_on([finding.server])}{finding.title}")
    return f"{title} ({escape.plain(finding.subject)}): {words.silenced(finding.silenced)}"


def _over(recovery: Recovery) -> str:
    text = _("over after {duration}: {title}")
    lasted = duration(max(0.0, recovery.seconds))
    return text.format(duration=lasted, title=escape.plain(recovery.title))


def _at(moment: datetime) -> str:
    return quantities.moment(moment.timestamp())


def _what_is_wrong(report: Report) -> str:
    """Return the subject: the cause that leads the report, else what is worst, else what is over, or how much is well."""
    recovered = report.news.recovered if report.news else ()
    if recovered and not report.findings and not report.errors:
        more = len(recovered) - 1
        text = _over(recovered[0])
        return _("{title} (and {count} more)").format(title=text, count=more) if more else text
    if report.errors or report.status is Status.OK:
        return f"samaops {report.command}: {_in_short(report)}"
    status, cause = words.leading(report)
    if cause is not None:
        place, others = _on(_servers(cause, report)), len(report.causes) - 1
        more_words = ngettext("and {count} more cause", "and {count} more causes", others)
        title = cause.title + (f" ({more_words.format(count=others)})" if others else "")
    else:
        wrong = words.left(report)
        # Where the report has its answer, nobody searched for a cause.
        unexplained = escape.plain(report.answer) or (words.unexplained(report) if wrong else "")
        place, title = _on([wrong[0].server] if wrong else []), unexplained
    return f"{words.status(status)}: {place}{title}"


def _servers(cause: Cause, report: Report) -> list[str | None]:
    """Return the servers of what a cause explains, that of the decisive finding first."""
    servers = {finding.key: finding.server for finding in report.findings if finding.status is not Status.OK}
    return list(dict.fromkeys(servers[key] for key in cause.explains if servers.get(key)))


def _on(servers: Sequence[str | None]) -> str:
    """Return the servers before what is said of them; nothing where it is on none."""
    known = [server for server in servers if server]
    if not known:
        return ""
    return f"[{', '.join([*known[:_MOST_SERVERS], *(['…'] if len(known) > _MOST_SERVERS else [])])}] "


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
    """Yield each cause with its own way out, and what it explains without any: that is no way out of the cause."""
    by_key = {finding.key: finding for finding in report.findings}
    for cause in report.causes:
        yield _("  cause ({verdict})  {title}").format(
            verdict=words.verdict(cause.verdict),
            title=escape.plain(f"{_on(_servers(cause, report))}{cause.title}"),
        )
        for fix in cause.fixes[:1]:
            yield f"      {escape.plain(fix.title)} ({words.risk(fix.risk)})"
            yield from (f"      -> {escape.command(command)}" for command in fix.commands)
        yield f"      -> {escape.command(f'samaops explain {cause.id}')}"
        explained = [by_key[key] for key in cause.explains if key in by_key]
        bad = [finding for finding in explained if finding.status not in _GOOD]
        yield from _at_most(bad, lambda finding: [f"    {_line(finding)}"])


def _left(report: Report) -> Iterator[str]:
    yield from _at_most(words.left(report), _finding)


def _at_most(findings: Sequence[T], lines: Callable[[T], Iterable[str]]) -> Iterator[str]:
    for finding in findings[:_MOST_FINDINGS]:
        yield from lines(finding)
    if len(findings) > _MOST_FINDINGS:
        yield _("{count} more").format(count=len(findings) - _MOST_FINDINGS)


def _line(finding: Finding) -> str:
    title, subject = escape.plain(f"{_on([finding.server])}{finding.title}"), escape.plain(finding.subject)
    marks = f"; {words.silenced(finding.silenced)}" if finding.silenced else ""
    return f"  {words.status(finding.status)}  {title}" + (
        "" if finding.status in _GOOD else f" ({subject}{marks})"
    )


def _finding(finding: Finding) -> Iterator[str]:
    yield _line(finding)
    if finding.detail:
        yield f"      {escape.plain(finding.detail)}"
    if finding.hint:
        yield f"      -> {escape.command(finding.hint)}"


def _actions(report: Report) -> Iterator[str]:
    for action in report.actions:
        title = escape.plain(f"{_on([action.server])}{action.title}")
        yield f"  {words.action(action.status)}  {title}"
