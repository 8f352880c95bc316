"""What is copied, what stops it, and what may be removed: decisions over lists, on data alone."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from samaops.changes.objects.comparing import (
    GONE,
    NEW,
    REPLACED,
    SAME,
    Found,
    compare,
    has_file_name,
    lost,
    together,
)
from samaops.changes.objects.expiring import expired, unneeded, without
from samaops.facts.objects import FAILED, STOPPED, BucketRun, Kept
from tests.unit.checks.test_backup_objects import HOUR, NOW, run

KEYS = st.sampled_from(["a", "a-b", "a/b", "a/b/c", "ab", "b", "é", "x//y", "z/", "~", "A", "a b"])
STATES = st.dictionaries(KEYS, st.integers(0, 2), max_size=8)


def found(state: Mapping[str, int]) -> list[Found]:
    return [Found("k", key, version, f"e{version}") for key, version in sorted(state.items())]


def kept(state: Mapping[str, int], odd: frozenset[str] = frozenset()) -> list[Kept]:
    return [
        Kept("k", key, version, f"e{version}", f"m{version}", f"s{version}", key in odd)
        for key, version in sorted(state.items())
    ]


def copy(state: Mapping[str, int]) -> tuple[list[Kept], list[tuple[str, int]]]:
    """Return the list and the files of a copy that has this."""
    odd = frozenset(each.found.key for each in compare(found(state), (), ()) if each.found and each.is_odd)
    return kept(state, odd), [(f"k/{key}", size) for key, size in sorted(state.items()) if key not in odd]


@given(STATES, STATES)
def test_every_name_is_decided_once(source: dict[str, int], last: dict[str, int]) -> None:
    kinds = {
        (each.found or each.kept).key: each.kind  # type: ignore[union-attr]
        for each in compare(found(source), *copy(last))
    }
    assert kinds.keys() == source.keys() | last.keys()
    for key, kind in kinds.items():
        if key not in source:
            assert kind == GONE
        elif key not in last:
            assert kind == NEW
        elif source[key] != last[key]:
            assert kind == REPLACED
        else:  # copied again only where its place is another now
            assert kind in (SAME, NEW)


@given(STATES)
def test_nothing_is_copied_twice(state: dict[str, int]) -> None:
    assert {each.kind for each in compare(found(state), *copy(state))} <= {SAME}


@given(STATES)
def test_no_file_is_a_directory_of_another(state: dict[str, int]) -> None:
    plain = [each.found.path for each in compare(found(state), (), ()) if each.found and not each.is_odd]
    assert not [(one, two) for one in plain for two in plain if two.startswith(one + "/")]


def test_a_file_that_the_copy_lost_or_cut_is_brought_again() -> None:
    state = {"a": 1, "b": 1, "c": 1}
    here = [("k/b", 0), ("k/c", 1)]
    assert [each.kind for each in compare(found(state), kept(state), here)] == [NEW, NEW, SAME]


def test_an_object_that_was_put_back_in_one_part_is_the_same() -> None:
    parts = Kept("k", "a", 5, "0123-3", "abcd", "s")
    assert [each.kind for each in compare([Found("k", "a", 5, "abcd")], [parts], [("k/a", 5)])] == [SAME]


@pytest.mark.parametrize("key", ["a", "a b/é", "--x", "*", "日本", "a" * 253, "'\"$(id)"])
def test_these_names_are_those_of_files(key: str) -> None:
    assert has_file_name(f"bucket/{key}")


@pytest.mark.parametrize(
    "key",
    ["", "a//b", "a/", "/a", ".", "a/../b", "a\nb", "a\tb", "a\0b", "．", "a／b", "‛", "a" * 256, "é" * 128],
)
def test_these_names_no_file_has(key: str) -> None:
    assert not has_file_name(f"bucket/{key}")


@pytest.mark.parametrize(
    ("now", "percent", "stops"),
    [
        (BucketRun(100, 1), 20, False),
        (BucketRun(80, 1, gone=20), 20, False),
        (BucketRun(79, 1, gone=21), 20, True),
        (BucketRun(100, 1, replaced=21), 20, True),
        (BucketRun(90, 1, replaced=11, gone=10), 20, True),
        (BucketRun(0, 0, gone=100), 99, True),
        (BucketRun(0, 0, gone=100), 100, False),
        (None, 20, True),
        (None, 100, False),
    ],
)
def test_a_bucket_that_lost_much_is_named(now: BucketRun | None, percent: float, *, stops: bool) -> None:
    seen = {"k": now} if now else {}
    assert bool(list(lost({"k": BucketRun(100, 1)}, seen, percent))) is stops


def test_one_of_three_is_no_sign_and_three_of_three_is() -> None:
    before = {"k": BucketRun(3, 1)}
    assert not list(lost(before, {"k": BucketRun(2, 1, gone=1)}, 20))
    assert list(lost(before, {"k": BucketRun(0, 0, gone=3)}, 20)) == [("k", 3, 3)]
    assert not list(lost({"k": BucketRun(0, 0)}, {}, 20))


def test_two_lists_go_side_by_side() -> None:
    both = together(found({"a": 1, "c": 1}), kept({"b": 1, "c": 1}), lambda each: each.path)
    assert [(path, left is not None, right is not None) for path, left, right in both] == [
        ("k/a", True, False), ("k/b", False, True), ("k/c", True, True),
    ]  # fmt: skip


@given(st.lists(KEYS, unique=True), st.lists(KEYS, unique=True))
def test_without(first: list[str], second: list[str]) -> None:
    assert list(without(sorted(first), sorted(second))) == sorted(set(first) - set(second))


PLAIN = st.dictionaries(st.sampled_from("abcd"), st.integers(0, 3), max_size=4)


@given(st.lists(PLAIN, min_size=1, max_size=6), st.sets(st.integers(0, 5)))
def test_what_is_removed_is_needed_by_no_list_that_is_kept(
    states: list[dict[str, int]], gone: set[int]
) -> None:
    current: dict[str, int] = {}
    generations: dict[tuple[str, str], int] = {}
    for number, state in enumerate(states):
        for key, version in state.items():
            if key in current and current[key] != version:
                generations[str(number), f"k/{key}"] = current[key]
            current[key] = version
    lists = {
        str(number): partial(kept, state)
        for number, state in enumerate(states)
        if number not in gone or number == len(states) - 1
    }
    removable, is_newest = unneeded(lists, sorted(generations))
    left = {place: version for place, version in generations.items() if place not in removable}
    needed = {each.path for name, read in lists.items() for each in read() if is_newest(name, each.path)}
    newest = {f"k/{key}": version for key, version in current.items() if f"k/{key}" in needed}
    for one, read in lists.items():
        for each in read():
            later = sorted(name for name, path in left if path == each.path and name > one)
            there = left[later[0], each.path] if later else newest[each.path]
            assert there == each.bytes
    # and nothing is kept that no list needs
    for name, path in left:
        assert any(
            one < name
            and each.path == path
            and not any(one < other < name for other, same in generations if same == path)
            for one, read in lists.items()
            for each in read()
        )


def test_old_runs_expire_but_for_the_newest_and_those_of_kept_backups() -> None:
    runs = [run(days * 24) for days in (1, 40, 50, 60)]
    assert expired(runs, {runs[2].id}, 30, NOW) == (runs[3].id, runs[1].id)
    assert expired([run(40 * 24), run(50 * 24)], set(), 30, NOW) == (run(50 * 24).id,)


@pytest.mark.parametrize("state", [FAILED, STOPPED])
def test_nothing_expires_after_a_run_that_is_not_whole(state: str) -> None:
    assert expired([run(1, state), run(40 * 24), run(50 * 24)], set(), 30, NOW + HOUR) == ()
    assert expired([], set(), 30, NOW) == ()
