"""The catalogue of incidents, and what it says where no lab is up."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import psycopg
import pytest

from samaops.causes.graph import DECLARATIONS
from samaops.errors import UnavailableError, UsageError
from samaops.lab.incidents import running
from samaops.lab.incidents.incident import Fault, Incident, Root
from samaops.lab.incidents.mechanisms import switched
from samaops.lab.incidents.site import Memory, Site
from samaops.lab.layout import Layout
from samaops.lab.state import StateFile

RUNBOOKS = {"api-down", "notifications", "db-slow", "disk-full", "redis-full"}


def test_each_runbook_has_incidents_and_each_incident_a_name_of_its_own() -> None:
    assert len({incident.id for incident in running.INCIDENTS}) == len(running.INCIDENTS)
    # one that has no runbook of its own is repaired by its cause alone
    counts = Counter(incident.runbook for incident in running.INCIDENTS if incident.runbook)
    assert set(counts) == RUNBOOKS
    assert min(counts.values()) >= 2


@pytest.mark.parametrize("incident", running.INCIDENTS, ids=lambda incident: incident.id)
def test_the_root_of_an_incident_is_a_cause_that_is_declared(incident: Incident) -> None:
    declared = {cause for declaration in DECLARATIONS for cause in declaration.ids}
    roots = [root for root in (incident.root, incident.root_of_processes) if root is not None]
    assert {root.cause for root in roots} <= declared


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


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """Return a lab that was never up."""
    return Site(Layout(tmp_path), StateFile.open(tmp_path / "state.json"))


def incident(fault: Fault) -> Incident:
    """Return an incident that has this fault."""
    return Incident("x", "api-down", "", "", "", Root("x", "x/y"), fault, root_of_processes=Root("z", "x/y"))


def raising(error: Exception) -> Fault:
    """Return a fault whose evidence cannot be had."""

    def evidence(_site: Site) -> str | None:
        raise error

    return Fault(lambda _site: None, evidence, lambda _site: None)


def test_a_fault_that_cannot_be_asked_for_is_not_seen_and_a_mistake_is_not_hidden(site: Site) -> None:
    assert incident(raising(psycopg.OperationalError("no server"))).evidence(site) is None
    with pytest.raises(KeyError):
        incident(raising(KeyError("status"))).evidence(site)


def test_a_fault_with_more_to_do_does_its_own_first(site: Site) -> None:
    steps: list[str] = []
    fault = Fault(
        lambda _site: steps.append("stop"), lambda _site: "seen", lambda _site: steps.append("start")
    )
    more = fault.then(lambda _site: steps.append("send"), lambda _site: steps.append("wait"))
    more.break_(site)
    more.heal(site)
    assert steps == ["stop", "send", "start", "wait"]
    assert incident(more).evidence(site) == "seen"


def test_plain_processes_have_a_root_of_their_own(site: Site) -> None:
    assert incident(raising(KeyError())).expected(site).cause == "z"


def test_a_switch_is_on_until_it_is_healed_twice(site: Site) -> None:
    fault = switched("workers", {"clock-offset-worker_1": "900"}, lambda _site: None)
    file = site.switch("workers", "clock-offset-worker_1")
    file.parent.mkdir(parents=True)
    fault.break_(site)
    assert file.read_text(encoding="ascii") == "900"
    fault.heal(site)
    fault.heal(site)
    assert not file.exists()
