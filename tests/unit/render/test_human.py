"""The answer first, then why, then what to type; on 80 columns; in words and not in colour alone."""

from __future__ import annotations

import io
import subprocess

import pytest
from msgspec.structs import replace
from rich.text import Text

from samaops.model.plan import Action, ActionStatus, Risk
from samaops.model.report import Report, ReportError
from samaops.model.status import Status
from samaops.render import human, json, markdown, words
from samaops.render.layout import Hanging, Screen
from tests.unit.render import reports


def on_screen(
    report: Report, *, width: int = 80, verbose: bool = False, symbols: words.Symbols = words.UNICODE
) -> str:
    stream = io.StringIO()
    console = Screen(file=stream, width=width, highlight=False, markup=False, emoji=False)
    console.print(human.render(report, human.View(symbols, verbose)))
    return stream.getvalue()


def test_the_first_line_is_the_answer() -> None:
    first = on_screen(reports.usual()).splitlines()[0]
    assert first == "✗ CRITICAL  No worker consumes the queue low_priority"


def _with_worse_beside(status: Status) -> Report:
    """Return the usual report with a cause that is a warning, and something else that no cause explains."""
    report = reports.usual()
    softened = tuple(
        replace(one, status=Status.WARNING) if one.key in report.causes[0].explains else one
        for one in report.findings
    )
    worse = reports.finding("minio.service.unreachable", status, "minio/db", "MinIO is down")
    return replace(report, findings=(*softened, worse))


def test_the_severity_of_the_first_line_is_that_of_the_cause_it_names() -> None:
    first = on_screen(_with_worse_beside(Status.UNKNOWN)).splitlines()[0]
    assert first == "▲ WARNING  No worker consumes the queue low_priority"


def test_what_no_cause_explains_comes_first_where_it_is_worse() -> None:
    first = " ".join(on_screen(_with_worse_beside(Status.CRITICAL)).split("\n\n")[0].split())
    assert first.startswith("✗ CRITICAL MinIO is down (and 1 more); no known cause explains them")


def test_evidence_against_a_cause_is_shown_too() -> None:
    output = on_screen(reports.usual())
    assert "confirmed · rabbitmq/low_priority" in output
    assert "for  86 messages wait, 0 consumers" in output
    assert "against  Flower shows worker2 online" in output


def test_symptoms_are_folded_and_named() -> None:
    output = on_screen(reports.usual())
    assert "explains 2 findings: rabbitmq.queue.no_consumer," in output
    assert output.count("celery.queues.uncovered") == 1


def test_what_no_cause_explains_stands_apart_with_its_next_command() -> None:
    output = on_screen(reports.usual())
    assert "▲ warning  Redis uses 85 % of its maxmemory" in output
    assert "→ samaops explain redis.memory.high" in output


@pytest.mark.parametrize("width", [40, 60, 80, 100])
def test_a_command_is_never_shortened_and_can_be_copied(width: int) -> None:
    lines = [line.strip() for line in on_screen(reports.usual(), width=width).splitlines()]
    start = next(place for place, line in enumerate(lines) if line.startswith("docker exec"))
    copied = lines[start]
    while copied.endswith("\\"):
        start += 1
        copied += "\n" + lines[start]
    shell = subprocess.run(
        ["/bin/sh", "-c", f"set -- {copied}\nprintf '%s\\n' \"$@\""],
        capture_output=True,
        text=True,
        check=True,
    )
    assert shell.stdout.splitlines()[-4:] == [
        "add_consumer",
        "low_priority",
        "-d",
        "worker2@host with spaces",
    ]


@pytest.mark.parametrize("length", [71, 76, 200])
def test_a_word_that_no_screen_holds_is_printed_whole(length: int) -> None:
    path = "known_hosts=/" + "x" * length
    finding = replace(
        reports.finding("redis.memory.high", Status.WARNING, "redis/x", "Title"),
        hint=f"ssh -o {path} db uptime",
    )
    lines = on_screen(replace(reports.healthy(), findings=(finding,))).splitlines()
    assert f"{path} \\" in [line.strip() for line in lines]


@pytest.mark.parametrize("verbose", [False, True])
def test_no_line_is_wider_than_the_screen(verbose: bool) -> None:
    for report in (reports.usual(), reports.healthy()):
        assert max(len(line) for line in on_screen(report, verbose=verbose).splitlines()) <= 80


@pytest.mark.parametrize("width", range(24, 80))
def test_no_line_ends_inside_what_french_holds_together(width: int) -> None:
    sentence = "Le proxy répond « connexion refusée » depuis 12,5 s ; voir : est-il plein à 93 % ? 36\u00a0Mo"
    stream = io.StringIO()
    Screen(file=stream, width=width).print(Hanging(Text("→ "), Text(sentence)))
    lines = stream.getvalue().splitlines()
    assert [line.strip() for line in lines if line.strip()[0] in ";:?»%" or line.endswith("«")] == []
    assert not any(line.strip().startswith(("s ", "Mo")) for line in lines)
    assert " ".join(line.strip() for line in lines) == f"→ {sentence}"


def test_the_answer_that_stands_once_more_at_the_end_has_the_next_command() -> None:
    stream = io.StringIO()
    Screen(file=stream, width=200).print(human.once_more(reports.usual(), human.View(words.UNICODE)))
    command = reports.usual().causes[0].fixes[0].commands[0]
    assert stream.getvalue().splitlines() == [
        "✗ CRITICAL  No worker consumes the queue low_priority",
        f"   → {command}",
    ]


def test_a_healthy_report_fits_one_screen() -> None:
    output = on_screen(reports.healthy())
    assert output.startswith("✓ OK  All is well: 8 checks\n")
    assert len(output.splitlines()) <= 24


def test_every_system_has_its_line() -> None:
    output = on_screen(reports.usual())
    for system in reports.SYSTEMS:
        assert system in output
    assert "1 ok, 1 warning, 1 skipped, 34 ms" in output


def test_verbose_lists_all_and_what_looking_cost() -> None:
    output = on_screen(reports.usual(), verbose=True)
    assert "minio.service.unreachable@minio/x" in output
    assert "looking cost 9 connections, 7 commands, 48.2 kB read, 0 writes" in output
    assert "undo: celery undo" in output


def test_without_a_cause_the_worst_finding_is_the_answer() -> None:
    report = replace(reports.usual(), causes=())
    first = on_screen(report, width=120).splitlines()[0]
    assert first == "✗ CRITICAL  A title (and 2 more); no known cause explains them"
    alone = replace(report, findings=report.findings[:1])
    assert on_screen(alone).startswith("✗ CRITICAL  ")
    assert "; no known cause explains it" in on_screen(alone, width=120)


def test_when_the_rest_is_well_the_answer_says_so_before_it_names_what_is_unknown() -> None:
    healthy = reports.healthy()
    blind = reports.finding("docker.engine.unreachable", Status.UNKNOWN, "docker/api", "No engine here")
    report = replace(healthy, findings=(blind, *healthy.findings))
    answer = on_screen(report).splitlines()[0]
    assert answer == "? UNKNOWN  What could be looked at is well; unknown: No engine here"
    only = replace(healthy, findings=(blind,))
    assert on_screen(only).splitlines()[0] == "? UNKNOWN  No engine here; no known cause explains it"


def test_an_error_comes_before_everything() -> None:
    report = replace(
        reports.usual(), errors=(ReportError("Nothing could be reached", "check your network", 69),)
    )
    assert on_screen(report).splitlines()[0] == "✗ CRITICAL  Nothing could be reached"


def test_a_deadline_that_was_hit_is_said() -> None:
    assert "deadline was reached" in on_screen(replace(reports.usual(), deadline_hit=True))


def test_a_screen_without_unicode_gets_signs_of_ascii() -> None:
    symbols = words.symbols_for("ascii")
    output = on_screen(reports.usual(), symbols=symbols)
    assert output.isascii()
    assert output.startswith("X CRITICAL  No worker")
    assert words.symbols_for("utf-8") is words.UNICODE


@pytest.mark.parametrize("status", list(Status))
def test_every_status_has_a_word_and_not_only_a_colour(status: Status) -> None:
    finding = reports.finding("redis.memory.high", status, "redis/x", "Title")
    output = on_screen(replace(reports.healthy(), findings=(finding,)), verbose=True)
    assert words.status(status) in output.lower()


def without_causes() -> Report:
    return replace(reports.usual(), causes=())


def test_differences_come_before_what_no_cause_explains() -> None:
    output = on_screen(reports.compared(without_causes()))
    assert output.index("2 differences since the last well look, at ") < output.index("Redis uses 85 %")
    assert "file /c.yml was changed" in output
    assert "not compared, because it was not looked at now: rabbitmq@api" in output


def test_where_causes_explain_all_there_is_one_line_of_differences() -> None:
    usual = reports.usual()
    folded = {key for cause in usual.causes for key in cause.explains}
    explained = replace(usual, findings=tuple(one for one in usual.findings if one.key in folded))
    output = on_screen(reports.compared(explained), width=120)
    assert "samaops diagnose --since-well: 2 differences since the last well look, at " in output
    assert "/c.yml" not in output
    assert "since-well" not in on_screen(reports.compared(explained, count=0))


def test_a_healthy_look_says_nothing_of_differences_unless_asked() -> None:
    healthy = reports.healthy()
    assert on_screen(reports.compared(healthy)) == on_screen(healthy)
    assert "Redis setting 1 is 2" in on_screen(reports.compared(healthy, is_asked=True))
    assert "Nothing is different since the last well look, at " in on_screen(
        reports.compared(healthy, is_asked=True, count=0)
    )


def test_what_was_asked_for_stands_before_the_causes_and_is_bounded() -> None:
    output = on_screen(reports.compared(reports.usual(), is_asked=True, count=30))
    assert output.index("30 differences") < output.index("confirmed · rabbitmq/low_priority")
    assert "20 more (-v)" in output
    assert "Redis setting 29" in on_screen(
        reports.compared(reports.usual(), is_asked=True, count=30), verbose=True
    )


def _plan(*risks: Risk, **more: str) -> Report:
    steps = tuple(Action("x", f"Step {risk}", risk, commands=("do it",), **more) for risk in risks)  # type: ignore[arg-type]
    title = "Plan (nothing has been changed yet): Do it"
    return Report("queue purge", reports.MOMENT, actions=steps, answer=title)


@pytest.mark.parametrize(
    ("risks", "word", "colour"),
    [
        ((Risk.SAFE,), "safe", "36"),
        ((Risk.SAFE, Risk.DISRUPTIVE), "disruptive: users notice for a moment", "33"),
        ((Risk.DESTRUCTIVE, Risk.SAFE), "destructive: data is lost", "1;31"),
    ],
)
def test_a_plan_is_headed_as_a_plan_with_its_risk_in_words_and_colour(
    risks: tuple[Risk, ...], word: str, colour: str
) -> None:
    report = _plan(*risks)
    lines = on_screen(report).splitlines()
    assert lines[:2] == ["→ Plan (nothing has been changed yet): Do it", f"  Risk: {word}"]
    stream = io.StringIO()
    console = Screen(file=stream, force_terminal=True, color_system="standard", width=80)
    console.print(human.render(report, human.View(words.UNICODE)))
    head = "\n".join(stream.getvalue().splitlines()[:2])
    assert f"\x1b[{colour}m{word}" in head
    assert "OK" not in head
    assert "\x1b[32m" not in stream.getvalue(), "nothing of a plan is green"


def test_a_plan_that_was_run_is_no_plan_any_more() -> None:
    report = _plan(Risk.SAFE)
    done = replace(report, actions=(replace(report.actions[0], status=ActionStatus.VERIFIED),), answer="Done")
    assert on_screen(done).splitlines()[0] == "✓ OK  Done"


def test_what_is_destroyed_and_brought_back_is_in_every_face_of_a_plan() -> None:
    report = _plan(Risk.DESTRUCTIVE, destroys="7 messages")
    report = replace(
        report, actions=(replace(report.actions[0], undo=("undo it",), undo_restores=("6 of them",)),)
    )
    for text in (on_screen(report), markdown.render(report)):
        assert "destroys: 7 messages" in text
        assert "undo brings back: 6 of them" in text
    assert markdown.render(report).startswith("# samaops queue purge: plan\n")
    (action,) = json.document(report)["actions"]
    assert (action["destroys"], action["undo_restores"]) == ("7 messages", ["6 of them"])


def test_a_diagnosis_names_the_runbook_that_has_the_repairs() -> None:
    report = reports.usual()
    (runbook,) = {cause.runbook for cause in report.causes}
    lines = on_screen(replace(report, command="diagnose")).splitlines()
    assert any(line.startswith(f"→ samaops troubleshoot {runbook}: ") for line in lines)
    assert "samaops troubleshoot" not in on_screen(replace(report, command="troubleshoot"))
