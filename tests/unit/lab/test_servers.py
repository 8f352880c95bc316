"""Servers that are only directories: where they are, and whose they are when the state is lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from samaops.lab import servers
from samaops.lab.layout import Layout
from samaops.lab.state import StateFile


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the directory in which servers are made when the lab's own will not do."""
    directory = tmp_path / "elsewhere"
    directory.mkdir()
    monkeypatch.setattr(servers, "ELSEWHERE", directory)
    return directory


def make(layout: Layout, name: str) -> servers.Server:
    """Make a server without namespaces."""
    layout.directory.mkdir(parents=True, exist_ok=True)
    states = StateFile.open(layout.state_file)
    states.set(namespaces_reason="not root")
    return servers.create(layout, states, name)[0]


def test_a_path_too_long_for_a_socket_moves_the_server_elsewhere(tmp_path: Path, elsewhere: Path) -> None:
    layout = Layout(tmp_path / ("long" * 20) / "lab")
    made = make(layout, "db")
    assert made.data.is_relative_to(elsewhere)
    assert servers.extra_directories(layout) == [made.data.parent]
    assert make(layout, "db").data == made.data
    assert servers.extra_directories(Layout(tmp_path / "another")) == []


def test_what_others_have_there_is_not_the_labs(tmp_path: Path, elsewhere: Path) -> None:
    (elsewhere / "samaops-lab-abc-db").mkdir()
    (elsewhere / "samaops-lab-def-db").mkdir()
    (elsewhere / "samaops-lab-def-db" / ".samaops-lab").write_text("/home/other/lab")
    assert servers.extra_directories(Layout(tmp_path / "lab")) == []
