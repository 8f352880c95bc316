"""Who holds a port that the lab needs is named."""

from __future__ import annotations

import os
import re
import socket
from pathlib import Path

import pytest

from samaops.config.toml import tomllib
from samaops.lab import requirements
from samaops.lab.processes import StartError
from samaops.lab.requirements import Holder


def test_a_free_port_has_no_holder() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert requirements.holders([("127.0.0.1", port)]) == []


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0"])
def test_the_holder_of_a_port_is_named_with_its_pid(address: str) -> None:
    with socket.create_server((address, 0)) as server:
        port = server.getsockname()[1]
        (holder,) = requirements.holders([("127.0.0.1", port)])
    assert (holder.address, holder.port, holder.pid) == ("127.0.0.1", port, os.getpid())
    assert str(os.getpid()) in holder.sentence()


def test_another_lab_is_named_once_with_how_many_ports_it_holds() -> None:
    holders = [
        Holder("127.101.0.1", 5432, 10, "postgres", "/tmp/other"),
        Holder("127.101.0.1", 6432, 11, "pgbouncer", "/tmp/other"),
        Holder("127.101.0.2", 5672, 12, "beam.smp", None),
        Holder("127.101.0.2", 8001, None, "", None),
    ]
    sentences = requirements.describe(holders).split("; ")
    assert len(sentences) == 3
    assert "/tmp/other" in sentences[0]
    assert "2" in sentences[0]
    assert "beam.smp" in sentences[1]
    assert "127.101.0.2:8001" in sentences[2]


def test_a_missing_program_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requirements, "find_program", lambda _name: None)
    with pytest.raises(StartError, match=r"pgbouncer .*package pgbouncer"):
        requirements.program("pgbouncer")


def test_the_libraries_of_the_lab_are_those_of_its_extra() -> None:
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text(encoding="utf-8"))
    extra = {
        re.split(r"[\[>=<]", line)[0].replace("-", "_")
        for line in project["project"]["optional-dependencies"]["lab"]
    }
    assert extra == set(requirements.LIBRARIES)
    assert requirements.missing_libraries() == ()
