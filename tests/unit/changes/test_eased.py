"""When the finding that asked for a change is gone: of what was critical and may come again, a warning stays."""

from __future__ import annotations

import pytest

from samaops.changes.verbs import Verb
from samaops.facts.docker import DockerFacts
from samaops.facts.observation import Snapshot
from samaops.model.plan import Plan
from samaops.site.site import Site
from samaops.workflows.change import LiveWorld, prepare_verb
from tests.unit.changes.test_plans import snapshot
from tests.unit.checks.judging import seen
from tests.unit.checks.test_docker import NAME, SETTINGS, one

SITE = Site(SETTINGS)
KILLED = f"docker.container.oom_killed@docker/{NAME}"


def looked(facts: DockerFacts) -> Snapshot:
    return snapshot(seen("docker/api", facts, "api"))


RUNS_AGAIN = looked(one(oom_killed=True))
IS_DOWN = looked(one(oom_killed=True, state="exited", exit_code=137))


def test_a_kill_that_is_over_is_told_and_needs_no_more_cure() -> None:
    world = LiveWorld(SITE)
    assert len(world.unhealthy((KILLED,), RUNS_AGAIN)) == 1
    assert not world.unhealthy((KILLED,), RUNS_AGAIN, (KILLED,))
    assert len(world.unhealthy((KILLED,), IS_DOWN, (KILLED,))) == 1


@pytest.mark.parametrize(
    ("look", "cured_by_itself", "eased"),
    [(IS_DOWN, (), (KILLED,)), (RUNS_AGAIN, (), ()), (IS_DOWN, (KILLED,), ())],
)
def test_only_what_was_critical_and_what_the_verb_does_not_cure_itself_may_stay_a_warning(
    look: Snapshot, cured_by_itself: tuple[str, ...], eased: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LiveWorld, "look", lambda _self, _codes: look)
    verb = Verb(
        "docker restart",
        (),
        lambda *_given: Plan("docker restart", (NAME,), "T", NAME, cures=cured_by_itself),
    )
    plan = prepare_verb(SITE, verb, (NAME,), (KILLED,))
    assert (plan.cures, plan.eases) == ((KILLED,), eased)
