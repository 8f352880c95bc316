"""What is proposed after a change names the lab where it was made in the lab."""

from __future__ import annotations

import pytest
from rich.console import Console

from samaops.actions.engine import FAILED, Applied
from samaops.cli import arguments
from samaops.config.command_lines import LAB_SITE
from samaops.config.settings import Settings
from samaops.model.plan import ActionStatus
from samaops.render import canary
from samaops.render.human import View
from samaops.render.words import UNICODE
from samaops.workflows import change
from tests.unit.actions.scripted import plan, step

PLAN = plan(step("a"))
SITES = [(LAB_SITE, "samaops --lab"), ("production", "samaops")]


@pytest.mark.parametrize(("site", "program"), SITES)
def test_what_was_done_is_taken_back_where_it_was_done(site: str, program: str) -> None:
    done = Applied("a-change", (ActionStatus.VERIFIED,))
    report = change.report_of(Settings(site=site), PLAN, done)
    assert report.answer == f"Done and verified: Set them. To take it back: {program} undo a-change"


def test_what_nothing_could_verify_is_only_said_to_be_done() -> None:
    done = Applied("a-change", (ActionStatus.APPLIED,))
    report = change.report_of(Settings(), plan(step("a", can_undo=False)), done)
    assert report.answer == "Done: Set them"


@pytest.mark.parametrize(("site", "program"), SITES)
def test_what_failed_is_looked_at_where_it_was_tried(site: str, program: str) -> None:
    failed = Applied("a-change", (ActionStatus.REVERTED,), FAILED, "it failed")
    (error,) = change.report_of(Settings(site=site), PLAN, failed).errors
    assert error.hint == f"{program} history show a-change"


@pytest.mark.parametrize(
    ("argv", "hint", "expected"),
    [
        ("--lab undo x", "samaops history list", "samaops --lab history list"),
        ("undo x", "samaops history list", "samaops history list"),
        ("undo -- --lab", "samaops history list", "samaops history list"),
        ("--lab diagnose", "samaops --lab diagnose --only api", "samaops --lab diagnose --only api"),
        ("--lab diagnose", "samaops lab up", "samaops lab up"),
        ("--lab config show", "samaops config init", "samaops config init"),
        ("--lab undo", "samaops undo --help", "samaops undo --help"),
        ("--lab queue park", "docker unpause frozen", "docker unpause frozen"),
        ("--lab undo x", "", ""),
    ],
)
def test_what_helps_after_an_error_is_of_the_lab_too(argv: str, hint: str, expected: str) -> None:
    assert arguments.for_the_lab(argv.split(), hint) == expected


def test_a_canary_s_place_in_the_journal_is_a_command_that_can_be_copied() -> None:
    report = change.report_of(Settings(), PLAN, Applied("a-change", (ActionStatus.VERIFIED,)))
    console = Console(width=80)
    with console.capture() as captured:
        console.print(canary.page(report, View(UNICODE), "samaops --lab history show a-change"))
    assert captured.get().splitlines()[-1] == "in the journal: samaops --lab history show a-change"
