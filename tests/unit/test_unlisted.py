"""The faults that no cause knows: their declarations are complete, and answers are judged by them alone."""

from __future__ import annotations

import re
import subprocess
from typing import Any

import pytest

from benchmarks.unlisted import table
from benchmarks.unlisted.declaration import DIRECTORY, Declaration, Expected, read_all
from benchmarks.unlisted.judgement import Outcome, judge
from benchmarks.unlisted.trial import Trial
from samaops.causes.graph import DECLARATIONS
from samaops.lab.incidents.running import INCIDENTS

FAULTS = read_all()
EXPECTED = Expected(names=("read.only", "samaconso"), area=("postgresql/",), honest=("^tasks-failing@",))


def test_there_are_as_many_as_are_needed_and_none_is_declared_twice() -> None:
    assert len(FAULTS) >= 30
    assert len({one.id for one in FAULTS}) == len(FAULTS)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda one: one.id)
def test_each_says_where_it_is_from_how_it_heals_and_what_is_right(fault: Declaration) -> None:
    assert re.fullmatch(r"https://github\.com/[\w.-]+/[\w.-]+/(issues|pull)/\d+", fault.source)
    texts = (fault.does, fault.notices, fault.answer, fault.break_, fault.evidence, fault.heal)
    assert all(text.strip() for text in texts)
    assert fault.expected.names
    assert fault.expected.area


@pytest.mark.parametrize("fault", FAULTS, ids=lambda one: one.id)
def test_the_right_answer_would_be_taken_for_right(fault: Declaration) -> None:
    report = {"causes": [cause("unheard-of", fault.answer)], "findings": []}
    assert judge(report, fault.expected).outcome == "named"


@pytest.mark.parametrize("fault", FAULTS, ids=lambda one: one.id)
def test_its_commands_are_commands_of_bash(fault: Declaration) -> None:
    for script in (fault.break_, fault.evidence, fault.heal):
        done = subprocess.run(["bash", "-n", "-c", script], capture_output=True, text=True, check=False)
        assert done.stderr == ""


def test_the_prelude_is_bash() -> None:
    assert subprocess.run(["bash", "-n", str(DIRECTORY / "prelude.sh")], check=False).returncode == 0


def test_none_is_an_incident_of_the_lab_or_has_the_name_of_a_cause() -> None:
    known = {one.id for one in INCIDENTS} | {name for one in DECLARATIONS for name in one.ids}
    assert not known & {one.id for one in FAULTS}


def cause(name: str, title: str, verdict: str = "confirmed") -> dict[str, Any]:
    return {"id": name, "subject": "postgresql/db", "title": title, "verdict": verdict}


def finding(title: str, subject: str = "postgresql/db", status: str = "critical") -> dict[str, Any]:
    return {
        "code": "a.b.c",
        "status": status,
        "subject": subject,
        "title": title,
        "detail": "",
        "evidence": {"log": "a line"},
    }


@pytest.mark.parametrize(
    ("causes", "findings", "outcome"),
    [
        ([cause("new", "samaconso is read-only")], [], "named"),
        ([cause("new", "samaconso is read-only", "inconclusive")], [], "named"),
        ([], [finding("samaconso is read-only")], "named"),
        # The words must stand together: each alone says nothing.
        (
            [],
            [finding("samaconso is slow", "api/a"), finding("a disk is read-only", "servers/a")],
            "not seen",
        ),
        ([cause("lock-chain", "A session is waited for")], [], "wrong name"),
        ([cause("lock-chain", "x"), cause("new", "samaconso is read-only")], [], "wrong name"),
        ([cause("lock-chain", "x", "inconclusive")], [finding("slow")], "narrowed down"),
        ([cause("tasks-failing", "10 tasks failed")], [finding("slow")], "narrowed down"),
        (
            [],
            [finding("slow", "api/api_1")] * 5 + [finding("samaconso is read-only", "x/y")],
            "narrowed down",
        ),
        ([], [finding("slow", "api/api_1")], "not seen"),
        ([], [finding("samaconso is read-only", status="ok")], "not seen"),
        ([], [], "not seen"),
    ],
)
def test_an_answer_is_judged(
    causes: list[dict[str, Any]], findings: list[dict[str, Any]], outcome: Outcome
) -> None:
    assert judge({"causes": causes, "findings": findings}, EXPECTED).outcome == outcome


def test_no_report_is_no_answer() -> None:
    assert judge({}, EXPECTED).outcome == "no answer"


def test_a_run_is_clean_when_nothing_has_a_wrong_name_and_nine_of_ten_are_near() -> None:
    good = [Trial(f"fault-{number}", "narrowed down", healed=True) for number in range(9)]
    assert table.is_clean([*good, Trial("other", "not seen", healed=True)])
    assert table.is_clean([*good, Trial("other", "not broken", healed=True)])
    assert not table.is_clean([*good, Trial("other", "wrong name", healed=True)])
    assert not table.is_clean([*good, Trial("other", "named", healed=False)])
    assert not table.is_clean(
        [*good[:8], Trial("one", "not seen", healed=True), Trial("two", "not seen", healed=True)]
    )
    assert not table.is_clean([])


def test_the_table_has_a_line_for_each_fault() -> None:
    faults = {one.id: one for one in FAULTS}
    first = FAULTS[0].id
    printed = list(table.lines(faults, [Trial(first, "named", ("confirmed a|b",)), Trial("gone", "named")]))
    assert printed[2].startswith(f"| `{first}` | ")
    assert printed[2].endswith("| named | confirmed a\\|b |")
    assert "1 faults: named 1." in printed
    assert f"Not healed: {first}." in printed
