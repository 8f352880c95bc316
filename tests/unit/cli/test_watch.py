"""Who watches sees at once what is done, how old the answer is, what has changed, and what is waited for."""

from __future__ import annotations

import io
import threading
import time

import pytest
from msgspec.structs import replace
from rich.console import Console, Group, RenderableType

from samaops.cli import repeat, screen
from samaops.collect import awaited, engine
from samaops.collect.engine import Collector, Probe
from samaops.config.settings import Settings
from samaops.facts.selection import EVERYTHING
from samaops.model.report import Report
from samaops.model.status import Status
from samaops.render import changes, words
from samaops.render.faces import Output
from samaops.site.site import Site
from tests.unit.render import reports


def shown(*content: RenderableType) -> str:
    console = Console(file=io.StringIO(), width=80)
    console.print(Group(*content))
    return str(console.file.getvalue())  # type: ignore[attr-defined]


def with_status(report: Report, status: Status) -> Report:
    """Return a report in which only the memory of Redis is otherwise."""
    findings = (reports.finding("redis.memory.high", status, "redis/workers", "Redis uses 91 %"),)
    return replace(report, findings=findings, causes=())


def test_what_has_changed_since_the_look_before_is_told_with_its_time() -> None:
    well, ill = (with_status(reports.usual(), status) for status in (Status.OK, Status.CRITICAL))
    came = shown(*changes.lines(well, ill, words.UNICODE))
    assert "✗ new, critical  Redis uses 91 %  redis.memory.high@redis/workers" in " ".join(came.split("\n"))
    gone = shown(*changes.lines(ill, well, words.UNICODE))
    assert "✓ no longer  Redis uses 91 %" in gone
    softer = shown(*changes.lines(ill, with_status(ill, Status.WARNING), words.UNICODE))
    assert "critical, now warning" in softer
    assert changes.lines(ill, ill, words.UNICODE) == ()
    assert changes.lines(well, with_status(well, Status.SKIPPED), words.UNICODE) == ()
    absent = replace(ill, findings=())
    assert "new, critical" in shown(*changes.lines(absent, ill, words.UNICODE))


def test_the_screen_says_what_is_done_before_the_first_answer_and_its_age_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    face = repeat.face_of_reports(Output.HUMAN, verbose=False)
    watch = repeat._Watch(reports.usual, 5, face)
    assert "Looking at everything…" in shown(watch._screen())
    watch._take(with_status(reports.usual(), Status.OK))
    now[0] = 103.0
    assert "3 s ago; every 5 s; Ctrl-C ends" in shown(watch._screen())
    watch._is_looking = True
    with awaited.told(lambda: ["redis", "docker", "redis"]):
        text = shown(watch._screen())
    assert "3 s ago; looking again… waiting for redis, docker" in text
    assert "All is well" in text, "the last answer stays meanwhile"
    watch._take(with_status(reports.usual(), Status.CRITICAL))
    assert "new, critical" in shown(watch._screen())


def test_progress_names_the_systems_that_have_not_answered() -> None:
    release, seen = threading.Event(), threading.Event()
    shown_meanwhile: list[str] = []

    def quick(_probe: Probe) -> str:
        return "facts"

    def slow(_probe: Probe) -> str:
        seen.set()
        release.wait(5)
        return "facts"

    def look_on() -> None:
        seen.wait(5)
        for _turn in range(1000):
            text = shown(screen.Waiting("Looking…"))
            if "redis" not in text:
                break
        shown_meanwhile.append(text)
        release.set()

    watcher = threading.Thread(target=look_on)
    watcher.start()
    collectors = (
        Collector("redis", "redis/a", str, quick),
        Collector("docker", "docker/a", str, slow),
    )
    engine.observe(collectors, Site(Settings()), EVERYTHING, 5)
    watcher.join(5)
    assert shown_meanwhile == ["Looking… waiting for docker\n"]
    assert shown(screen.Waiting("Looking…")) == "Looking…\n"


def test_a_line_of_progress_never_breaks() -> None:
    with awaited.told(lambda: [f"system-{number}" for number in range(30)]):
        assert shown(screen.Waiting("Looking…")).count("\n") == 1
