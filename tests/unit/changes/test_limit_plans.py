"""A memory limit is raised within the memory of the server, never lowered, and its undo is the old one, swap with it."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from samaops.changes import verbs
from samaops.errors import RefusedError, UnavailableError, UsageError
from samaops.facts.docker import Container, DockerFacts
from samaops.facts.observation import Observation
from samaops.model.plan import Plan
from samaops.site.site import Site
from tests.unit.changes.test_plans import CONTAINER, SETTINGS, snapshot
from tests.unit.checks.judging import seen

GB = 2**30
MEMBER = replace(CONTAINER, memory_limit=GB, memory_swap=2 * GB)
OTHER = replace(CONTAINER, name="a2", id="fedcba9876543210", memory_limit=GB)


def engine(*containers: Container, memory: int = 8 * GB) -> Observation:
    return seen("docker/api", DockerFacts(2000.0, memory, ("a1", "a2"), containers, None, None), "api")


def planned(wanted: str, *containers: Container, memory: int = 8 * GB) -> Plan:
    observed = snapshot(engine(*containers, memory=memory))
    return verbs.find("docker set-limit").plan(observed, Site(SETTINGS), ("a1", wanted))


def test_it_is_raised_with_the_swap_that_it_had_and_the_undo_is_the_old_one() -> None:
    plan = planned("3g", MEMBER, OTHER)
    (step,) = plan.steps
    assert step.operation.command == f"docker update --memory {3 * GB} --memory-swap {4 * GB} a1"
    assert step.undo is not None
    assert step.undo.command == f"docker update --memory {GB} --memory-swap {2 * GB} a1"
    assert [condition.value for condition in (*step.before, *step.after)] == [GB, 3 * GB]
    assert plan.notes[0].startswith("all limits on api: ")


@pytest.mark.parametrize(("swap", "words"), [(0, ""), (-1, " --memory-swap -1")])
def test_without_a_limit_of_swap_none_is_made(swap: int, words: str) -> None:
    (step,) = planned("2g", replace(MEMBER, memory_swap=swap)).steps
    assert step.operation.command == f"docker update --memory {2 * GB}{words} a1"


@pytest.mark.parametrize(
    ("wanted", "member", "others", "said"),
    [
        ("512m", MEMBER, (), "with less the kernel would end"),
        ("2g", replace(MEMBER, memory_limit=0), (), "has no memory limit"),
        ("7g", MEMBER, (OTHER,), "10 % must stay free: a1 may take"),
        ("2g", MEMBER, (replace(OTHER, memory_limit=7 * GB),), "at most"),
    ],
)
def test_it_is_refused_where_it_could_do_harm(
    wanted: str, member: Container, others: tuple[Container, ...], said: str
) -> None:
    with pytest.raises(RefusedError, match=said):
        planned(wanted, member, *others)


def test_a_container_that_does_not_run_promises_nothing() -> None:
    assert planned("7g", MEMBER, replace(OTHER, state="exited")).steps


def test_what_it_has_already_needs_nothing_and_a_server_of_unknown_size_is_not_changed() -> None:
    assert "already" in planned("1024m", MEMBER).nothing_to_do
    with pytest.raises(UnavailableError, match="how much memory"):
        planned("2g", MEMBER, memory=0)


@pytest.mark.parametrize("words", ["2", "lots", "1.5g", "-1g", "2t", ""])
def test_a_size_is_a_whole_number_with_its_unit(words: str) -> None:
    with pytest.raises(UsageError, match="is no size"):
        verbs.find("docker set-limit").codes(Site(SETTINGS), ("a1", words))
