"""How statuses, verdicts and amounts are written for people."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from samaops import i18n
from samaops.i18n import N_, _, ngettext
from samaops.model.cause import Cause, Verdict
from samaops.model.finding import Finding, Silenced
from samaops.model.plan import ActionStatus, Risk
from samaops.model.quantities import moment
from samaops.model.report import Report, worst_first
from samaops.model.status import SEVERITY, Status, worst
from samaops.render import escape

_LONGEST_TITLE = 200  # leaves room in one line for what follows
_STATUS_WORDS = {
    Status.OK: N_("ok"),
    Status.WARNING: N_("warning"),
    Status.CRITICAL: N_("critical"),
    Status.UNKNOWN: N_("unknown"),
    Status.SKIPPED: N_("skipped"),
}
_VERDICT_WORDS = {
    Verdict.CONFIRMED: N_("confirmed"),
    Verdict.PROBABLE: N_("probable"),
    Verdict.OUTSIDE: N_("outside our sight"),
    Verdict.INCONCLUSIVE: N_("inconclusive"),
}
_RISK_WORDS = {
    Risk.SAFE: N_("safe"),
    Risk.DISRUPTIVE: N_("disruptive: users notice for a moment"),
    Risk.DESTRUCTIVE: N_("destructive: data is lost"),
}
_ACTION_WORDS = {
    ActionStatus.PLANNED: N_("planned"),
    ActionStatus.APPLIED: N_("applied"),
    ActionStatus.VERIFIED: N_("done and verified"),
    ActionStatus.FAILED: N_("failed"),
    ActionStatus.REVERTED: N_("taken back"),
    ActionStatus.REFUSED: N_("not done"),
}


class Symbols(Struct, frozen=True):
    """The signs of a screen, one set for terminals that show Unicode, one for all others."""

    status: dict[Status, str]
    arrow: str
    dot: str
    dash: str


UNICODE = Symbols(
    {
        Status.OK: "✓",
        Status.WARNING: "▲",
        Status.CRITICAL: "✗",
        Status.UNKNOWN: "?",
        Status.SKIPPED: "–",
    },
    arrow="→",
    dot="·",
    dash="–",
)
ASCII = Symbols(
    {Status.OK: "+", Status.WARNING: "!", Status.CRITICAL: "X", Status.UNKNOWN: "?", Status.SKIPPED: "-"},
    arrow="->",
    dot="-",
    dash="-",
)


def symbols_for(encoding: str | None) -> Symbols:
    """Return the signs that an output encoding can show."""
    try:
        "✓▲✗→·–".encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return ASCII
    return UNICODE


def status(value: Status) -> str:
    """Return a status in the user's language."""
    return _(_STATUS_WORDS[value])


def counted(value: Status, count: int) -> str:
    """Return how many findings have a status: ``2 critical``."""
    words = {
        Status.OK: ngettext("{count} ok", "{count} ok", count),
        Status.WARNING: ngettext("{count} warning", "{count} warnings", count),
        Status.CRITICAL: ngettext("{count} critical", "{count} critical", count),
        Status.UNKNOWN: ngettext("{count} unknown", "{count} unknown", count),
        Status.SKIPPED: ngettext("{count} skipped", "{count} skipped", count),
    }
    return words[value].format(count=count)


def verdict(value: Verdict) -> str:
    """Return a verdict in the user's language."""
    return _(_VERDICT_WORDS[value])


def risk(value: Risk) -> str:
    """Return a risk in the user's language, with what it means."""
    return _(_RISK_WORDS[value])


def plan_risk(report: Report) -> Risk:
    """Return the worst risk of a report's steps."""
    return max((action.risk for action in report.actions), key=list(Risk).index)


def action(value: ActionStatus) -> str:
    """Return how far an action has come, in the user's language."""
    return _(_ACTION_WORDS[value])


def duration(milliseconds: int) -> str:
    """Return a duration: ``812 ms`` or ``12.3 s``."""
    return f"{milliseconds} ms" if milliseconds < 1000 else f"{i18n.number(f'{milliseconds / 1000:.1f}')} s"


def leading(report: Report) -> tuple[Status, Cause | None]:
    """Return what a report says first: a cause with the severity of what it explains, or None for what none explains."""
    statuses = {finding.key: finding.status for finding in report.findings}
    rated = [(_severity(cause, statuses), cause) for cause in report.causes]
    if not rated:
        return report.status, None
    status, cause = min(rated, key=lambda pair: SEVERITY.index(pair[0]))  # the first of the worst
    is_worse_left = any(finding.status is Status.CRITICAL for finding in left(report))
    return (Status.CRITICAL, None) if is_worse_left and status is not Status.CRITICAL else (status, cause)


def _severity(cause: Cause, statuses: Mapping[str, Status]) -> Status:
    """Return how bad a cause is; what could not be looked at because of it is no worse than that."""
    explained = [statuses[key] for key in cause.explains if key in statuses]
    return worst([status for status in explained if status is not Status.UNKNOWN] or explained)


def left(report: Report) -> list[Finding]:
    """Return what is wrong and explained by no cause, worst first."""
    explained = {key for cause in report.causes for key in cause.explains}
    return [
        finding
        for finding in worst_first(report.findings)
        if finding.status not in (Status.OK, Status.SKIPPED) and finding.key not in explained
    ]


def unexplained(report: Report) -> str:
    """Return what is worst, and how much more is wrong, of what no cause explains."""
    wrong = left(report)
    title, others = escape.plain(wrong[0].title, _LONGEST_TITLE), len(wrong) - 1
    if {finding.status for finding in report.findings} - {Status.SKIPPED} == {Status.OK, Status.UNKNOWN}:
        return _only_unknown(title, others)
    if not others:
        return _("{title}; no known cause explains it").format(title=title)
    text = ngettext(
        "{title} (and {count} more); no known cause explains them",
        "{title} (and {count} more); no known cause explains them",
        others,
    )
    return text.format(title=title, count=others)


def _only_unknown(title: str, others: int) -> str:
    if not others:
        return _("What could be looked at is well; unknown: {title}").format(title=title)
    text = ngettext(
        "What could be looked at is well; unknown: {title} (and {count} more)",
        "What could be looked at is well; unknown: {title} (and {count} more)",
        others,
    )
    return text.format(title=title, count=others)


def silenced(value: Silenced) -> str:
    """Return until when nobody is told, who wanted that, and why."""
    text = _("silenced until {moment} by {user}: {reason}")
    until, user, reason = moment(value.until.timestamp()), escape.plain(value.by), escape.plain(value.reason)
    return text.format(moment=until, user=user, reason=reason)


def and_more(count: int) -> str:
    """Return how much is left out, and how it is shown."""
    return ngettext("{count} more (-v)", "{count} more (-v)", count).format(count=count)


def size(count: int) -> str:
    """Return a size in decimal units: ``48.2 kB``."""
    if count < 1000:
        return _("{count} bytes").format(count=count)
    amount, unit = (count / 1000, N_("kB")) if count < 1_000_000 else (count / 1_000_000, N_("MB"))
    return i18n.number(f"{amount:.1f}") + " " + _(unit)


def number(value: float) -> str:
    """Return a number as short as it can be without losing what matters."""
    return i18n.number(f"{value:.6g}") if isinstance(value, float) else str(value)
