"""The faces for machines keep to their formats."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import jsonschema
import pytest
import xmlschema
from msgspec.structs import replace

from samaops.i18n import use_language
from samaops.model.cause import Cause, Fix, Verdict
from samaops.model.finding import Finding
from samaops.model.plan import Risk
from samaops.model.report import Report, ReportError, worst_first
from samaops.model.status import Status
from samaops.render import faces, nagios
from samaops.render.faces import Output
from tests.unit.render import reports

SCHEMA = json.loads((Path(__file__).parents[3] / "docs" / "report.schema.json").read_text(encoding="utf-8"))
JUNIT = xmlschema.XMLSchema(str(Path(__file__).parents[2] / "data" / "junit.xsd"))
# MAX_PACKETBUFFER_LENGTH of NRPE 2, and of every newer one that speaks with it.
NRPE_BYTES = 1024
FAILED = Report(
    "diagnose", reports.MOMENT, errors=(ReportError("No configuration", "samaops config init", 78),)
)


REPORTS = {
    "usual": reports.usual(),
    "healthy": reports.healthy(),
    "failed": FAILED,
    "empty": Report("diagnose", reports.MOMENT),
    "of a routine": replace(reports.usual(), command="maintain daily"),
    **{f"hostile: {name}": reports.hostile(text) for name, text in reports.HOSTILE.items()},
}
each_report = pytest.mark.parametrize("report", REPORTS.values(), ids=REPORTS)


def document(report: Report) -> dict[str, object]:
    parsed: dict[str, object] = json.loads(faces.render(report, Output.JSON))
    return parsed


@pytest.mark.parametrize(
    "report",
    [reports.usual(), reports.healthy(), FAILED, reports.compared(reports.usual())],
    ids=["usual", "healthy", "failed", "compared"],
)
def test_json_keeps_to_its_schema(report: Report) -> None:
    jsonschema.validate(document(report), SCHEMA)


def test_json_has_the_words_and_the_order_of_the_contract() -> None:
    found = document(reports.usual())
    assert list(found)[:5] == ["schema", "command", "status", "started_at", "duration_ms"]
    assert found["started_at"] == "2026-01-31T03:12:00.123+00:00"
    causes = found["causes"]
    assert isinstance(causes, list)
    assert causes[0]["for"] == ["86 messages wait, 0 consumers", "worker2 is up and consumes only: normal"]
    assert causes[0]["against"] == ["Flower shows worker2 online"]


def test_json_has_what_is_different_and_since_when() -> None:
    found = document(reports.compared(reports.usual()))
    assert (found["well_at"], found["not_compared"]) == ("2026-01-31T02:12:00.123+00:00", ["rabbitmq@api"])
    differences = found["differences"]
    assert isinstance(differences, list)
    assert [(one["place"], one["at"]) for one in differences] == [
        ("docker/file//c.yml", "2026-01-31T03:05:00.123+00:00"),
        ("redis/setting/1", None),
    ]


def test_markdown_lists_what_is_different() -> None:
    text = faces.render(reports.compared(reports.usual()), Output.MARKDOWN)
    assert "## Different since all was well" in text
    assert "Different since" not in faces.render(reports.compared(reports.healthy()), Output.MARKDOWN)


def test_json_has_no_number_that_json_has_not() -> None:
    odd = reports.finding(
        "redis.memory.high", Status.OK, "redis/x", value=math.nan, evidence={"rate": math.inf}
    )
    text = faces.render(replace(reports.healthy(), findings=(odd,)), Output.JSON)
    assert "NaN" not in text
    assert "Infinity" not in text
    json.loads(text)


def test_nagios_first_line_is_status_cause_and_performance_data() -> None:
    first = faces.render(reports.usual(), Output.NAGIOS).splitlines()[0]
    assert first.startswith(
        "SAMACONSO CRITICAL - root cause confirmed: No worker consumes the queue low_priority | 'duration'=812ms "
    )
    assert "'redis.memory.high@redis/workers'=85.5%;80;95" in first
    assert "'rabbitmq.queue.no_consumer@rabbitmq/low_priority'=86" in first


@pytest.mark.parametrize(
    ("status", "value", "warning", "critical", "limits"),
    [
        (Status.OK, 99.5, 99, 95, ";99:;95:"),
        (Status.OK, 10, 99, None, ";99"),
        (Status.OK, 100, 99, None, ";99:"),
        (Status.WARNING, 10, 99, None, ";99:"),
        (Status.WARNING, 100, 99, None, ";99"),
        (Status.CRITICAL, 5, None, 10, ";;10:"),
        (Status.OK, 5, None, None, ""),
    ],
)
def test_nagios_limits_say_which_side_is_bad(
    status: Status, value: float, warning: float | None, critical: float | None, limits: str
) -> None:
    one = reports.finding("a.b", status, "a/x", value=value, warning=warning, critical=critical)
    first = nagios.render(replace(reports.healthy(), findings=(one,))).splitlines()[0]
    assert first.endswith(f"'a.b@a/x'={value}{limits}")


def test_nagios_stays_within_its_buffer_with_a_thousand_findings() -> None:
    many = tuple(
        reports.finding("a.b", Status.CRITICAL, f"a/queue_{number}", "A long title " * 10, value=number)
        for number in range(1000)
    )
    output = nagios.render(replace(reports.healthy(), findings=many))
    assert len(output.encode()) <= nagios.LONGEST_OUTPUT_BYTES + 1
    assert output.startswith("SAMACONSO CRITICAL - A long title ")
    assert "(and 999 more)" in output.splitlines()[0]


def test_prometheus_has_one_gauge_per_check_of_this_run() -> None:
    text = faces.render(reports.usual(), Output.PROMETHEUS)
    assert 'samaops_check_status{code="redis.memory.high",subject="redis/workers"} 1' in text
    assert 'samaops_check_value{code="redis.memory.high",subject="redis/workers",unit="%"} 85.5' in text
    assert (
        'samaops_cause{id="queue-without-consumer",subject="rabbitmq/low_priority",verdict="confirmed"} 1'
        in text
    )
    assert "samaops_diagnose_duration_seconds 0.812" in text
    assert "redis.keys.no_expiry" not in text, "a skipped check has no status to report"
    assert text.count("# TYPE samaops_check_status gauge") == 1


def test_junit_counts_failures_errors_and_skips() -> None:
    root = ElementTree.fromstring(faces.render(reports.usual(), Output.JUNIT))
    suites = {suite.get("name"): suite for suite in root}
    redis = suites["redis"]
    assert (redis.get("tests"), redis.get("failures"), redis.get("skipped")) == ("3", "1", "1")
    failure = redis.find("testcase/failure")
    assert failure is not None
    assert failure.get("type") == "warning"


def test_junit_shows_a_command_that_failed() -> None:
    root = ElementTree.fromstring(faces.render(FAILED, Output.JUNIT))
    assert root.find("testsuite/testcase/error") is not None


def test_markdown_has_the_cause_its_commands_and_the_table() -> None:
    text = faces.render(reports.usual(), Output.MARKDOWN)
    assert text.startswith("# samaops diagnose: critical\n")
    assert f"```sh\n{reports.LONG_COMMAND}\n```" in text
    assert "| warning | redis\\.memory\\.high | redis/workers |" in text


@each_report
def test_junit_is_valid_for_jenkins_and_for_ant(report: Report) -> None:
    JUNIT.validate(faces.render(report, Output.JUNIT).partition("\n")[2])


@each_report
def test_promtool_takes_what_prometheus_is_given(report: Report) -> None:
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not on this machine")
    text = faces.render(report, Output.PROMETHEUS)
    done = subprocess.run(
        ["promtool", "check", "metrics"], input=text.encode(), capture_output=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_prometheus_has_no_series_twice_when_a_directory_holds_the_files_of_two_commands() -> None:
    def series(report: Report) -> set[str]:
        lines = faces.render(report, Output.PROMETHEUS).splitlines()
        return {line.rpartition(" ")[0] for line in lines if not line.startswith("#")}

    assert not series(reports.usual()) & series(REPORTS["of a routine"])


def test_prometheus_says_that_a_run_failed() -> None:
    text = faces.render(FAILED, Output.PROMETHEUS)
    assert "samaops_status 3\n" in text
    assert 'samaops_error{exit_code="78"} 1\n' in text
    assert "samaops_status 2\n" in faces.render(reports.usual(), Output.PROMETHEUS)


def measured(status: Status, number: int) -> Finding:
    """Return a finding with a value, and every other one with limits, named as long as those of the guide."""
    limits = {"warning": 80, "critical": 95} if number % 2 else {}
    key = f"rabbitmq/samaconso_queue_{number:03}"
    return reports.finding(
        "rabbitmq.queue.backlog", status, key, "Été " * 90, value=number, unit="%", **limits
    )


@pytest.mark.parametrize("language", ["en", "fr"])
@pytest.mark.parametrize("count", [3, 300])
def test_nagios_fits_what_nrpe_hands_on_when_all_is_well(language: str, count: int) -> None:
    use_language(language)
    fine = tuple(measured(Status.OK, number) for number in range(count))
    output = nagios.render(replace(reports.healthy(), findings=fine))
    assert len(output.encode()) < NRPE_BYTES
    first, _bar, figures = output.partition(" | ")
    assert first.startswith("SAMACONSO OK - ")
    assert figures.split()[1] == "'rabbitmq.queue.backlog@rabbitmq/samaconso_queue_001'=1%;80;95"


def test_nagios_has_the_same_figures_whatever_is_wrong_and_its_first_line_fits_nrpe_then_too() -> None:
    def figures(*bad: int) -> list[str]:
        findings = [
            measured(Status.CRITICAL if number in bad else Status.OK, number) for number in range(100)
        ]
        report = replace(reports.healthy(), findings=worst_first(findings))
        first = nagios.render(report).splitlines()[0]
        assert len(first.encode()) < NRPE_BYTES
        return [figure.partition("=")[0] for figure in first.partition(" | ")[2].split()]

    assert figures() == figures(98, 99) == figures(*range(100))
    assert len(figures()) > 5


PIPED = "ssh root@10.0.0.1 'du -xh / | sort -rh | head'"


def test_nagios_shows_a_command_with_a_pipe_whole_and_without_the_sign_of_performance_data() -> None:
    long = "ls " + "x" * 2000
    fix = Fix("look", Risk.SAFE, "See", (PIPED, long))
    cause = Cause("disk-full", None, Verdict.CONFIRMED, "servers/api", "The disk is full", fixes=(fix,))
    lines = faces.render(Report("diagnose", reports.MOMENT, causes=(cause,)), Output.NAGIOS).splitlines()
    shown = [line.strip() for line in lines if line.startswith("  ")]
    assert shown == [r"eval $'ssh root@10.0.0.1 \047du -xh / \174 sort -rh \174 head\047'", long]


@pytest.mark.parametrize("output", [Output.NAGIOS, Output.JUNIT, Output.MARKDOWN])
def test_what_helps_after_an_error_can_be_typed_from_every_form(output: Output) -> None:
    hint = "samaops --config 'a b*.toml' history show " + "x" * 600
    report = Report("diagnose", reports.MOMENT, errors=(ReportError("it failed", hint, 70),))
    assert hint in faces.render(report, output)
