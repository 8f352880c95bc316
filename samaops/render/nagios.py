"""A report as a Nagios plugin's output: one line with performance data, then the long text.

https://nagios-plugins.org/doc/guidelines.html
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import zip_longest

from samaops.i18n import _
from samaops.model.finding import Finding
from samaops.model.report import Report
from samaops.model.status import Status
from samaops.render import escape, words
from samaops.site import chosen, shell_words

SERVICE = "SAMACONSO"
# Nagios reads 8 kB of a plugin's output (MAX_PLUGIN_OUTPUT_LENGTH) and cuts what is longer.
LONGEST_OUTPUT_BYTES = 8000
# NRPE cuts at 1024 bytes, the zero at the end among them (MAX_PACKETBUFFER_LENGTH; version 4 only between equals):
# the first line fits, and is all there is when all is well. Words and figures have each their own room, so that
# what is drawn as a curve does not come and go with the words.
_LONGEST_FIRST_LINE = 250
_LONGEST_WORDS_BYTES = 300
_LONGEST_PERFORMANCE_BYTES = 700
# The units that the guidelines know; others are left out of the performance data.
_UNITS = {
    "s": "s",
    "ms": "ms",
    "us": "us",
    "%": "%",
    "B": "B",
    "bytes": "B",
    "KB": "KB",
    "MB": "MB",
    "TB": "TB",
}


def render(report: Report) -> str:
    """Return the report for Nagios, Icinga or Centreon."""
    status = Status.UNKNOWN if report.errors and not report.findings else report.status
    first = f"{SERVICE} {status.value.upper()} - {_text(_summary(report), _LONGEST_FIRST_LINE)}"
    first = first.encode("utf-8", "replace")[:_LONGEST_WORDS_BYTES].decode("utf-8", "ignore")
    performance = " ".join(_within(_performance(report), _LONGEST_PERFORMANCE_BYTES))
    output = f"{first} | {performance}" if performance else first
    room = LONGEST_OUTPUT_BYTES - len(output.encode("utf-8", "replace"))
    return "\n".join([output, *_within(_long_text(report), room)]) + "\n"


def _summary(report: Report) -> str:
    if report.errors:
        return report.errors[0].message
    _status, cause = words.leading(report)
    if cause is not None:
        return _("root cause {verdict}: {title}").format(
            verdict=words.verdict(cause.verdict), title=cause.title
        )
    if report.status not in (Status.OK, Status.SKIPPED):
        return words.unexplained(report)
    counts = report.counts()
    shown = [words.counted(status, counts[status]) for status in Status if counts[status]]
    return ", ".join(shown) or _("nothing was looked at")


def _text(text: object, limit: int = 250) -> str:
    return escape.plain(text, limit).replace("|", "/")


def _command(text: str) -> str:
    """Return what to type, whole and without the sign that begins performance data: bash reads the same command."""
    return shell_words.without_pipe(escape.command(text))


def _within(parts: Iterator[str], room: int) -> Iterator[str]:
    """Yield parts while they fit into so many bytes."""
    for part in parts:
        room -= len(part.encode("utf-8", "replace")) + 1
        if room < 0:
            return
        yield part


def _long_text(report: Report) -> Iterator[str]:
    for error in report.errors:
        if error.hint:
            yield _command(chosen.same(error.hint))
    for cause in report.causes:
        yield _text(
            _("{verdict}: {title} ({subject})").format(
                verdict=words.verdict(cause.verdict), title=cause.title, subject=cause.subject
            )
        )
        for fix in cause.fixes[:1]:
            yield from (f"  {_command(chosen.same(command))}" for command in fix.commands)
    folded = {key for cause in report.causes for key in cause.explains}
    for finding in report.findings:
        if finding.status not in (Status.OK, Status.SKIPPED) and finding.key not in folded:
            yield _text(f"{words.status(finding.status)}: {finding.title} ({finding.key})")
    for finding in report.findings:
        if finding.silenced is not None:
            yield _text(f"{finding.key}: {words.silenced(finding.silenced)}")


def _performance(report: Report) -> Iterator[str]:
    yield f"'duration'={report.duration_ms}ms"
    for finding in _most_telling_first(report):
        value = finding.value
        if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
            label = _text(finding.key, 120).replace("'", "''").replace("=", "_")
            limits = f"{_limit(finding, finding.warning)};{_limit(finding, finding.critical)}"
            yield f"'{label}'={_number(value)}{_UNITS.get(finding.unit or '', '')};{limits}".rstrip(";")


def _most_telling_first(report: Report) -> Iterator[Finding]:
    """Yield findings in an order that is the same in every run, whatever is wrong: there is not room for all figures.

    First those that have limits, how full something is before all else; of these one of each system, then a second.
    """
    ordered = sorted(
        report.findings,
        key=lambda finding: (
            finding.warning is None and finding.critical is None,
            finding.unit != "%",
            finding.key,
        ),
    )
    systems: dict[str, list[Finding]] = {}
    for finding in ordered:
        systems.setdefault(finding.system, []).append(finding)
    for row in zip_longest(*(systems[system] for system in sorted(systems))):
        yield from (finding for finding in row if finding is not None)


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.6f}".rstrip("0").rstrip(".")


def _limit(finding: Finding, limit: float | None) -> str:
    if limit is None:
        return ""
    return f"{_number(limit)}:" if _less_is_worse(finding) else _number(limit)


def _less_is_worse(finding: Finding) -> bool:
    """Return whether the limits are lower ones, which a finding does not say but shows."""
    if finding.warning is not None and finding.critical is not None and finding.warning != finding.critical:
        return finding.critical < finding.warning
    limit = finding.critical if finding.warning is None else finding.warning
    assert limit is not None
    assert isinstance(finding.value, (int, float))
    return (finding.status is Status.OK) == (finding.value > limit)
