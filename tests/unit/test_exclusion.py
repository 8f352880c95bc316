"""Which servers a change touches, and what is believed of what stands in a lock."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from msgspec.structs import asdict

from samaops.config.settings import Settings
from samaops.errors import LockedError
from samaops.journal.file_lock import FileLock, file_name
from samaops.journal.lock import this_process_now
from samaops.journal.owner import read_owner
from samaops.model.plan import SHELL, Condition, Operation, Plan, Risk, Step
from samaops.site.site import Site
from samaops.workflows import exclusion

SETTINGS = Settings.model_validate(
    {
        "servers": {
            "workers": {"address": "10.0.0.3"},
            "api": {"address": "10.0.0.2"},
            "db": {"address": "10.0.0.1", "ssh": "none"},
        },
        "rabbitmq": {"server": "api"},
        "redis": {"server": "workers"},
        "postgresql": {"server": "db"},
        "celery": {"workers": {"worker2": {"server": "workers", "container": "c2", "queues": ["normal"]}}},
        "docker": {"containers": {"api": ["a1"], "workers": ["c2"], "db": ["d1"]}},
        "api": {"instances": [{"name": "api_1", "url": "http://10.0.0.2:8001", "container": "a1"}]},
    }
)
OWNER = this_process_now()


def condition(reading: str, *of: str) -> Condition:
    return Condition(reading, of, True, "")


def plan_of(operation: Operation, *needs: Condition, undo_by: Operation | None = None) -> Plan:
    step = Step("id", "title", Risk.SAFE, operation, (), (), needs, undo_by)
    return Plan("verb", (), "title", "target", (step,))


@pytest.mark.parametrize(
    ("operation", "needs", "touched"),
    [
        (Operation(SHELL, "x", "workers"), (), {"workers": True}),
        (Operation("rabbitmq.take", "x"), (), {"api": False}),
        (Operation("redis.set", "x"), (), {"workers": False}),
        (Operation("postgresql.sql", "x", "db"), (), {"db": False}),
        (Operation("unheard.of", "x"), (), {}),
        (
            Operation(SHELL, "x", "workers"),
            (condition("celery.consumes", "worker2", "q"), condition("celery.queue_exists", "q")),
            {"api": False, "workers": True},
        ),
        (
            Operation(SHELL, "x", "workers"),
            (condition("docker.life", "workers", "c2"),),
            {"workers": True},
        ),
        (
            Operation(SHELL, "x", "workers"),
            (condition("docker.api_serves", "running", "api_1"),),
            {"api": False, "workers": True},
        ),
    ],
)
def test_a_server_is_touched_by_a_command_an_api_or_a_condition(
    operation: Operation, needs: tuple[Condition, ...], touched: Mapping[str, bool]
) -> None:
    found = exclusion.servers_of(Site(SETTINGS), plan_of(operation, *needs))
    assert found == touched
    assert list(found) == sorted(found), "in the same order for everybody"


def test_the_way_back_counts_too() -> None:
    plan = plan_of(Operation("rabbitmq.take", "x"), undo_by=Operation(SHELL, "y", "workers"))
    assert exclusion.servers_of(Site(SETTINGS), plan) == {"api": False, "workers": True}


def test_a_server_that_the_configuration_gives_no_way_to_is_told_with_the_plan() -> None:
    plan = exclusion.with_notes(Site(SETTINGS), plan_of(Operation("postgresql.sql", "x", "db")))
    assert plan.notes == ('db will not be locked for other machines: [servers.db] ssh = "none"',)
    assert exclusion.with_notes(Site(SETTINGS), plan) == plan, "once"
    assert exclusion.with_notes(Site(SETTINGS), plan_of(Operation(SHELL, "x", "api"))).notes == ()


@pytest.mark.parametrize(
    "changes",
    [
        {"user": None},
        {"user": ["x"]},
        {"pid": "1"},
        {"pid": True},
        {"pid": 10**40},
        {"host": "h" * 300},
        {"more": "x"},
    ],
)
def test_an_owner_is_believed_only_when_he_is_one(changes: Mapping[str, object]) -> None:
    assert read_owner(json.dumps(asdict(OWNER))) == OWNER
    assert read_owner(json.dumps({**asdict(OWNER), **changes})) is None


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", "held", "[" * 100_000, "\x00"])
def test_what_is_no_owner_is_none(text: str) -> None:
    assert read_owner(text) is None


def test_names_that_look_alike_have_files_of_their_own() -> None:
    names = [
        ("dakar",),
        ("dakar", "db"),
        ("dakar-db",),
        ("dakar", "d/b"),
        ("dakar", "d_b"),
        ("x" * 200, "db"),
    ]
    files = [file_name(*one) for one in names]
    assert len(set(files)) == len(names)
    assert all("/" not in one and len(one) < 255 for one in files)


def test_a_lock_whose_file_was_removed_is_lost(tmp_path: Path) -> None:
    held = FileLock(tmp_path / "x.lock")
    assert held.take(OWNER)
    held.check()
    (tmp_path / "x.lock").unlink()
    with pytest.raises(LockedError, match="removed"):
        held.check()
    other = FileLock(tmp_path / "x.lock")
    assert other.take(OWNER)
    with pytest.raises(LockedError, match="removed"):
        held.check()
    held.release()
    assert other.written() == OWNER
    other.release()
