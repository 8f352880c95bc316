"""In which order looks are started, and what is done while they wait."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from samaops.clients.errors import ClientError
from samaops.collect import engine, systems
from samaops.collect.engine import Collector, Probe
from samaops.config.settings import Settings
from samaops.facts.observation import Snapshot
from samaops.facts.selection import EVERYTHING
from samaops.model.failure import FailureKind
from samaops.site.site import Site
from samaops.workflows import diagnose

DEADLINE_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Seen:
    """Facts of no system."""

    thread: str


def collector(system: str, begun: list[str], go_on: threading.Event | None = None) -> Collector:
    def collect(probe: Probe) -> Seen:
        begun.append(system)
        if go_on is not None:
            assert go_on.wait(probe.remaining())
        return Seen(threading.current_thread().name)

    return Collector(system, f"{system}/one", Seen, collect)


def look(*collectors: Collector) -> Snapshot:
    return engine.observe(collectors, Site(Settings()), EVERYTHING, DEADLINE_SECONDS)


SETTINGS = Settings.model_validate(
    {
        "servers": {"one": {"address": "127.0.0.1", "ssh": "none", "ping": False}},
        "docker": {"containers": {"one": ["some"]}},
        "api": {"instances": [{"name": "api_1", "url": "http://127.0.0.1:1", "server": "one"}]},
        "redis": {"server": "one", "port": 1},
        "minio": {"url": "http://127.0.0.1:1"},
    }
)


def test_looks_through_a_shell_are_started_first_and_heavy_libraries_last() -> None:
    begun = [one.system for one in systems.in_start_order(Site(SETTINGS), EVERYTHING)]
    assert begun.index("docker") < begun.index("api") < begun.index("redis") < begun.index("minio")
    assert sorted(begun) == sorted(one.system for one in systems.collectors(Site(SETTINGS), EVERYTHING))


def test_the_order_of_starting_does_not_change_the_order_of_what_was_seen() -> None:
    seen = [one.system for one in diagnose.observe(Site(SETTINGS), deadline_seconds=5.0).observations]
    assert seen == [one.system for one in systems.collectors(Site(SETTINGS), EVERYTHING)]
    assert seen.index("api") < seen.index("docker")


def test_looks_are_started_as_they_come() -> None:
    begun: list[str] = []
    first = collector("first", begun)

    def one_after_the_other() -> Iterator[Collector]:
        yield first
        ends_at = time.monotonic() + DEADLINE_SECONDS
        while begun != ["first"]:
            assert time.monotonic() < ends_at, "the first waits for the second"
            time.sleep(0.01)
        yield collector("second", begun)

    engine.observe(one_after_the_other(), Site(Settings()), EVERYTHING, DEADLINE_SECONDS)
    assert begun == ["first", "second"]


def test_a_system_without_a_client_of_its_name_is_looked_at_all_the_same() -> None:
    (observation,) = look(collector("no_such_client", [])).observations
    assert observation.failure is None
    assert observation.facts == Seen("no_such_client/one")


def test_what_is_to_be_done_meanwhile_is_done_while_looks_wait() -> None:
    go_on = threading.Event()  # set by what is done meanwhile: else the look would run into its timeout
    waiting = collector("api", [], go_on)
    snapshot = engine.observe([waiting], Site(Settings()), EVERYTHING, DEADLINE_SECONDS, go_on.set)
    assert snapshot.observations[0].failure is None


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
