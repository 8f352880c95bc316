"""Looks run side by side, come in the order of the systems, and what a deadline says of them."""

from __future__ import annotations

import threading
from dataclasses import dataclass

import pytest

from samaops.clients.errors import ClientError
from samaops.collect import engine, systems
from samaops.collect.engine import Collector, Probe
from samaops.config.settings import Settings
from samaops.facts.selection import EVERYTHING
from samaops.model.failure import FailureKind
from samaops.site.site import Site
from samaops.workflows import diagnose

DEADLINE_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Seen:
    """Facts of no system."""

    thread: str


SETTINGS = Settings.model_validate(
    {
        "servers": {"one": {"address": "127.0.0.1", "ssh": "none", "ping": False}},
        "docker": {"containers": {"one": ["some"]}},
        "api": {"instances": [{"name": "api_1", "url": "http://127.0.0.1:1", "server": "one"}]},
        "redis": {"server": "one", "port": 1},
        "minio": {"url": "http://127.0.0.1:1"},
    }
)


def test_looks_run_side_by_side() -> None:
    together = threading.Barrier(2)

    def collect(probe: Probe) -> Seen:
        together.wait(probe.remaining())  # one after the other, neither would get past it
        return Seen(threading.current_thread().name)

    collectors = [Collector("api", f"api/{name}", Seen, collect) for name in ("one", "two")]
    snapshot = engine.observe(collectors, Site(Settings()), EVERYTHING, DEADLINE_SECONDS)

    assert [look.facts for look in snapshot.observations] == [Seen("api/one"), Seen("api/two")]


def test_what_was_seen_comes_in_the_order_of_the_systems() -> None:
    seen = [one.system for one in diagnose.observe(Site(SETTINGS), deadline_seconds=5.0).observations]
    assert seen == [one.system for one in systems.collectors(Site(SETTINGS), EVERYTHING)]
    assert seen.index("api") < seen.index("docker")


def refusing_to_answer(kind: FailureKind, seconds: float) -> Collector:
    def collect(probe: Probe) -> Seen:
        threading.Event().wait(min(seconds, probe.remaining()))
        raise ClientError(kind, "the command did not end", "ssh command")

    return Collector("docker", "docker/api", Seen, collect, timeout=8.0)


@pytest.mark.parametrize("kind", [FailureKind.NO_ANSWER, FailureKind.SILENT])
def test_a_look_that_our_own_deadline_cut_short_says_nothing_of_the_system(kind: FailureKind) -> None:
    snapshot = engine.observe([refusing_to_answer(kind, 5.0)], Site(Settings()), EVERYTHING, 0.2)
    failure = snapshot.observations[0].failure
    assert failure is not None
    assert failure.kind is FailureKind.DEADLINE
    assert snapshot.deadline_hit


def test_a_system_that_does_not_answer_in_its_own_time_is_hung_whatever_the_deadline() -> None:
    snapshot = engine.observe(
        [refusing_to_answer(FailureKind.NO_ANSWER, 0.05)], Site(Settings()), EVERYTHING, 10.0
    )
    failure = snapshot.observations[0].failure
    assert failure is not None
    assert failure.kind is FailureKind.NO_ANSWER
    assert not snapshot.deadline_hit


def test_a_refused_connection_is_one_also_at_the_deadline() -> None:
    snapshot = engine.observe(
        [refusing_to_answer(FailureKind.REFUSED, 0.05)], Site(Settings()), EVERYTHING, 0.2
    )
    failure = snapshot.observations[0].failure
    assert failure is not None
    assert failure.kind is FailureKind.REFUSED
