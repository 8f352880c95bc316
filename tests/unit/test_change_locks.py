"""Which servers a change touches, and what is believed of what stands in a lock."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from msgspec.structs import asdict, replace

from samaops.config.settings import Settings
from samaops.errors import LockedError
from samaops.journal.lock import UNKNOWN, FileLock, Locks, file_name, this_process_now
from samaops.journal.owner import Owner, read_owner
from samaops.model.plan import Operation, Plan, Risk, Step, shell
from samaops.site.site import Site
from samaops.workflows import change_locks

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


def plan_of(operation: Operation, *servers: str, undo_by: Operation | None = None) -> Plan:
    step = Step("id", "title", Risk.SAFE, operation, (), (), undo=undo_by, servers=servers)
    return Plan("verb", (), "title", "target", (step,))


@pytest.mark.parametrize(
    ("operation", "servers", "touched"),
    [
        (shell("x", "workers"), (), {"workers": True}),
        (Operation("rabbitmq.take", {}), ("api",), {"api": False}),
        (Operation("postgresql.sql", {}, "db"), (), {"db": False}),
        (Operation("unheard.of", {}), (), {}),
        (shell("x", "workers"), ("workers", "api"), {"api": False, "workers": True}),
    ],
)
def test_a_server_is_touched_by_a_command_or_because_the_step_says_so(
    operation: Operation, servers: tuple[str, ...], touched: Mapping[str, bool]
) -> None:
    seen = change_locks.servers_of(Site(SETTINGS), plan_of(operation, *servers))
    assert seen == touched
    assert list(seen) == sorted(seen), "in the same order for everybody"


def test_a_step_of_an_old_journal_which_does_not_say_touches_all_servers() -> None:
    plan = plan_of(shell("x", "workers"))
    plan = replace(plan, steps=(replace(plan.steps[0], servers=None),))
    assert change_locks.servers_of(Site(SETTINGS), plan) == {"api": False, "db": False, "workers": True}


def test_the_way_back_counts_too() -> None:
    plan = plan_of(Operation("rabbitmq.take", {}), "api", undo_by=shell("y", "workers"))
    assert change_locks.servers_of(Site(SETTINGS), plan) == {"api": False, "workers": True}


def test_a_server_that_the_configuration_gives_no_way_to_is_told_with_the_plan() -> None:
    plan = change_locks.with_notes(Site(SETTINGS), plan_of(Operation("postgresql.sql", {}, "db")))
    assert plan.notes == ('db will not be locked for other machines: [servers.db] ssh = "none"',)
    assert change_locks.with_notes(Site(SETTINGS), plan) == plan, "once"
    assert change_locks.with_notes(Site(SETTINGS), plan_of(shell("x", "api"))).notes == ()


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
    held.take(OWNER)
    held.check()
    (tmp_path / "x.lock").unlink()
    with pytest.raises(LockedError, match="removed"):
        held.check()
    other = FileLock(tmp_path / "x.lock")
    other.take(OWNER)
    with pytest.raises(LockedError, match="removed"):
        held.check()
    held.release()
    assert other.holder() == OWNER
    other.release()
    assert other.holder() is None


def test_a_lock_without_a_readable_name_is_held_by_somebody_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = FileLock(tmp_path / "x.lock", "api")
    held.take(OWNER)
    (tmp_path / "x.lock").write_text("not a name")
    monkeypatch.setattr("samaops.journal.lock.holder_of", lambda _file: None)  # in another container
    assert FileLock(tmp_path / "x.lock").holder() == UNKNOWN
    with pytest.raises(LockedError, match=r"^Another change is being made on api$"):
        FileLock(tmp_path / "x.lock", "api").take(OWNER)
    held.release()


class Place:
    """A lock that notes what is done with it, and that can be told to belong to somebody else."""

    def __init__(self, name: str, log: list[str], *, is_free: bool = True) -> None:
        self.name, self.log, self.is_free = name, log, is_free

    def take(self) -> None:
        if not self.is_free:
            raise LockedError("somebody has it")
        self.log.append(f"take {self.name}")

    def holder(self) -> Owner | None:
        return None if self.is_free else OWNER

    def check(self) -> None:
        self.log.append(f"check {self.name}")

    def release(self) -> None:
        self.log.append(f"release {self.name}")


def test_several_locks_are_taken_in_their_order_and_given_back_in_reverse() -> None:
    log: list[str] = []
    with Locks(Place("a", log), Place("b", log)) as locks:
        locks.check()
        assert locks.holder() is None
    assert log == ["take a", "take b", "check a", "check b", "release b", "release a"]


def test_when_one_of_several_locks_cannot_be_had_none_is_kept() -> None:
    log: list[str] = []
    locks = Locks(Place("a", log), Place("b", log, is_free=False), Place("c", log))
    with pytest.raises(LockedError):
        locks.take()
    assert [entry for entry in log if entry != "release b"] == ["take a", "release a"]
    assert locks.holder() == OWNER
