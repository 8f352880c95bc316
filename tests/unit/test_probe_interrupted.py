"""A run that is interrupted while it writes waits until what it wrote is removed, and no longer than its time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from samaops.collect import engine
from samaops.collect.engine import Collector, Probe
from samaops.config.settings import Settings
from samaops.facts.redis import RedisProbe
from samaops.facts.selection import Selection
from samaops.site.site import Site


def collector(collect: Callable[[Probe], object], timeout: float) -> Collector:
    return Collector("redis", "redis/here", RedisProbe, collect, timeout=timeout, writes=True)


def interrupted(monkeypatch: pytest.MonkeyPatch, collect: Callable[[Probe], object], timeout: float) -> None:
    def interrupt(_run: object) -> object:
        raise KeyboardInterrupt

    monkeypatch.setattr(engine._Run, "observation", interrupt)
    with pytest.raises(KeyboardInterrupt):
        engine.observe([collector(collect, timeout)], Site(Settings()), Selection(probe=True), 10.0)


def test_the_removal_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    removed = threading.Event()

    def write(_probe: Probe) -> RedisProbe:
        threading.Event().wait(0.3)
        removed.set()
        return RedisProbe("database 0", 1.0)

    interrupted(monkeypatch, write, 5.0)
    assert removed.is_set()


def test_a_removal_that_hangs_is_not_waited_for_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    never = threading.Event()
    started = time.monotonic()
    interrupted(monkeypatch, lambda _probe: never.wait(), 0.2)
    assert time.monotonic() - started < 3.0
    never.set()


@pytest.mark.parametrize(("probe", "wanted"), [(False, False), (True, True)])
def test_what_writes_is_wanted_on_request_alone(probe: bool, wanted: bool) -> None:
    looks = collector(lambda _probe: None, 1.0)
    assert looks.is_wanted(Selection(probe=probe)) is wanted
    assert looks.is_wanted(Selection(only=("redis",), probe=probe)) is wanted
