"""The catalogue of incidents, and what it says where no lab is up."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from samaops.errors import UnavailableError, UsageError
from samaops.lab.incidents import running
from samaops.lab.incidents.site import Memory
from samaops.lab.layout import Layout

RUNBOOKS = {"api-down", "notifications", "db-slow", "disk-full", "redis-full"}


def test_each_runbook_has_incidents_and_each_incident_a_name_of_its_own() -> None:
    assert len({incident.id for incident in running.INCIDENTS}) == len(running.INCIDENTS)
    counts = Counter(incident.runbook for incident in running.INCIDENTS)
    assert set(counts) == RUNBOOKS
    assert min(counts.values()) >= 2


def test_the_catalogue_needs_no_lab(tmp_path: Path) -> None:
    entries = running.catalogue(Layout(tmp_path / "nothing"))
    assert [entry.id for entry in entries] == [incident.id for incident in running.INCIDENTS]
    assert {entry.state for entry in entries} == {""}


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(UsageError) as raised:
        running.find("quee-without-consumer")
    assert "queue-without-consumer" in raised.value.hint


@pytest.mark.parametrize("act", [lambda layout: running.break_(layout, "proxy-down"), running.heal])
def test_without_a_lab_nothing_is_broken_nor_healed(tmp_path: Path, act: object) -> None:
    assert callable(act)
    with pytest.raises(UnavailableError) as raised:
        act(Layout(tmp_path / "nothing"))
    assert str(tmp_path) in raised.value.message
    assert not (tmp_path / "nothing").exists()


def test_what_is_broken_is_remembered_in_order_with_its_notes(tmp_path: Path) -> None:
    memory = Memory.of(Layout(tmp_path))
    memory.begin("worker-hung")
    memory.note("worker-hung", ["a", "b"])
    memory.begin("proxy-down")
    memory.begin("worker-hung")
    assert memory.broken() == ("worker-hung", "proxy-down")
    assert memory.notes("worker-hung") == ("a", "b")
    memory.forget("worker-hung")
    assert memory.broken() == ("proxy-down",)
    assert memory.notes("worker-hung") == ()
