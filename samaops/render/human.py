"""A report for people: the answer first, then why, then what to type, then the rest."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct
from rich.console import Group, RenderableType
from rich.text import Text

from samaops.i18n import _, joined, ngettext
from samaops.model.cause import Cause, Fix
from samaops.model.difference import clock
from samaops.model.finding import Finding
from samaops.model.report import Report
from samaops.model.status import NAGIOS_CODE, SEVERITY, Status
from samaops.render import escape, words
from samaops.render.actions import RISK_STYLES, action_lines
from samaops.render.layout import CommandLine, Hanging
from samaops.render.systems import system_lines
from samaops.render.words import Symbols

STYLES = {
    Status.OK: "green",
    Status.WARNING: "yellow",
    Status.CRITICAL: "bold red",
    Status.UNKNOWN: "magenta",
    Status.SKIPPED: "dim",
}
_GOOD = (Status.OK, Status.SKIPPED)
_MOST_NAMES = 6
_MOST_DIFFERENCES = 10
Lines = Iterator[RenderableType]


class View(Struct, frozen=True):
    """How the report is to be shown."""

    symbols: Symbols
    verbose: bool = False


def render(report: Report, view: View) -> Group:
    """Return a report as something rich can print."""
    parts: list[RenderableType] = []
    is_asked = report.since_well is not None and report.since_well.is_asked
    explaining = (_since_well, _causes) if is_asked else (_causes, _since_well)
    for section in (_verdict, _actions, *explaining, _not_ok, _silenced, _rest):
        lines = list(section(report, view))
        # a single cause goes on from the verdict
        is_apart = section is not _causes or len(report.causes) > 1 or is_asked
        if lines and parts and is_apart:
            parts.append(Text(""))
        parts.extend(lines)
    return Group(*parts)


def answer(report: Report, view: View) -> Group:
    """Return only the answer of a report."""
    return Group(*_verdict(report, view))


def once_more(report: Report, view: View) -> Group:
    """Return the answer of a report that has left the screen, with the command that comes next."""
    leading = words.leading(report)[1]
    commands = [command for fix in (leading.fixes if leading else ()) for command in fix.commands][:1]
    prefix = f"{view.symbols.arrow} "
    lines = (CommandLine(escape.command(command), prefix=prefix, indent=3) for command in commands)
    return Group(*_verdict(report, view), *lines)


def checklist(report: Report, view: View) -> Group:
    """Return a report of which every line counts, the good ones too, the worst first."""
    lines: list[RenderableType] = list(_verdict(report, view))
    for finding in report.findings:
        is_good = finding.status in _GOOD
        lines.extend([_listed(finding, view)] if is_good else _finding(finding, view))
    return Group(*lines, Text(""), *_footer(report, view))


def _verdict(report: Report, view: View) -> Lines:
    if report.is_plan:
        yield from _plan(report, view)
        return
    for error in report.errors:
        could_not_look = error.exit_code == NAGIOS_CODE[Status.UNKNOWN]
        status = Status.UNKNOWN if could_not_look else Status.CRITICAL
        yield _marked(status, error.message, view, bold=True)
        if error.hint:
            yield Hanging(Text(f"{view.symbols.arrow} "), Text(escape.command(error.hint)), indent=2)
    if not report.errors or any(finding.status not in _GOOD for finding in report.findings):
        status, cause = words.leading(report)
        is_named = cause is not None and not report.answer
        yield _marked(status if is_named else report.status, _answer(report, cause), view, bold=True)


def _plan(report: Report, view: View) -> Lines:
    """Head a plan as one, with its risk: that nothing is wrong with it is no news."""
    risk = words.plan_risk(report)
    prefix = Text(f"{view.symbols.arrow} ", RISK_STYLES[risk])
    yield Hanging(prefix, Text(escape.plain(report.answer), "bold"))
    yield Hanging(Text(_("Risk: "), "bold"), Text(words.risk(risk), RISK_STYLES[risk]), indent=2)


def _actions(report: Report, view: View) -> Lines:
    yield from action_lines(report.actions, view.symbols)


def _answer(report: Report, cause: Cause | None) -> str:
    """Return the report in one sentence, of the cause that leads it."""
    if report.answer:
        return report.answer
    if cause is not None:
        others = len(report.causes) - 1
        more = ngettext("and {count} more cause", "and {count} more causes", others).format(count=others)
        return cause.title + (f" ({more})" if others else "")
    counts = report.counts()
    if not report.findings:
        return _("Nothing was looked at")
    if report.status is Status.OK:
        good = counts[Status.OK]
        return ngettext("All is well: {count} check", "All is well: {count} checks", good).format(count=good)
    return words.unexplained(report)


def _counted(report: Report, without: tuple[Status, ...] = ()) -> str:
    counts = report.counts()
    return ", ".join(
        words.counted(status, counts[status])
        for status in SEVERITY
        if counts[status] and status not in without
    )


def _marked(status: Status, text: str, view: View, *, bold: bool = False) -> Hanging:
    """Return a sentence after the sign and the word of its status: colour is never alone."""
    style = STYLES[status]
    word = words.status(status).upper() if bold else words.status(status)
    prefix = Text(f"{view.symbols.status[status]} {word}  ", style)
    return Hanging(prefix, Text(escape.plain(text), "bold" if bold else ""))


def _causes(report: Report, view: View) -> Lines:
    is_only = len(report.causes) == 1
    for place, cause in enumerate(report.causes, start=1):
        if not is_only:
            yield from ([Text("")] if place > 1 else [])
            yield Hanging(Text(f"{place}. "), Text(escape.plain(cause.title), "bold"))
        yield from _cause(cause, report, view)


def _cause(cause: Cause, report: Report, view: View) -> Lines:
    subject = escape.plain(cause.subject)
    yield Hanging(
        Text(""), Text(f"{words.verdict(cause.verdict)} {view.symbols.dot} {subject}", "dim"), indent=3
    )
    for label, sentences in ((_("for"), cause.speaks_for), (_("against"), cause.speaks_against)):
        for sentence in sentences:
            if sentence == cause.title:
                continue  # it was just read
            yield Hanging(Text(f"{label}  ", "dim"), Text(escape.plain(sentence)), indent=3)
    yield from _explained(cause, report, view)
    for fix in cause.fixes:
        yield from _fix(fix, view)


def _explained(cause: Cause, report: Report, view: View) -> Lines:
    """Fold the symptoms of a cause: how many, and their names."""
    by_key = {finding.key: finding for finding in report.findings}
    findings = [by_key[key] for key in cause.explains if key in by_key]
    names = [_name(finding, cause) for finding in findings if finding.status is not Status.SKIPPED]
    skipped = len(findings) - len(names)
    if not names:
        return
    shown = names if view.verbose else names[:_MOST_NAMES]
    rest = len(names) - len(shown)
    if rest:
        shown = [*shown, words.and_more(rest)]
    text = ngettext("explains {count} finding: {names}", "explains {count} findings: {names}", len(names))
    text = text.format(count=len(names), names=", ".join(shown))
    if skipped:
        unmade = ngettext("{count} check could not be made", "{count} checks could not be made", skipped)
        text = joined((text, unmade.format(count=skipped)))
    yield Hanging(Text(""), Text(text, "dim"), indent=3)


def _name(finding: Finding, cause: Cause) -> str:
    return escape.plain(finding.code if finding.subject == cause.subject else finding.key)


def _fix(fix: Fix, view: View) -> Lines:
    label = Text(f"{view.symbols.arrow} ", "bold")
    body = Text(escape.plain(fix.title)).append(f"  ({words.risk(fix.risk)})", "dim")
    yield Hanging(label, body, indent=1)
    for command in fix.commands:
        yield CommandLine(escape.command(command), indent=5)
    if view.verbose:
        for command in fix.undo:
            yield CommandLine(escape.command(command), prefix=_("undo: "), indent=5, style="dim")


def _since_well(report: Report, view: View) -> Lines:
    """Show what is different since all was well: when asked for, and before what no cause explains."""
    comparison = report.since_well
    if comparison is None or not (comparison.is_asked or (comparison.differences and words.left(report))):
        return
    if comparison.well_at is None:
        yield Text(
            _("There is no earlier look to compare with: none that found all well has been kept."), "bold"
        )
        yield Hanging(
            Text(f"{view.symbols.arrow} "),
            Text(_("samaops diagnose, and samaops maintain daily, keep one when all is well")),
            indent=1,
        )
        return
    time = clock(comparison.well_at, report.started_at)
    differences = comparison.differences if view.verbose else comparison.differences[:_MOST_DIFFERENCES]
    yield Text(_differences_since(len(comparison.differences), time), "bold")
    for difference in differences:
        at = f"{clock(difference.at, report.started_at)}  " if difference.at else ""
        yield Hanging(Text(f"{view.symbols.dot} {at}"), Text(escape.plain(difference.words)), indent=1)
    more = len(comparison.differences) - len(differences)
    if more:
        yield Hanging(Text(""), Text(words.and_more(more), "dim"), indent=3)
    if comparison.unknown:
        names = ", ".join(map(escape.plain, comparison.unknown))
        text = _("not compared, because it was not looked at now: {names}").format(names=names)
        yield Hanging(Text(""), Text(text, "dim"), indent=3)


def _differences_since(count: int, time: str) -> str:
    if not count:
        return _("Nothing is different since the last well look, at {time}").format(time=time)
    text = ngettext(
        "{count} difference since the last well look, at {time}",
        "{count} differences since the last well look, at {time}",
        count,
    )
    return text.format(count=count, time=time)


def _not_ok(report: Report, view: View) -> Lines:
    """Show what is wrong and is not folded under a cause."""
    findings = words.left(report)
    if findings and report.causes:
        yield Text(_("Besides, explained by no cause:"), "bold")
    for finding in findings:
        yield from _finding(finding, view)


def _finding(finding: Finding, view: View) -> Lines:
    yield _marked(finding.status, finding.title, view)
    detail = escape.plain(finding.detail)
    about = escape.plain(finding.subject) + (f" {view.symbols.dot} {detail}" if detail else "")
    yield Hanging(Text(""), Text(about, "dim"), indent=5)
    if finding.hint:
        yield CommandLine(escape.command(finding.hint), prefix=f"{view.symbols.arrow} ", indent=3)


def _silenced(report: Report, view: View) -> Lines:
    """Show of what nobody is told now: it is as wrong as ever, also where a cause folds it."""
    for finding in report.findings:
        if finding.silenced is not None:
            words_ = words.silenced(finding.silenced)
            yield Hanging(
                Text(f"{view.symbols.dot} "), Text(f"{escape.plain(finding.key)}: {words_}", "dim"), indent=1
            )


def _rest(report: Report, view: View) -> Lines:
    if report.answer and not report.duration_ms:
        return  # a plan, or nothing to do: there is no run to tell of
    if view.verbose:
        for finding in sorted(report.findings, key=lambda finding: (finding.code, finding.subject)):
            yield _listed(finding, view)
        if report.findings:
            yield Text("")
    yield from (Text(line, no_wrap=True) for line in system_lines(report, view.symbols))
    yield from _hint_of_differences(report, view)
    yield from _hint_of_runbooks(report, view)
    yield from _footer(report, view)


def _hint_of_differences(report: Report, view: View) -> Lines:
    """Say where causes explain everything that there is more to know: what is different."""
    comparison = report.since_well
    if comparison is None or comparison.is_asked or not comparison.differences or comparison.well_at is None:
        return
    if report.status is not Status.OK and not words.left(report):
        time = clock(comparison.well_at, report.started_at)
        command = escape.command("samaops diagnose --since-well")
        text = command + _(": ") + _differences_since(len(comparison.differences), time)
        yield Hanging(Text(f"{view.symbols.arrow} "), Text(text))


def _hint_of_runbooks(report: Report, view: View) -> Lines:
    """Say after a look at everything where the repairs are that samaops makes itself, or the letters to those who can."""
    if report.command != "diagnose" or any(cause.sites for cause in report.causes):
        return
    for runbook in dict.fromkeys(cause.runbook for cause in report.causes if cause.runbook):
        command = escape.command(f"samaops troubleshoot {runbook}")
        text = command + _(": ") + _("its repairs, or the letter to send; each after a yes")
        yield Hanging(Text(f"{view.symbols.arrow} "), Text(text))


def _listed(finding: Finding, view: View) -> Hanging:
    prefix = Text(f"{view.symbols.status[finding.status]} ", STYLES[finding.status])
    body = Text(escape.plain(finding.title)).append(f"  {escape.plain(finding.key)}", "dim")
    if finding.status is Status.SKIPPED and finding.detail:
        body.append(f"  {escape.plain(finding.detail)}", "dim")
    return Hanging(prefix, body)


def _footer(report: Report, view: View) -> Lines:
    if report.deadline_hit:
        yield Hanging(Text(""), Text(_("The deadline was reached: what did not answer by then is unknown.")))
    deep = [_("deep look")] if report.deep else []
    parts = [_counted(report), words.duration(report.duration_ms), *deep]
    yield Text(f" {view.symbols.dot} ".join(part for part in parts if part), "dim")
    if view.verbose:
        cost = report.footprint
        yield Text(
            _(
                "looking cost {connections} connections, {commands} commands, {size} read, {writes} writes"
            ).format(
                connections=cost.connections,
                commands=cost.commands,
                size=words.size(cost.bytes_read),
                writes=cost.writes,
            ),
            "dim",
        )
