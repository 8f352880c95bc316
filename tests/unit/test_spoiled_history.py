"""A history that another version wrote, or that somebody spoiled: what can be read is shown, the rest is named.

``SAMAOPS_FUZZ=5000`` tries as many histories (docs/robustness.md).
"""

from __future__ import annotations

import gzip
import json
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from random import Random
from typing import Any

import pytest

from samaops.changes import undo as undoing
from samaops.changes.run import operations
from samaops.config.settings import Settings
from samaops.errors import RefusedError, SamaopsError
from samaops.facts.observation import Snapshot
from samaops.journal.history import Journal
from samaops.render import history as face
from samaops.site.site import Site
from samaops.workflows import change as changing
from samaops.workflows import history, since_well
from tests.unit.checks.judging import TAKEN_AT
from tests.unit.mutations import answered_in_time, as_json, places, spoiled

DUMP = Path(__file__).parents[1] / "data" / "golden" / "history.sql.gz"
_BLOCK = 25
BLOCKS = range(max(1, int(os.environ.get("SAMAOPS_FUZZ", "25")) // _BLOCK))
Row = list[Any]


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    with closing(sqlite3.connect(":memory:")) as database:
        database.executescript(gzip.decompress(DUMP.read_bytes()).decode())
        return [list(row) for row in database.execute("SELECT * FROM samaops_events ORDER BY number")]


@pytest.fixture
def site(tmp_path: Path) -> Site:
    place = {"url": f"sqlite:///{tmp_path / 'history.sqlite3'}"}
    lock = {"lock_directory": str(tmp_path)}
    return Site(Settings.model_validate({"site": "samaconso-lab", "history": place, "safety": lock}))


@pytest.fixture
def keep(tmp_path: Path) -> Callable[[list[Row]], None]:
    """Return what puts a history of these lines in the place of the one before."""

    def keep(lines: list[Row]) -> None:
        file = tmp_path / "history.sqlite3"
        file.unlink(missing_ok=True)
        with closing(sqlite3.connect(file)) as database:
            database.execute(
                "CREATE TABLE samaops_events (number INTEGER PRIMARY KEY AUTOINCREMENT, at NOT NULL,"
                " site NOT NULL, change NOT NULL, kind NOT NULL, step, details NOT NULL)"
            )
            database.executemany("INSERT INTO samaops_events VALUES (?, ?, ?, ?, ?, ?, ?)", lines)
            database.commit()

    return keep


def with_details(rows: list[Row], number: int, details: object) -> list[Row]:
    """Return the lines, those of one number with other details."""
    return [[*row[:6], json.dumps(details)] if row[0] == number else row for row in rows]


def spoiled_line(row: Row, chance: Random) -> Row:
    details = json.loads(row[6])
    if details and chance.random() < 0.8:
        return [*row[:6], as_json(spoiled(details, list(places(details)), chance)).decode()]
    column = chance.choice((1, 4, 5, 6))
    return [*row[:column], chance.choice(("", -1, 99, "x", "{}", "[]", 2.5, b"\xff")), *row[column + 1 :]]


@pytest.mark.parametrize("block", BLOCKS)
def test_any_history_is_shown_or_refused(
    block: int, rows: list[Row], site: Site, keep: Callable[[list[Row]], None]
) -> None:
    for number in range(block * _BLOCK, (block + 1) * _BLOCK):
        chance = Random(number)
        place = chance.randrange(len(rows))
        identifier = rows[place][3]
        keep([*rows[:place], spoiled_line(rows[place], chance), *rows[place + 1 :]])
        with answered_in_time():
            shown = history.changes(site, 50)
            assert face.document(shown)
            since_well._changes(site)
            with suppress(
                SamaopsError
            ):  # the line that began it may be the spoiled one: there is no such change
                face.page(history.change(site, identifier))
                change = journal_of(site).change(identifier)
                assert change is not None
                history._require_understood(site, change)
                undoing.codes_of(change)
                undoing.plan(change, Snapshot(TAKEN_AT), operations.is_done)


def journal_of(site: Site) -> Journal:
    return changing.journal_of(site)


def test_a_change_that_cannot_be_read_costs_itself_alone(
    rows: list[Row], site: Site, keep: Callable[[list[Row]], None]
) -> None:
    keep(rows)
    before = {change.id: change for change in history.changes(site, 50)}
    keep([[*row[:6], "{half a li"] if row[0] == 1 else row for row in rows])
    after = {change.id: change for change in history.changes(site, 50)}
    spoiled_id = rows[0][3]
    assert after.keys() == before.keys()
    assert {identifier for identifier in after if after[identifier] != before[identifier]} == {spoiled_id}
    assert after[spoiled_id].status == "unreadable"
    assert "plan" in after[spoiled_id].reason
    assert history.change(site, spoiled_id).status == "unreadable"
    with pytest.raises(RefusedError, match="cannot be taken back: what was done is not understood here"):
        history.undo(site, spoiled_id)


def test_an_unfinished_change_that_cannot_be_read_does_not_stop_the_next_one(
    rows: list[Row], site: Site, keep: Callable[[list[Row]], None]
) -> None:
    keep([[*rows[0][:6], "null"]])
    journal = journal_of(site)
    assert journal.unfinished() == (rows[0][3],)
    changing._note_interrupted(journal, "")
    assert journal.unfinished() == ()
    journal.close()


def test_the_last_is_not_another_one_than_the_newest_that_cannot_be_read(
    rows: list[Row], site: Site, keep: Callable[[list[Row]], None]
) -> None:
    newest = max(row[0] for row in rows if row[4] == "begun")
    keep(with_details(rows, newest, {"plan": {"verb": "of a later version"}}))
    with pytest.raises(RefusedError, match="not understood"):
        history.undo(site, "last")


@pytest.mark.parametrize(
    ("part", "value", "words"),
    [
        ("operation", {"kind": "redis-later", "arguments": {}}, "redis-later"),
        ("undo", {"kind": "shell", "arguments": {"line": "x"}}, "command"),
        ("needs", [{"reading": "redis.later", "of": [], "value": 1, "text": "x"}], "redis.later"),
        ("before", [{"reading": "celery.consumes", "of": [], "value": 1, "text": "x"}], "TypeError"),
    ],
)
def test_what_a_later_version_did_is_not_taken_back_by_this_one(
    rows: list[Row], site: Site, keep: Callable[[list[Row]], None], part: str, value: object, words: str
) -> None:
    details = json.loads(rows[0][6])
    details["plan"]["steps"][0][part] = value
    keep(with_details(rows, rows[0][0], details))
    with pytest.raises(RefusedError, match="not understood") as refused:
        history.undo(site, rows[0][3])
    assert words in refused.value.message


def test_what_was_done_to_a_system_that_is_no_longer_configured_is_refused(
    rows: list[Row], site: Site, keep: Callable[[list[Row]], None]
) -> None:
    keep(rows)
    purge = next(row for row in rows if row[4] == "begun" and '"queue purge"' in row[6])
    with pytest.raises(RefusedError, match=r"\[rabbitmq\] is not configured"):
        history.undo(site, purge[3])
