"""What ``--only`` and ``--skip`` ask for: systems, checks, and the same on one server."""

from __future__ import annotations

import pytest

from samaops.facts.selection import ANYWHERE, EVERYTHING, Selection

DISK = "servers.disk.full"


@pytest.mark.parametrize(
    ("selection", "code", "server", "wanted"),
    [
        (EVERYTHING, DISK, "db", True),
        (EVERYTHING, DISK, None, True),
        (Selection(only=("servers",)), DISK, "db", True),
        (Selection(only=("servers.disk",)), "servers.disks.full", "db", False),
        (Selection(only=("servers@api",)), DISK, "api", True),
        (Selection(only=("servers@api",)), DISK, "db", False),
        (Selection(only=("servers@api",)), DISK, None, False),
        (Selection(only=("servers@api",)), DISK, ANYWHERE, True),
        (Selection(only=("servers@api", "servers.disk")), DISK, "db", True),
        (Selection(only=("@api",)), DISK, "api", True),
        (Selection(only=("@api",)), DISK, "db", False),
        (Selection(skip=("servers@api",)), DISK, "api", False),
        (Selection(skip=("servers@api",)), DISK, "db", True),
        (Selection(skip=("servers@api",)), DISK, ANYWHERE, True),
        (Selection(skip=("@api",)), "redis.memory.high", "api", False),
        (Selection(only=("servers",), skip=("servers.disk@api",)), DISK, "api", False),
    ],
)
def test_a_check_is_asked_for(selection: Selection, code: str, server: str | None, wanted: bool) -> None:
    assert selection.includes(code, server) is wanted


@pytest.mark.parametrize(
    ("selection", "server", "wanted"),
    [
        (Selection(only=(DISK,)), "db", True),
        (Selection(only=(f"{DISK}@api",)), "api", True),
        (Selection(only=(f"{DISK}@api",)), "db", False),
        (Selection(only=("docker@api",)), "api", False),
        (Selection(skip=(f"{DISK}@api",)), "api", True),
        (Selection(skip=("servers@api",)), "api", False),
        (Selection(skip=("servers@api",)), "db", True),
    ],
)
def test_a_look_is_taken_when_any_check_of_it_is_asked_for(
    selection: Selection, server: str, wanted: bool
) -> None:
    assert selection.touches("servers", server) is wanted


def test_all_of_a_server_asks_for_no_system_by_name() -> None:
    selection = Selection(only=("@api", "maintenance.image@db"))
    assert [selection.names(system) for system in ("maintenance", "servers")] == [True, False]


def test_the_servers_that_are_named() -> None:
    assert Selection(only=("docker@api", "redis"), skip=("@db",)).servers() == ("api", "db")
