"""Every command of samaops that a plan proposes is for the configuration that was named: it works as it is typed."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from samaops import changes
from samaops.changes import verbs
from samaops.changes.run import operations
from samaops.cli.commands import COMMANDS
from samaops.facts.observation import Observation
from samaops.model.plan import Plan, Step
from samaops.render import escape
from samaops.site import chosen, way_back
from samaops.site.site import Site
from samaops.workflows import change
from tests.unit.changes.test_plans import snapshot
from tests.unit.changes.test_step_servers import PLANS, SITE

_COMMAND = re.compile(rf"samaops (?:{'|'.join(map(re.escape, sorted(COMMANDS)))})\b")
# They name a command, in what is a sentence about it, and propose none.
NAMED = {
    "It stays in samaops diagnose, in reports and in the exit code; it ends early when it gets worse.",
    "Take back what samaops schedule install wrote into {directory}",
    "{path} was written by samaops schedule install; nothing was changed",
}


def sentences(file: Path) -> Iterator[tuple[int, str]]:
    """Yield what a module has translated, and where."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in ("_", "N_", "ngettext")
        ):
            for argument in node.args:
                if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                    yield argument.lineno, argument.value


def test_no_sentence_of_a_plan_proposes_a_command_without_its_site() -> None:
    files = [*Path(str(changes.__file__)).parent.rglob("*.py"), Path(way_back.__file__)]
    found = {text for file in files for _line, text in sentences(file) if _COMMAND.search(text)}
    assert found == NAMED, "{command} stands for it: typed(site, …)"


def written(plan: Plan) -> Iterator[str]:
    """Yield all that people read of a plan: its sentences, and its commands as they are shown."""
    yield from (plan.title, *plan.notes, plan.nothing_to_do)
    for action in change.report_of(SITE, plan).actions:
        yield from (*action.conditions, *action.verify, action.destroys, action.no_undo, *action.undo_restores, action.title)  # fmt: skip
        yield from map(escape.command, (*action.commands, *action.undo))


@pytest.mark.parametrize("config", [Path("/etc/sites/dakar.toml"), None], ids=["config", "lab"])
@pytest.mark.parametrize(("verb", "arguments", "observations"), PLANS, ids=lambda value: str(value)[:30])
def test_what_a_plan_proposes_is_for_the_configuration_that_was_named(
    verb: str, arguments: tuple[str, ...], observations: tuple[Observation, ...], config: Path | None
) -> None:
    chosen.remember(config, lab=config is None)
    plan = verbs.find(verb).plan(snapshot(*observations), SITE, arguments)
    for text in written(plan):
        bare = [found for found in _COMMAND.findall(text) if not any(found in named for named in NAMED)]
        # What is written into a file there, or read from one, is no command that is proposed here.
        assert not bare or "schedule" in verb, text


def test_a_step_that_forgets_it_is_found_out() -> None:
    chosen.remember(None, lab=True)
    verb, arguments, observations = next(each for each in PLANS if each[0] == "backup create")
    plan = verbs.find(verb).plan(snapshot(*observations), SITE, arguments)
    step: Step = replace(plan.steps[0], no_undo="samaops backup prune removes it")
    assert any(_COMMAND.search(text) for text in written(replace(plan, steps=(step,))))


def test_a_fix_shows_the_commands_of_samaops_for_its_own_site() -> None:
    lab = Site(SITE.settings.model_copy(update={"site": "samaconso-lab"}))
    verb, arguments, observations = next(each for each in PLANS if each[0] == "backup pin")
    plan = verbs.find(verb).plan(snapshot(*observations), lab, arguments)
    assert operations.lines(plan.steps[0].operation, lab)[0].startswith("samaops --lab backup pin ")
