"""A history that another process keeps locked: a clear word, soon, and once for all that would read it."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from samaops.config.settings import Settings
from samaops.errors import UnavailableError
from samaops.journal import database
from samaops.journal.history import Journal
from samaops.site.site import Site
from samaops.workflows.reports import monthly

_HOLD = """
import sqlite3, sys
database = sqlite3.connect(sys.argv[1], isolation_level=None)
database.execute("BEGIN EXCLUSIVE")
print(flush=True)
sys.stdin.read()
"""


@contextmanager
def locked_by_another(file: Path) -> Iterator[int]:
    """Keep a database locked, and yield whose process does."""
    command = [sys.executable, "-I", "-S", "-c", _HOLD, str(file)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"\n"
        yield process.pid
        process.communicate(timeout=20)


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(database, "_READ_SECONDS", 0.4)
    monkeypatch.setattr(database, "_AGAIN_SECONDS", 0.05)
    file = tmp_path / "history.sqlite3"
    Journal(f"sqlite:///{file}", "dakar").prepare()
    return file


def test_a_reader_waits_once_and_says_who_has_it(file: Path) -> None:
    journal = Journal(f"sqlite:///{file}", "dakar")
    took = []
    with locked_by_another(file) as pid:
        for _turn in range(4):
            started = time.monotonic()
            with pytest.raises(UnavailableError, match=f"locked by the process {pid}") as caught:
                journal.changes()
            took.append(time.monotonic() - started)
        assert caught.value.hint == f"ps -fp {pid}"
    assert 0.3 < took[0] < 2
    assert sum(took[1:]) < took[0] + 0.5
    assert journal.changes() == ()


def test_the_report_of_a_month_comes_in_seconds_and_says_what_it_could_not_read(file: Path) -> None:
    place = {"url": f"sqlite:///{file}"}
    site = Site(Settings.model_validate({"site": "dakar", "history": place}))
    with locked_by_another(file):
        started = time.monotonic()
        page = monthly.report(site)
        assert time.monotonic() - started < 2.5
    assert not page.is_whole
    assert any("locked by the process" in note for note in page.notes)


def test_a_writer_waits_as_long_as_ever(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert database._patience.get() == database._CONNECT_SECONDS
    journal = Journal(f"sqlite:///{file}", "dakar")
    with locked_by_another(file), pytest.raises(UnavailableError):
        journal.changes()
    with journal.engine().connect() as connection:
        assert connection.exec_driver_sql("PRAGMA busy_timeout").scalar() == database._CONNECT_SECONDS * 1000


def test_asking_who_has_a_lock_and_preparing_gives_up_none_of_ours(file: Path) -> None:
    """Who closes a file gives up all the locks that his process has on it (fcntl), also those of other connections."""
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        ours = _locks_of(file)
        assert ours
        assert "locked" in database.locked(file).message
        Journal(f"sqlite:///{file}", "dakar")._private_file()
        assert _locks_of(file) == ours


def _locks_of(file: Path) -> int:
    number = str(file.stat().st_ino)
    lines = Path("/proc/locks").read_text(encoding="ascii").splitlines()
    mine = [line.split() for line in lines if f" {os.getpid()} " in line]
    return sum(fields[1] == "POSIX" and fields[5].rpartition(":")[2] == number for fields in mine)
