"""An incident is live once others can see it: what fails has to be heard by Flower, which may still be starting."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import pytest

from samaops.lab.incidents.site import Site
from samaops.lab.incidents.tools import traffic
from samaops.lab.processes import StartError

SITE = cast(Site, None)


@pytest.fixture(autouse=True)
def ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every task end as wanted, and nobody wait long for Flower."""
    monkeypatch.setattr(traffic, "await_results", lambda *_task_ids_state_seconds: True)
    monkeypatch.setattr(traffic, "HEARD_SECONDS", 0.01)


def sending() -> Iterator[dict[str, str]]:
    """Yield one failing task after another."""
    return ({f"task{number}": "FAILURE"} for number in range(100))


def test_more_is_sent_until_flower_has_heard_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    sent = sending()
    monkeypatch.setattr(traffic, "heard", lambda _site: {"task2": "FAILURE"})
    traffic.prove(SITE, lambda: next(sent), "not failed")
    assert next(sent) == {"task3": "FAILURE"}


def test_a_flower_that_hears_nothing_is_told_instead_of_a_live_incident(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(traffic, "heard", lambda _site: {"task1": "SUCCESS"})
    sent = sending()
    with pytest.raises(StartError, match="Flower"):
        traffic.prove(SITE, lambda: next(sent), "not failed")


def test_tasks_that_end_otherwise_are_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traffic, "await_results", lambda *_task_ids_state_seconds: False)
    sent = sending()
    with pytest.raises(StartError, match="not failed"):
        traffic.prove(SITE, lambda: next(sent), "not failed")
    assert next(sent) == {"task1": "FAILURE"}
