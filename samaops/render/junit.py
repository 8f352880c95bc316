"""A report as JUnit XML: one suite per system, one case per check; for CI servers and dashboards.

Its readers differ: Jenkins takes attributes and orders that the schema of Ant's JUnitReport does not. What is written
here is valid by both (tests/data/junit.xsd).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import timezone
from xml.etree.ElementTree import Element, SubElement, tostring

from samaops.model.finding import Finding
from samaops.model.report import Report, ReportError
from samaops.model.status import Status
from samaops.render import escape
from samaops.site import chosen


def render(report: Report) -> str:
    """Return the report as one XML document."""
    root = Element("testsuites")
    systems: dict[str, list[Finding]] = {}
    for finding in report.findings:
        systems.setdefault(finding.system, []).append(finding)
    for system, findings in systems.items():
        statuses = [finding.status for finding in findings]
        counts = {
            "tests": len(findings),
            "failures": sum(status in (Status.CRITICAL, Status.WARNING) for status in statuses),
            "errors": statuses.count(Status.UNKNOWN),
            "skipped": statuses.count(Status.SKIPPED),
        }
        cases = [_case(finding) for finding in findings]
        _suite(root, report, system, counts, cases)
    if report.errors:
        count = len(report.errors)
        counts = {"tests": count, "failures": 0, "errors": count, "skipped": 0}
        _suite(root, report, "samaops", counts, [_error(report, error) for error in report.errors])
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + tostring(root, encoding="unicode") + "\n"


def _suite(root: Element, report: Report, name: str, counts: Mapping[str, int], cases: list[Element]) -> None:
    suite = SubElement(
        root,
        "testsuite",
        name=_text(name),
        package=f"samaops.{report.command.replace(' ', '.')}",
        id=str(len(root)),
        hostname=_text(os.uname().nodename) or "localhost",
        timestamp=report.started_at.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S"),
        time=f"{report.timings_ms.get(name, 0) / 1000:.3f}",
    )
    suite.attrib.update({kind: str(count) for kind, count in counts.items()})
    properties = SubElement(suite, "properties")
    SubElement(properties, "property", name="duration_ms", value=str(report.duration_ms))
    suite.extend(cases)
    SubElement(suite, "system-out")
    SubElement(suite, "system-err")


def _case(finding: Finding) -> Element:
    case = Element("testcase", classname=_text(finding.code), name=_text(finding.key), time="0")
    if finding.status is Status.SKIPPED:
        SubElement(case, "skipped", message=_text(finding.detail))
    elif finding.status is not Status.OK:
        tag = "error" if finding.status is Status.UNKNOWN else "failure"
        problem = SubElement(case, tag, type=finding.status.value, message=_text(finding.title))
        lines = [_text(finding.detail), _text(f"cause: {finding.cause}" if finding.cause else "")]
        hint = escape.command(chosen.same(finding.hint or ""))
        problem.text = "\n".join(line for line in (*lines, hint) if line)
    return case


def _error(report: Report, error: ReportError) -> Element:
    case = Element("testcase", classname="samaops", name=report.command, time="0")
    problem = SubElement(case, "error", type=str(error.exit_code), message=_text(error.message))
    problem.text = escape.command(chosen.same(error.hint))
    return case


def _text(text: object) -> str:
    """Return text without what XML 1.0 cannot hold; ElementTree escapes the rest."""
    return escape.plain(text)
