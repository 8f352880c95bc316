"""What the looks at sizes, statements, bloat and indexes conclude from what they saw."""

from __future__ import annotations

from typing import Any

import pytest

from samaops.errors import RefusedError
from samaops.site.site import Site
from samaops.workflows.database import bloat, explain, indexes, size, slow
from samaops.workflows.database.forecast import DAY, full_in, growth
from samaops.workflows.database.kept import Earlier
from samaops.workflows.database.width import ColumnWidth, btree_pages, table_pages
from tests.unit.changes.test_plans import SETTINGS

GB = 1024.0**3


def test_a_disk_is_full_when_what_grows_has_used_it_up() -> None:
    looks = [(-day * DAY, (100 - day) * GB) for day in range(10)]
    ends = full_in(50 * GB, growth(looks))
    assert ends is not None
    assert ends.seconds == pytest.approx(50 * DAY)


def test_one_load_in_a_month_does_not_move_the_date() -> None:
    looks = [(-day * DAY, (100 - day) * GB + (500 * GB if day < 1 else 0)) for day in range(30)]
    rate = growth(looks)
    assert rate is not None
    assert rate.middle * DAY == pytest.approx(GB, rel=0.1)


@pytest.mark.parametrize(
    "looks",
    [
        [],
        [(0.0, GB)],
        [(-10 * DAY, GB), (0.0, 2 * GB)],
        [(-hour * 3600.0, (100 - hour) * GB) for hour in range(20)],
    ],
    ids=["none", "this one", "two", "less than a day"],
)
def test_there_is_no_date_where_there_is_too_little_to_say(looks: list[tuple[float, float]]) -> None:
    assert full_in(GB, growth(looks)) is None


def test_there_is_no_date_where_it_grows_and_shrinks() -> None:
    looks = [(-day * DAY, (100 + (day % 3)) * GB) for day in range(20)]
    assert full_in(GB, growth(looks)) is None


def test_growth_is_told_since_the_newest_look_that_is_old_enough_else_the_oldest() -> None:
    looks = tuple(Earlier(days * DAY, {}) for days in (1, 6, 8, 20))
    assert size.compared_with(looks, 7 * DAY) is looks[2]
    assert size.compared_with(looks[:2], 7 * DAY) is looks[1]
    assert size.compared_with((), 7 * DAY) is None


def test_df_is_read_also_where_a_name_has_a_space() -> None:
    shown = (
        "Filesystem 1024-blocks Used Available Capacity Mounted on\n/dev/sda1 1000 900 100 90% /data of db\n"
    )
    assert size.disk_of(shown, "") == size.Disk("/data of db", 1000 * 1024, 100 * 1024)
    assert size.disk_of("", "df: /nowhere: No such file or directory\n").reason.endswith(
        "such file or directory"
    )


def _counted(*, reset: str = "a", evictions: int = 0, **calls: int) -> slow.Counted:
    statements: dict[slow.Key, Any] = {
        (1, 1, int(name[1:]), True): {
            "calls": count, "total_ms": 10.0 * count, "rows": count, "blocks_hit": 0, "blocks_read": 0,
            "temp_blocks": 0,
        }
        for name, count in calls.items()
    }  # fmt: skip
    return slow.Counted(slow.Info(evictions, reset, 60.0, 5000, 8192, "now"), statements, {})


def _calls(before: slow.Counted | None, after: slow.Counted) -> dict[int, float]:
    return {key[2]: used["calls"] for key, used in slow.between(before, after).items()}


def test_only_what_ended_between_two_moments_is_counted() -> None:
    assert _calls(_counted(q1=5, q2=7), _counted(q1=8, q2=7, q3=2)) == {1: 3, 3: 2}


def test_what_was_thrown_out_and_came_again_counts_from_there() -> None:
    assert _calls(_counted(q1=500), _counted(q1=3)) == {1: 3}


def test_after_a_reset_only_what_came_then_is_counted() -> None:
    assert _calls(_counted(q1=2), _counted(reset="b", q1=5)) == {1: 5}


SINCE = {"database_reset": None, "server_reset": 1000.0, "counted_seconds": 60 * DAY, "standbys": 0}


def _look(days: float, scans: int, **reset: float) -> Earlier:
    return Earlier(days * DAY, {"scans": {"7": scans}, **SINCE, **reset})


@pytest.mark.parametrize(
    ("looks", "days"),
    [
        ((_look(10, 5), _look(40, 5)), 40),
        ((_look(10, 5), _look(40, 4)), 10),
        ((_look(40, 4),), 0),
        ((_look(40, 6),), 0),
        ((_look(10, 5), _look(40, 5, server_reset=500.0)), 10),
        ((_look(40, 5, database_reset=900.0),), 0),
        ((), 0),
    ],
    ids=["watched", "used before", "used since", "the counter fell", "a crash between", "a reset", "first"],
)
def test_an_index_is_unused_as_long_as_looks_saw_it_and_no_counter_was_lost(
    looks: tuple[Earlier, ...], days: float
) -> None:
    seen = indexes.Seen((), SINCE, looks)
    assert seen.unused_seconds({"oid": 7, "scans": 5}) == days * DAY


INT, TEXT = ColumnWidth(4, "i", 4, 0.0), ColumnWidth(-1, "i", 33, 0.0)


def test_pages_are_what_postgresql_needs_for_rows_of_one_length() -> None:
    # 24 bytes of header, 8 of data, a pointer of 4: 226 rows in the 8168 bytes of a page.
    assert table_pages([INT, INT], 226 * 10, 100, 8192) == 10
    # 8 bytes of header, 8 of data and padding, a pointer: 367 entries in 90 % of a page; one root, one page of facts.
    assert btree_pages([INT], 366 * 10, 90, 8192) == pytest.approx(12, abs=1)


def _table(**changes: Any) -> dict[str, Any]:
    row = {
        "name": "public.t", "size_bytes": 100 * 8192, "pages": 100, "rows": 5000.0, "fill_percent": 100,
        "modified_rows": 0, "toast_bytes": None, "may_read": True, "block_size": 8192,
        "columns": [[4, "i", 4, 0.0], [4, "i", 4, 0.0]], "key": "k",
    }  # fmt: skip
    return {**row, **changes}


def test_the_estimate_is_what_the_rows_do_not_take() -> None:
    expected = bloat.estimate_of_table(_table()).expected_bytes
    assert expected == pytest.approx(23 * 8192)


@pytest.mark.parametrize(
    "changes",
    [{"may_read": False}, {"rows": -1.0}, {"columns": [[4, "i", None, None]]}, {"columns": None}],
    ids=["not ours to read", "never analyzed", "a new column", "no column"],
)
def test_what_is_not_known_is_never_without_bloat(changes: dict[str, Any]) -> None:
    estimate = bloat.estimate_of_table(_table(**changes))
    assert estimate.expected_bytes is None
    assert estimate.reason.startswith("unknown")


def test_old_statistics_and_a_large_toast_are_said() -> None:
    assert bloat.estimate_of_table(_table(modified_rows=2000)).remarks
    assert bloat.estimate_of_table(_table(pages=50)).remarks
    assert "TOAST" in bloat.estimate_of_table(_table(toast_bytes=10**9)).remarks[0]
    assert bloat.estimate_of_table(_table()).remarks == ()


def test_an_index_is_compared_with_the_least_that_was_seen_of_it() -> None:
    index = _table(columns=None)
    assert bloat.estimate_of_index(index, None).expected_bytes is None
    best = bloat.best_of({}, [_table(pages=20)])["k"]
    assert bloat.estimate_of_index(index, best).expected_bytes == pytest.approx(20 * 8192, rel=0.01)
    assert bloat.best_of({"k": best}, [index]) == {"k": best}


@pytest.mark.parametrize(
    "statement",
    [
        "DROP TABLE customers",
        "SELECT 1; DELETE FROM customers",
        "/* SELECT */ TRUNCATE customers",
        "EXPLAIN ANALYZE DELETE FROM customers",
        "COPY customers TO PROGRAM 'sh'",
        "SELECT 'a' ; ; SELECT 2",
        "",
        "--",
    ],
)
def test_what_is_no_single_statement_with_a_plan_is_refused(statement: str) -> None:
    with pytest.raises(RefusedError):
        explain.require_explainable(statement, is_run=False)


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT ';' FROM \"a;b\" -- ;\n;",
        "(select 1)",
        "-- why\nWITH x AS (SELECT 1) SELECT * FROM x;",
        "VALUES (1)",
        "select $1; /* ; */",
    ],
)
def test_one_statement_is_taken_however_it_is_written(statement: str) -> None:
    explain.require_explainable(statement, is_run=False)


@pytest.mark.parametrize("statement", ["DELETE FROM customers", "SELECT * FROM customers WHERE id = $1"])
def test_what_writes_or_has_no_values_is_not_run(statement: str) -> None:
    with pytest.raises(RefusedError):
        explain.require_explainable(statement, is_run=True)


def test_ctrl_c_ends_a_wait_early_and_a_watch_altogether(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_seconds: float) -> None:
        assert "Ctrl-C" in waiting.latest()
        raise KeyboardInterrupt

    waiting = slow.Waiting()
    monkeypatch.setattr("samaops.workflows.database.slow.time.sleep", interrupted)
    assert waiting.wait(30, ends_early=True) is False
    with pytest.raises(KeyboardInterrupt):
        waiting.wait(30, ends_early=False)
    assert waiting.latest() == ""


def test_entries_that_were_thrown_out_meanwhile_are_a_warning() -> None:
    (warning,) = slow.warnings(_counted(evictions=3), _counted(evictions=5))
    assert "2 times" in warning
    assert "pg_stat_statements.max (5000)" in warning
    assert not list(slow.warnings(_counted(evictions=3), _counted(evictions=3)))


@pytest.mark.parametrize(
    ("query", "has_plan"),
    [
        ("SELECT 1", True),
        ("-- orders\nselect 1", True),
        ("-- … SELECT 1", True),
        ("/* a\nb */ WITH x AS (SELECT 1) SELECT 1", True),
        ("-- select 1\nVACUUM", False),
        ("-- …", False),
        ("COMMIT", False),
    ],
)
def test_a_statement_that_begins_with_a_comment_has_its_plan(query: str, has_plan: bool) -> None:
    row = {"database": "d", "query": query, "queryid": "7", "share_percent": 90.0}
    commands = slow._commands(Site(SETTINGS), [row], "d")
    assert bool(commands) is has_plan


def test_what_takes_next_to_nothing_is_not_proposed() -> None:
    rows = [
        {"database": "d", "query": "SELECT 1", "queryid": str(place), "share_percent": share}
        for place, share in enumerate((99.0, 0.4))
    ]
    assert len(slow._commands(Site(SETTINGS), rows, "d")) == 1
