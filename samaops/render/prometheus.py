"""A report in Prometheus' text format, for the node exporter's textfile collector: gauges of this run only.

https://prometheus.io/docs/instrumenting/exposition_formats/ The collector puts all files of its directory together and
shows none of them when two hold the same series: those of other commands than diagnose say which.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

from samaops.model.finding import Finding
from samaops.model.report import Report
from samaops.model.status import NAGIOS_CODE, Status
from samaops.render import escape

_LONGEST_LABEL = 200
Sample = tuple[dict[str, str], float]


def render(report: Report) -> str:
    """Return the report as gauges."""
    seconds = report.duration_ms / 1000
    families: list[tuple[str, str, Iterable[Sample]]] = [
        (
            "samaops_status",
            "The worst status of the run: 0 ok, 1 warning, 2 critical, 3 unknown (could not look).",
            [({}, NAGIOS_CODE[report.status])],
        ),
        (
            "samaops_check_status",
            "Status of a check: 0 ok, 1 warning, 2 critical, 3 unknown (could not look).",
            _statuses(report),
        ),
        ("samaops_check_value", "The value that a check judged.", _values(report)),
        (
            "samaops_check_silenced",
            "A check of which nobody is told now.",
            [(_identity(finding), 1) for finding in report.findings if finding.silenced],
        ),
        ("samaops_cause", "A root cause that was found.", _causes(report)),
        (
            "samaops_error",
            "Why the run could not do its work, by its exit code.",
            [({"exit_code": str(error.exit_code)}, 1) for error in report.errors],
        ),
        ("samaops_diagnose_duration_seconds", "How long looking took.", [({}, seconds)]),
        ("samaops_diagnose_timestamp_seconds", "When looking began.", [({}, report.started_at.timestamp())]),
    ]
    of_run = {} if report.command == "diagnose" else {"command": report.command}
    return "".join(line + "\n" for family in families for line in _family(*family, of_run))


def _family(name: str, explanation: str, samples: Iterable[Sample], of_run: dict[str, str]) -> Iterator[str]:
    lines: dict[str, str] = {}  # a series may stand only once: shortened labels could be the same
    for labels, value in samples:
        lines.setdefault(_labels({**labels, **of_run}), _number(value))
    if lines:
        yield f"# HELP {name} {explanation}"
        yield f"# TYPE {name} gauge"
    for series, number in lines.items():
        yield f"{name}{series} {number}"


def _labels(labels: dict[str, str]) -> str:
    shown = ",".join(f'{name}="{_label(value)}"' for name, value in labels.items() if value)
    return f"{{{shown}}}" if shown else ""


def _label(value: str) -> str:
    text = escape.plain(value, _LONGEST_LABEL)
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"
    return repr(value)


def _identity(finding: Finding) -> dict[str, str]:
    labels = {"code": finding.code, "subject": finding.subject, "server": finding.server or ""}
    return labels | ({"site": finding.site} if finding.site else {})


def _statuses(report: Report) -> Iterator[Sample]:
    for finding in report.findings:
        if finding.status is not Status.SKIPPED:
            yield _identity(finding), NAGIOS_CODE[finding.status]


def _values(report: Report) -> Iterator[Sample]:
    for finding in report.findings:
        if isinstance(finding.value, (int, float)):
            value = int(finding.value) if isinstance(finding.value, bool) else finding.value
            yield {**_identity(finding), "unit": finding.unit or ""}, value


def _causes(report: Report) -> Iterator[Sample]:
    for cause in report.causes:
        yield {"id": cause.id, "subject": cause.subject, "verdict": cause.verdict.for_machines}, 1
