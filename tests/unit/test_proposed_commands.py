"""What is proposed is for the site that was looked at: the lab, or a configuration named on the command line."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console

from samaops.changes.engine import FAILED, Applied
from samaops.config.settings import Settings
from samaops.model.plan import ActionStatus
from samaops.render import canary
from samaops.render.human import View
from samaops.render.words import UNICODE
from samaops.site import chosen
from samaops.site.commands import LAB_SITE
from samaops.site.site import Site
from samaops.workflows import change
from tests.unit.changes.scripted import plan, step

PLAN = plan(step("a"))
SITES = [(LAB_SITE, "samaops --lab"), ("production", "samaops")]


@pytest.mark.parametrize(("site", "program"), SITES)
def test_what_was_done_is_taken_back_where_it_was_done(site: str, program: str) -> None:
    done = Applied("a-change", (ActionStatus.VERIFIED,))
    report = change.report_of(Site(Settings(site=site)), PLAN, done)
    assert report.answer == f"Done and verified: Set them. To take it back: {program} undo a-change"


def test_what_nothing_could_verify_is_only_said_to_be_done() -> None:
    done = Applied("a-change", (ActionStatus.APPLIED,))
    report = change.report_of(Site(Settings()), plan(step("a", can_undo=False)), done)
    assert report.answer == "Done: Set them"


@pytest.mark.parametrize(("site", "program"), SITES)
def test_what_failed_is_looked_at_where_it_was_tried(site: str, program: str) -> None:
    failed = Applied("a-change", (ActionStatus.REVERTED,), FAILED, "it failed")
    (error,) = change.report_of(Site(Settings(site=site)), PLAN, failed).errors
    assert error.hint == f"{program} history show a-change"


@pytest.mark.parametrize(
    ("hint", "expected"),
    [
        ("samaops history list", "samaops {}history list"),
        ("samaops lab up", "samaops lab up"),
        ("samaops config init", "samaops config init"),
        ("samaops undo --help", "samaops undo --help"),
        ("docker unpause frozen", "docker unpause frozen"),
        ("", ""),
    ],
)
@pytest.mark.parametrize(
    ("config", "lab", "options"),
    [
        (None, False, ""),
        (None, True, "--lab "),
        (Path("/etc/sites/dakar.toml"), False, "--config /etc/sites/dakar.toml "),
        (Path("my site.toml"), False, "--config 'my site.toml' "),
    ],
)
def test_what_helps_after_an_error_is_for_the_same_site(
    config: Path | None, lab: bool, options: str, hint: str, expected: str
) -> None:
    chosen.remember(config, lab=lab)
    assert chosen.same(hint) == expected.format(options)


def test_what_the_lab_s_settings_propose_is_for_the_configuration_that_was_named() -> None:
    command = "samaops --lab undo x"
    assert chosen.same(command) == command, "judged from a saved look: nothing was named"
    chosen.remember(None, lab=True)
    assert chosen.same(command) == command
    chosen.remember(Path("other.toml"), lab=False)
    assert chosen.same(command) == "samaops --config other.toml undo x"
    assert chosen.same(chosen.same(command)) == chosen.same(command)


@pytest.mark.parametrize("site", [LAB_SITE, "production"])
def test_a_configuration_that_was_named_is_named_in_what_is_proposed(site: str) -> None:
    chosen.remember(Path("other.toml"), lab=False)
    done = Applied("a-change", (ActionStatus.VERIFIED,))
    report = change.report_of(Site(Settings(site=site)), PLAN, done)
    assert report.answer.endswith("samaops --config other.toml undo a-change")


def test_a_canary_s_place_in_the_journal_is_a_command_that_can_be_copied() -> None:
    report = change.report_of(Site(Settings()), PLAN, Applied("a-change", (ActionStatus.VERIFIED,)))
    console = Console(width=80)
    with console.capture() as captured:
        console.print(canary.page(report, View(UNICODE), "samaops --lab history show a-change"))
    assert captured.get().splitlines()[-1] == "in the journal: samaops --lab history show a-change"
