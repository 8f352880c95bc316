"""The verb of docs/add-a-verb.md is one: declared as it stands there, it plans, and says so when there is nothing to do."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from msgspec.structs import replace

from samaops.changes import verbs
from samaops.changes.docker import restart
from samaops.errors import UnavailableError
from samaops.facts.docker import DockerFacts
from samaops.model.plan import Plan
from samaops.site.site import Site
from tests.unit.changes.test_plans import CONTAINER, SETTINGS, engine, snapshot
from tests.unit.checks.judging import REFUSED, failed

PAGE = Path(__file__).parents[3] / "docs" / "add-a-verb.md"
NAME = "docker unpause"


@pytest.fixture
def documented(monkeypatch: pytest.MonkeyPatch) -> verbs.Verb:
    monkeypatch.setattr(verbs, "_verbs", dict(verbs._verbs))
    (declaration,) = re.findall(r"```python\n(@verb.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(declaration.splitlines()) <= 20
    exec(declaration, dict(vars(restart)))
    return verbs.find(NAME)


def test_it_plans_the_command_its_undo_and_how_it_is_seen(documented: verbs.Verb) -> None:
    plan = documented.plan(
        snapshot(engine("api", replace(CONTAINER, state="paused"))), Site(SETTINGS), ("a1",)
    )
    (step,) = plan.steps
    assert (step.operation.command, step.operation.server) == ("docker unpause a1", "api")
    assert step.undo is not None
    assert step.undo.command == "docker pause a1"
    assert documented.codes(Site(SETTINGS), ("a1",)) == ("docker.container",)


def test_what_is_not_paused_needs_nothing_and_what_could_not_be_seen_is_said(documented: verbs.Verb) -> None:
    plan: Plan = documented.plan(snapshot(engine("api", CONTAINER)), Site(SETTINGS), ("a1",))
    assert plan.nothing_to_do == "a1 is not paused"
    with pytest.raises(UnavailableError, match="Could not look at what the change needs to know"):
        documented.plan(snapshot(failed("docker/api", DockerFacts, REFUSED, "api")), Site(SETTINGS), ("a1",))
