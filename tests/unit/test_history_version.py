"""A history says the version of its format; one that a newer samaops wrote is neither read nor written."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from samaops.errors import CONFIGURATION, ConfigurationError
from samaops.journal.history import Journal


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "history.sqlite3"


@pytest.fixture
def journal(file: Path) -> Iterator[Journal]:
    with closing(Journal(f"sqlite:///{file}", "dakar")) as opened:
        opened.prepare()
        opened.begin({"verb": "docker restart"})
        yield opened


def pragma(file: Path, words: str) -> int:
    with closing(sqlite3.connect(file)) as connection:
        found = connection.execute(f"PRAGMA {words}").fetchone()
        return int(found[0]) if found else 0


def test_a_new_one_says_its_version(journal: Journal, file: Path) -> None:
    assert pragma(file, "user_version") == 1


def test_one_that_was_made_before_it_said_so_is_read_and_written(journal: Journal, file: Path) -> None:
    pragma(file, "user_version = 0")
    journal.prepare()
    journal.begin({"verb": "docker restart"})
    assert len(journal.changes()) == 2


def test_one_of_a_newer_samaops_is_refused(journal: Journal, file: Path) -> None:
    pragma(file, "user_version = 2")
    for use in (journal.changes, journal.prepare, journal.unfinished):
        with pytest.raises(ConfigurationError, match="version 2, and this samaops knows 1") as caught:
            use()
        assert caught.value.exit_code == CONFIGURATION
