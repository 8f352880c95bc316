"""Two incidents at once: what each was found by on the lab, joined, names both roots and no other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks.matrix import recording, together
from samaops.causes import graph
from samaops.config.settings import Settings
from samaops.lab.incidents import running
from samaops.model.finding import Finding
from samaops.model.status import Status
from samaops.site.site import Site
from tests.unit.causes.test_roots import settings

DIRECTORY = Path(__file__).parents[2] / "data" / "incidents"
WELL = recording.read(DIRECTORY / "well.json")[0]
RECORDED = {
    path.stem: recording.read(path) for path in DIRECTORY.glob("*.json") if path.stem != recording.WELL
}
CONTAINERS = {"redis": "samaconso_redis", "rabbitmq": "samaconso_rabbitmq", "flower": "samaconso_flower"}


def lab() -> Settings:
    """Return the guide's three servers with the containers of the lab."""
    known = settings()
    sections = {
        name: getattr(known, name).model_copy(update={"container": container})
        for name, container in CONTAINERS.items()
    }
    return known.model_copy(update=sections)


SITE = Site(lab())


def finding(row: dict[str, Any]) -> Finding:
    return Finding(**{**row, "status": Status(row["status"])})


def named(*incidents: str) -> set[str]:
    """Return what is named when these incidents are live, as ``cause@subject``."""
    rows = recording.joined(WELL, [RECORDED[name] for name in incidents])
    _findings, causes = graph.explain(tuple(finding(row) for row in rows.values()), SITE)
    return {f"{cause.id}@{cause.subject}" for cause in causes}


def expected(*incidents: str) -> set[str]:
    roots = [running.find(name).root for name in incidents]
    return {f"{root.cause}@{root.subject}" for root in roots}


# Tasks hang on a Redis that takes no write, too: only which was first tells the two apart, and recordings have no common clock.
TOLD_BY_TIME = {("worker-hung", name) for name in RECORDED if name.startswith("redis-")}


def test_every_incident_was_recorded_and_says_what_it_changes() -> None:
    ids = {incident.id for incident in running.INCIDENTS}
    assert set(RECORDED) == ids
    assert set(together.PLACES) == ids


def test_a_lab_that_is_well_has_no_root() -> None:
    assert named() == set()


@pytest.mark.parametrize("name", sorted(RECORDED))
def test_what_was_recorded_of_an_incident_names_it(name: str) -> None:
    assert named(name) == expected(name)


@pytest.mark.parametrize("first", [incident.id for incident in running.INCIDENTS])
def test_each_two_incidents_that_can_be_live_together_are_both_named(first: str) -> None:
    wrong = {}
    for pair in together.possible():
        if pair.first.id == first and (first, pair.second.id) not in TOLD_BY_TIME:
            found = named(pair.first.id, pair.second.id)
            if found != expected(pair.first.id, pair.second.id):
                wrong[pair.second.id] = sorted(found)
    assert wrong == {}


def test_most_pairs_can_be_live_together_and_the_others_say_why_not() -> None:
    every = list(together.pairs())
    count = len(running.INCIDENTS)
    assert len(every) == count * (count - 1) / 2
    possible = together.possible()
    assert len(possible) > 600
    assert all(pair.reason for pair in every if pair not in possible)
