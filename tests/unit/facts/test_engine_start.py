"""Looks run side by side, come in the order of the systems, and what a deadline says of them."""

from __future__ import annotations

import threading
from dataclasses import dataclass

import pytest

from samaops.clients.errors import ClientError
from samaops.collect import engine, registry
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
    assert seen == [one.system for one in registry.collectors(Site(SETTINGS), EVERYTHING)]
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


def quick(system: str) -> Collector:
    return Collector(system, f"{system}/one", Seen, lambda _probe: Seen("quick"))


def look(*collectors: Collector) -> Snapshot:
    return engine.observe(collectors, Site(Settings()), EVERYTHING, DEADLINE_SECONDS)


def test_of_very_many_looks_only_some_work_at_once_and_each_has_its_whole_time() -> None:
    working, most = 0, 0
    counting = threading.Lock()

    def collect(probe: Probe) -> Seen:
        nonlocal working, most
        with counting:
            working += 1
            most = max(most, working)
        remaining = probe.remaining()
        threading.Event().wait(0.05)
        with counting:
            working -= 1
        return Seen("late" if remaining < 4 else "in time")

    many = [Collector("servers", f"servers/s{number}", Seen, collect, timeout=5.0) for number in range(150)]
    observations = look(*many).observations
    assert most == engine.MOST_AT_ONCE
    assert [one.subject for one in observations] == [one.subject for one in many]
    assert {one.facts for one in observations} == {Seen("in time")}


def test_looks_that_hang_leave_their_place_to_others_when_their_time_is_up() -> None:
    go_on = threading.Event()
    hanging = [
        Collector("servers", f"servers/h{number}", Seen, lambda _probe: go_on.wait(60), timeout=0.3)
        for number in range(engine.MOST_AT_ONCE)
    ]
    try:
        *hung, seen = look(*hanging, quick("servers")).observations
    finally:
        go_on.set()
    assert {one.failure.kind for one in hung if one.failure} == {FailureKind.NO_ANSWER}
    assert len(hung) == engine.MOST_AT_ONCE
    assert seen.facts == Seen("quick")


def test_looks_that_our_deadline_left_no_time_for_are_not_begun() -> None:
    go_on = threading.Event()
    begun: list[int] = []

    def collect(_probe: Probe) -> bool:
        begun.append(1)
        return go_on.wait(60)

    many = [
        Collector("servers", f"servers/h{number}", Seen, collect) for number in range(3 * engine.MOST_AT_ONCE)
    ]
    try:
        snapshot = engine.observe([*many, quick("api")], Site(Settings()), EVERYTHING, 0.3)
    finally:
        go_on.set()
    *hung, seen = snapshot.observations
    assert len(begun) == engine.MOST_AT_ONCE
    assert [one.failure.kind for one in hung if one.failure] == [FailureKind.DEADLINE] * len(many)
    assert seen.facts == Seen("quick")  # another system does not wait for their places
    assert snapshot.deadline_hit


def answering_the_second_time(timeout: float, writes: bool = False) -> Collector:
    looks: list[Probe] = []

    def collect(probe: Probe) -> Seen:
        looks.append(probe)
        if len(looks) == 1:
            raise ClientError(FailureKind.NO_ANSWER, "no answer within 4 s", "greeting")
        return Seen("second")

    return Collector("redis", "redis/one", Seen, collect, timeout=timeout, writes=writes)


@pytest.mark.parametrize(
    ("load", "deadline", "writes", "is_believed"),
    [
        (50.0, 10.0, False, False),
        (0.5, 10.0, False, True),  # we had all the time: nobody answered
        (50.0, 1.5, False, True),  # a second look would not end before the run does
        (50.0, 10.0, True, True),  # what writes is not done twice
    ],
)
def test_a_silence_is_believed_the_second_time_where_this_machine_has_no_time_itself(
    monkeypatch: pytest.MonkeyPatch, load: float, deadline: float, writes: bool, is_believed: bool
) -> None:
    monkeypatch.setattr("os.getloadavg", lambda: (load, load, load))
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    collector = answering_the_second_time(2.0, writes)
    (seen,) = engine.observe([collector], Site(Settings()), EVERYTHING, deadline).observations
    assert (seen.failure is not None) == is_believed
    assert is_believed or (seen.facts, seen.missing) == (Seen("second"), {})
