"""The journal on SQLite: append-only, private, without secrets, and refused before a change when it cannot be written."""

from __future__ import annotations

import json
import os
import resource
import sqlite3
import stat
from contextvars import ContextVar
from pathlib import Path

import pytest

from samaops.config import masking
from samaops.config.settings import Settings
from samaops.errors import ConfigurationError, RefusedError, UnavailableError
from samaops.journal import database, history
from samaops.journal.database import HistoryError
from samaops.journal.history import Journal
from samaops.journal.owner import this_process
from samaops.site.site import Site
from samaops.workflows import change as workflow

PLAN = {"verb": "v", "arguments": ["x"], "title": "T", "steps": []}


def journal_at(path: Path, site: str = "dakar") -> Journal:
    return Journal(f"sqlite:///{path}", site)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "state" / "history.sqlite3"


@pytest.fixture
def journal(file: Path) -> Journal:
    made = journal_at(file)
    made.prepare()
    return made


def test_it_is_private_to_its_owner(journal: Journal, file: Path) -> None:
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


def test_events_come_back_in_their_order(journal: Journal) -> None:
    change = journal.begin(PLAN)
    journal.write(change, history.STEP_BEGUN, 0, {"é": ["x", 1, None]})
    found = journal.change(change)
    assert found is not None
    assert [one.kind for one in found.events] == [history.BEGUN, history.STEP_BEGUN]
    assert found.events[1].details == {"é": ["x", 1, None]}
    assert found.plan == PLAN
    assert found.owner.pid == os.getpid()


@pytest.mark.parametrize(
    "statement", ["UPDATE samaops_events SET kind = 'ended'", "DELETE FROM samaops_events"]
)
def test_nobody_changes_what_was_written(journal: Journal, file: Path, statement: str) -> None:
    journal.begin(PLAN)
    with sqlite3.connect(file) as connection, pytest.raises(sqlite3.DatabaseError, match="append-only"):
        connection.execute(statement)


def test_preparing_again_leaves_everything_as_it_is(journal: Journal, file: Path) -> None:
    change = journal.begin(PLAN)
    content = file.read_bytes()
    again = journal_at(file)
    again.prepare()
    assert file.read_bytes() == content
    assert again.change(change) is not None


def test_sites_see_their_own_changes_only(journal: Journal, file: Path) -> None:
    change = journal.begin(PLAN)
    assert journal_at(file, "thies").changes() == ()
    assert journal_at(file, "thies").change(change) is None
    assert journal_at(file, "thies").unfinished() == ()


def test_the_newest_change_is_first_and_the_list_is_bounded(journal: Journal) -> None:
    changes = [journal.begin(PLAN) for _number in range(5)]
    assert [one.id for one in journal.changes(3)] == changes[:1:-1]


def test_running_is_only_who_holds_the_lock(journal: Journal) -> None:
    change = journal.change(journal.begin(PLAN))
    assert change is not None
    assert change.status(None) == "interrupted"
    assert change.status(this_process("now")) == "running"
    journal.write(change.id, history.INTERRUPTED, None, {})
    noted = journal.change(change.id)
    assert noted is not None
    assert noted.status(this_process("now")) == "interrupted"


def test_without_a_file_there_is_no_history_and_none_is_made(file: Path) -> None:
    assert journal_at(file).changes() == ()
    assert not file.exists()


def test_a_file_that_is_no_database_stops_a_change_before_it_starts(tmp_path: Path) -> None:
    file = tmp_path / "history.sqlite3"
    file.write_text("this is not a database, however long it is")
    with pytest.raises(RefusedError, match="nothing was changed") as refused:
        journal_at(file).prepare()
    assert refused.value.exit_code == 77
    with pytest.raises(UnavailableError, match=str(file)) as unread:
        journal_at(file).changes()
    assert unread.value.hint == refused.value.hint == f"mv {file} {file}.damaged"
    assert file.read_text().startswith("this is not")


def test_a_directory_that_cannot_be_made_stops_a_change_before_it_starts(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    journal = journal_at(tmp_path / "file" / "history.sqlite3")
    with pytest.raises(RefusedError, match=f"nothing was changed: {tmp_path}"):
        journal.prepare()
    with pytest.raises(UnavailableError, match="Not a directory"):  # not: nothing was changed yet
        journal.changes()


def test_a_state_directory_that_leads_to_itself_is_no_empty_history(tmp_path: Path) -> None:
    (tmp_path / "state").symlink_to("state")
    with pytest.raises(UnavailableError, match="Too many levels"):
        journal_at(tmp_path / "state" / "history.sqlite3").changes()


def test_pages_that_were_spoiled_are_named_with_what_to_do(journal: Journal, file: Path) -> None:
    for _number in range(40):
        journal.begin({**PLAN, "title": "x" * 5000})
    with file.open("r+b") as spoiled:
        spoiled.seek(4096)
        spoiled.write(b"\xff" * (file.stat().st_size - 8192))
    with pytest.raises(UnavailableError, match=str(file)) as unread:
        journal_at(file).changes()
    assert unread.value.hint == f"mv {file} {file}.damaged"


def test_a_full_disk_stops_a_change_before_it_starts(journal: Journal, file: Path) -> None:
    while file.stat().st_size < 40_000:
        journal.begin({**PLAN, "title": "x" * 5000})
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    import signal

    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, before[1]))
    try:
        with pytest.raises(RefusedError):
            journal_at(file).prepare()
        with pytest.raises(HistoryError):
            journal.begin({**PLAN, "title": "x" * 5000})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.usefixtures("journal")
def test_a_busy_database_is_said_to_be_so(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "_patience", ContextVar("patience", default=0.1))
    with sqlite3.connect(file, isolation_level=None) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(RefusedError, match="locked"):
            journal_at(file).prepare()


def test_no_secret_reaches_it(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(masking, "_known", set())
    text = 'h"\\é-s3cret'
    settings = Settings.model_validate(
        {"redis": {"host": "127.0.0.1", "password": text}, "history": {"url": f"sqlite:///{file}"}}
    )
    journal = workflow.journal_of(Site(settings))
    journal.prepare()
    change = journal.begin(PLAN)
    journal.write(change, history.STEP_ENDED, 0, {"said": f"redis-cli -a {text}", "more": [{"deep": text}]})
    content = b"".join(path.read_bytes() for path in file.parent.iterdir())
    for form in (text, json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1], "s3cret"):
        assert form.encode() not in content
    assert b"********" in content


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql://u:pa55word@h/d", "postgresql+psycopg://u:pa55word@h/d"),
        ("postgres://u@h/d", "postgresql+psycopg://u@h/d"),
        ("sqlite:////var/lib/x.db", "sqlite:////var/lib/x.db"),
    ],
)
def test_the_url_says_where_it_is(url: str, expected: str) -> None:
    assert history.database_of(Settings.model_validate({"history": {"url": url}})) == expected


@pytest.mark.parametrize(
    "url", ["mysql://u:pa55word@h/d", "sqlite://", "pa55word", "postgresql+asyncpg://u:pa55word@h/d"]
)
def test_another_url_is_a_configuration_error_without_its_password(url: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        history.database_of(Settings.model_validate({"history": {"url": url}}))
    assert "pa55word" not in str(refused.value)
    assert refused.value.exit_code == 78


def test_without_a_url_it_is_in_the_state_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert history.database_of(Settings()) == f"sqlite:///{tmp_path}/samaops/history.sqlite3"
