"""What the looks at a database make of its rows, where a real server gives them seldom; the names that people bring along."""

from __future__ import annotations

from typing import Any

import pytest
import typer

from samaops.cli.database import group
from samaops.model.table import Column, Table
from samaops.render import table as face
from samaops.workflows.database import locks, progress, settings, wraparound
from samaops.workflows.database.locks import _CONFLICTS

MODES = (*_CONFLICTS, "AccessExclusiveLock")


def wait(pid: int, *blockers: int, seconds: float = 1.0, mode: str = "ShareLock") -> dict[str, Any]:
    """Return a row of sql/postgresql/locks.sql."""
    return {
        "pid": pid,
        "locktype": "relation",
        "mode": mode,
        "blocked_by": list(blockers),
        "seconds": seconds,
        "relation": "public.bills",
    }


def session(pid: int, leader: int | None = None, seconds: float | None = 5.0) -> dict[str, Any]:
    """Return a row of sql/postgresql/backends.sql, as far as the tree needs it."""
    return {"pid": pid, "leader_pid": leader, "transaction_seconds": seconds}


def shape(waits: list[dict[str, Any]], sessions: list[dict[str, Any]]) -> list[tuple[Any, int]]:
    """Return who stands where: key and depth, in the order of the list."""
    queue = locks._queue(waits, sessions, [])
    return [pair for root in locks._roots(queue) for pair in locks._below(queue, root).items()]


def test_of_two_modes_each_stands_against_the_other() -> None:
    for first in MODES:
        for second in MODES:
            assert locks._conflict(first, [second]) == locks._conflict(second, [first])
    # PostgreSQL's manual, table of conflicting lock modes: 38 crosses
    assert sum(locks._conflict(first, [second]) for first in MODES for second in MODES) == 38


def test_a_circle_has_its_lowest_pid_as_root() -> None:
    assert shape([wait(8, 9), wait(9, 8)], [session(8), session(9)]) == [(8, 0), (9, 1)]


def test_who_waits_for_one_that_is_gone_is_still_listed() -> None:
    assert shape([wait(8)], [session(8)]) == [(8, 0)]


def test_one_that_waits_for_several_stands_under_the_oldest_that_waits_for_nobody() -> None:
    sessions = [session(1, seconds=3), session(2, seconds=90), session(3), session(4)]
    assert shape([wait(3, 1, 2), wait(4, 3, 1)], sessions) == [(1, 0), (4, 1), (2, 0), (3, 1)]


def test_a_parallel_worker_waits_for_its_leader() -> None:
    sessions = [session(1), session(7), session(8, leader=7)]
    assert shape([wait(8, 1)], sessions) == [(1, 0), (7, 1)]


def work(command: str, seconds: float = 0.0, **counters: Any) -> dict[str, Any]:
    """Return a row of sql/postgresql/progress.sql, as far as its stage needs it."""
    return {"command": command, "counters": counters, "at": seconds, "pid": 7, "query": ""}


@pytest.mark.parametrize(
    ("row", "done", "total"),
    [
        (work("vacuum", phase="vacuuming indexes", heap_blks_total=9, heap_blks_scanned=9), None, None),
        (work("vacuum", phase="vacuuming indexes", indexes_total=3, indexes_processed=1), 1, 3),
        (work("vacuum", phase="vacuuming heap", heap_blks_total=9, heap_blks_vacuumed=4), 4, 9),
        (work("vacuum", phase="truncating heap", heap_blks_total=9), None, None),
        (work("create index", phase="waiting for old snapshots", lockers_total=2, lockers_done=1), 1, 2),
        (
            work("create index", phase="building index", blocks_total=9, blocks_done=9, tuples_total=0),
            9,
            9,
        ),
        (work("copy", bytes_processed=500, bytes_total=0), 500, None),
        (work("copy", bytes_processed=500, bytes_total=1000), 500, 1000),
        (
            work("base backup", phase="streaming database files", backup_streamed=1, backup_total=None),
            1,
            None,
        ),
        (work("cluster", phase="rebuilding index", heap_blks_total=9, heap_blks_scanned=9), None, None),
        ({"command": "vacuum", "counters": None}, None, None),
    ],
)
def test_there_is_a_share_only_of_what_the_server_counts(
    row: dict[str, Any], done: int | None, total: int | None
) -> None:
    stage = progress._stage(row)
    assert (stage.done, stage.total) == (done, total)
    assert (progress._percent(stage) is None) == (total is None)


def test_during_the_indexes_it_is_said_that_nothing_is_known() -> None:
    row = work("vacuum", phase="vacuuming indexes", index_vacuum_count=1)
    assert progress._note(row, progress._stage(row), None) == (
        "pid 7 is vacuuming indexes, pass 2: this server does not say how far it is with them"
    )


@pytest.mark.parametrize(
    ("before", "rate"),
    [
        (work("vacuum", 10.0, phase="scanning heap", heap_blks_total=900, heap_blks_scanned=100), 50.0),
        (work("vacuum", 10.0, phase="vacuuming heap", heap_blks_total=900, heap_blks_vacuumed=100), None),
        (work("vacuum", 10.0, phase="scanning heap", heap_blks_total=900, heap_blks_scanned=300), None),
        (None, None),
    ],
)
def test_a_rate_is_of_one_phase_that_went_on(before: dict[str, Any] | None, rate: float | None) -> None:
    now = work("vacuum", 12.0, phase="scanning heap", heap_blks_total=900, heap_blks_scanned=200)
    assert progress._rate(now, before, progress._stage(now)) == rate


def test_a_rate_of_ids_is_since_the_checkpoint_or_between_two_looks() -> None:
    before = {"xid": 1000, "xid_then": 400, "multixact": 5, "multixact_then": 5, "seconds": 60.0, "at": 100.0}
    after = {"xid": 1010, "multixact": 6, "at": 102.0}
    assert wraparound._rate(before, None) == wraparound._Rate(10.0, 0.0, 60.0)
    assert wraparound._rate(before, after) == wraparound._Rate(5.0, 0.5, 2.0)


def test_an_age_at_its_limit_is_forced_now_and_never_without_a_rate() -> None:
    assert (wraparound._seconds(0, 0.0), wraparound._seconds(100, 0.0), wraparound._seconds(100, 2.0)) == (
        0.0,
        None,
        50.0,
    )


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("work_mem", "10MB", "10MB"),
        ("primary_conninfo", "host=db user=x", "********"),
        ("lab.word", "x", "********"),
        ("archive_command", "curl https://user:pw@host", "********"),
        ("archive_command", "cp %p /wal/%f", "cp %p /wal/%f"),
        ("ssl_passphrase_command", "", ""),
    ],
)
def test_a_setting_that_may_hold_a_password_is_masked(name: str, value: str, shown: str) -> None:
    assert settings._shown({"name": name, "shown": value}) == shown


def resolved(*words: str) -> tuple[str, list[str]]:
    """Return which command of the group these words lead to, and with which arguments."""
    command = typer.main.get_command(group.app)
    assert isinstance(command, group.DatabaseGroup)
    name, _command, rest = command.resolve_command(command.make_context("db", [*words]), [*words])
    return str(name), rest


def test_the_names_of_other_tools_lead_to_ours_and_stand_in_no_help() -> None:
    assert resolved("blocking", "-o", "json") == ("locks", ["-o", "json"])
    assert resolved("index-cache-hit", "--over", "1") == ("cache", ["--over", "1"])
    assert resolved("long_running_queries", "--limit", "3") == (
        "activity",
        ["--state", "active", "--limit", "3"],
    )
    command = typer.main.get_command(group.app)
    assert not set(group.ALIASES) & set(command.commands)  # type: ignore[attr-defined]


def test_a_name_whose_command_is_not_there_leads_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(group.ALIASES, "elsewhere", ("nothing",))
    with pytest.raises(Exception, match="elsewhere"):
        resolved("elsewhere")


def test_commands_and_figures_of_a_list_are_in_every_form() -> None:
    command = "samaops db cancel 7"
    table = Table(
        "locks",
        (Column("pid", "pid"),),
        ({"pid": 7},),
        "",
        answer="x",
        commands=(command,),
        figures={"used": 1},
    )
    document = face.document(table)
    assert (document["commands"], document["figures"]) == ([command], {"used": 1})
    assert f"`{command}`" in face.markdown(table)
