"""Containers or plain processes: what is decided, and what is forgotten, when no engine can run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from samaops.lab import chains, engine
from samaops.lab.layout import Layout
from samaops.lab.processes import ProcessSpec
from samaops.lab.starting import Starter, Step
from samaops.lab.state import StateFile

Calls = list[str]


@pytest.fixture
def starter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Starter:
    """Return a starter whose engines are there and are told to fail."""
    monkeypatch.setattr(engine, "missing", lambda: None)
    monkeypatch.setattr(engine, "spec", lambda _layout, server: _engine_of(server.name))
    return Starter(Layout(tmp_path), StateFile.open(tmp_path / "state.json"), _ignore)


def _ignore(_step: Step) -> None:
    pass


def _engine_of(server: str) -> ProcessSpec:
    failing = ("/bin/sh", "-c", "echo no cgroups here >&2; exit 1")
    return ProcessSpec(f"docker_{server}", server, "127.0.0.1", 0, failing, ready=lambda: False)


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Calls:
    """Return what is started, instead of starting it."""
    calls: Calls = []

    def record(kind: str) -> Callable[[Starter, str], None]:
        return lambda _starter, name: calls.append(f"{kind} {name}")

    monkeypatch.setattr(chains, "_plain_services", record("plain"))
    monkeypatch.setattr(chains, "_containers", record("containers"))
    return calls


def test_where_no_engine_starts_plain_processes_are_all_there_is_and_nothing_is_missing(
    starter: Starter, started: Calls
) -> None:
    chains._services(starter)
    state = starter.states.state
    assert (state.mode, state.mode_reason) == ("processes", "no cgroups here")
    assert sorted(started) == ["plain api", "plain workers"]
    assert state.problems == ()
    assert state.processes == ()


@pytest.mark.parametrize("reason", ["not root", "dockerd is missing (package docker.io)"])
def test_why_there_is_no_engine_is_kept(
    reason: str, starter: Starter, started: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "missing", lambda: reason)
    chains._services(starter)
    assert starter.states.state.mode_reason == reason
    assert sorted(started) == ["plain api", "plain workers"]


def test_without_namespaces_no_engine_is_tried(starter: Starter, started: Calls) -> None:
    starter.states.set(namespaces_reason="no namespaces: unshare: Operation not permitted")
    chains._services(starter)
    assert "Operation not permitted" in starter.states.state.mode_reason
    assert sorted(started) == ["plain api", "plain workers"]


def test_engines_that_run_get_containers(
    starter: Starter, started: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chains, "_engine", lambda _starter, _name: None)
    chains._services(starter)
    assert starter.states.state.mode == "containers"
    assert sorted(started) == ["containers api", "containers workers"]
