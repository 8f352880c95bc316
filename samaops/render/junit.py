"""A report as JUnit XML: one suite per system, one case per check; for CI servers and dashboards."""

from __future__ import annotations

from xml.etree.ElementTree import Element, SubElement, tostring

from samaops.model.finding import Finding
from samaops.model.report import Report
from samaops.model.status import Status
from samaops.render import escape


def render(report: Report) -> str:
    """Return the report as one XML document."""
    root = Element("testsuites", name=f"samaops {report.command}", time=f"{report.duration_ms / 1000:.3f}")
    systems: dict[str, list[Finding]] = {}
    for finding in report.findings:
        systems.setdefault(finding.system, []).append(finding)
    for system, findings in systems.items():
        _suite(root, report, system, findings)
    if report.errors:
        _errors(root, report)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + tostring(root, encoding="unicode") + "\n"


def _suite(root: Element, report: Report, system: str, findings: list[Finding]) -> None:
    statuses = [finding.status for finding in findings]
    suite = SubElement(
        root,
        "testsuite",
        name=_text(system),
        tests=str(len(findings)),
        failures=str(sum(status in (Status.CRITICAL, Status.WARNING) for status in statuses)),
        errors=str(statuses.count(Status.UNKNOWN)),
        skipped=str(statuses.count(Status.SKIPPED)),
        time=f"{report.timings_ms.get(system, 0) / 1000:.3f}",
        timestamp=report.started_at.replace(tzinfo=None).isoformat(timespec="seconds"),
    )
    for finding in findings:
        _case(suite, finding)


def _case(suite: Element, finding: Finding) -> None:
    case = SubElement(suite, "testcase", classname=_text(finding.code), name=_text(finding.key), time="0")
    if finding.status is Status.SKIPPED:
        SubElement(case, "skipped", message=_text(finding.detail))
    elif finding.status is not Status.OK:
        tag = "error" if finding.status is Status.UNKNOWN else "failure"
        problem = SubElement(case, tag, type=finding.status.value, message=_text(finding.title))
        lines = [_text(finding.detail), _text(f"cause: {finding.cause}" if finding.cause else "")]
        problem.text = "\n".join(line for line in (*lines, escape.command(finding.hint or "")) if line)


def _errors(root: Element, report: Report) -> None:
    count = str(len(report.errors))
    suite = SubElement(
        root, "testsuite", name="samaops", tests=count, failures="0", errors=count, skipped="0"
    )
    for error in report.errors:
        case = SubElement(suite, "testcase", classname="samaops", name=report.command, time="0")
        problem = SubElement(case, "error", type=str(error.exit_code), message=_text(error.message))
        problem.text = escape.command(error.hint)


def _text(text: object) -> str:
    """Return text without what XML 1.0 cannot hold; ElementTree escapes the rest."""
    return escape.plain(text)
