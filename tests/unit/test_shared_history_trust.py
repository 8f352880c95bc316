"""A shared history decides what undo does: what somebody else may have written there is not run for a mere yes."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from samaops.cli import consent
from samaops.cli.consent import Consent
from samaops.config.settings import Server, Settings
from samaops.errors import RefusedError
from samaops.journal import history as journaled
from samaops.journal import seal
from samaops.journal.history import Journal
from samaops.journal.plans import to_plain
from samaops.model.plan import Plan, Risk, Step, shell
from samaops.site.site import Site
from samaops.workflows import change as changing
from samaops.workflows import history


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "history.sqlite3"


@pytest.fixture(autouse=True)
def _shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a file stand for the database that machines share: each has a state directory of its own."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "this"))
    monkeypatch.setattr(Journal, "is_shared", property(lambda _self: True))
    monkeypatch.setattr(changing, "lock_for", lambda *_arguments: _NoLock())
    monkeypatch.setattr(history, "lock_for", lambda *_arguments: _NoLock())


class _NoLock:
    def holder(self) -> None:
        return None


def site_of(file: Path, key: str | None = None) -> Site:
    kept: dict[str, Any] = {"url": f"sqlite:///{file}"}
    if key is not None:
        kept["key"] = key
    servers = {"api": Server(address="127.0.0.1", ssh="local")}
    return Site(Settings.model_validate({"servers": servers, "history": kept, "site": "dakar"}))


def plan_that_runs(command: str) -> Plan:
    step = Step(
        "s", "Let it be", Risk.SAFE, shell("true", "api"), (), (), undo=shell(command, "api"), servers=()
    )
    return Plan("docker restart", ("api_1",), "Restart the container api_1", "api_1", (step,))


def written(site: Site, command: str = "docker stop api_1") -> str:
    journal = changing.journal_of(site)
    journal.prepare()
    change = journal.begin(to_plain(plan_that_runs(command)))
    journal.write(change, journaled.STEP_BEGUN, 0, {})
    journal.write(change, journaled.ENDED, None, {"status": "verified"})
    journal.close()
    return change


def test_what_this_machine_wrote_is_taken_back_as_ever(file: Path) -> None:
    site = site_of(file)
    plan = history.undo(site, written(site))

    assert not plan.doubt
    assert not plan.wants_name
    assert plan.target == "api_1"


def test_a_row_that_somebody_put_in_wants_its_id_typed(
    file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    site = site_of(file)
    written(site)
    details = {
        "plan": to_plain(plan_that_runs("rm -rf /")),
        "owner": {"user": "root", "host": "control", "pid": 1, "process_start": "", "since": ""},
    }
    at, forged = "2099-01-31T12:00:00.000+00:00", "20990131-120000-ffff"
    rows = [("begun", None, details), ("step_begun", 0, {}), ("ended", None, {"status": "verified"})]
    with closing(sqlite3.connect(file)) as database:
        database.executemany(
            "INSERT INTO samaops_events (at, site, change, kind, step, details) VALUES (?, 'dakar', ?, ?, ?, ?)",
            [(at, forged, kind, step, json.dumps(each)) for kind, step, each in rows],
        )
        database.commit()
    plan = history.undo(site, "last")

    assert plan.undoes == forged
    assert plan.target == forged, "not what the row calls it"
    assert plan.wants_name
    assert any("made by root on control" in note for note in plan.notes)
    with pytest.raises(RefusedError, match="Nothing here proves") as refused:
        consent.obtain(plan, Consent(yes=True), lambda: None)
    assert f"--confirm {forged}" in refused.value.hint
    consent.obtain(plan, Consent(name=forged), lambda: None)


@pytest.mark.parametrize("spoiled", ["plan", "owner", "seal"])
def test_a_change_whose_plan_was_changed_is_not_proven(file: Path, spoiled: str) -> None:
    site = site_of(file)
    change = written(site)
    with closing(sqlite3.connect(file)) as database:
        for name in ("samaops_events_no_update", "samaops_events_no_delete"):
            database.execute(f"DROP TRIGGER IF EXISTS {name}")
        for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            database.execute(f"DROP TRIGGER {name}")
        (text,) = database.execute("SELECT details FROM samaops_events WHERE kind = 'begun'").fetchone()
        details = json.loads(text)
        if spoiled == "plan":
            details["plan"]["steps"][0]["undo"]["arguments"]["command"] = "rm -rf /"
        elif spoiled == "owner":
            details["owner"]["user"] = "somebody"
        else:
            del details["seal"]
        database.execute("UPDATE samaops_events SET details = ? WHERE kind = 'begun'", [json.dumps(details)])
        database.commit()

    assert history.undo(site, change).wants_name


def test_another_machine_is_known_by_the_key_that_all_share(
    file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    change, shared = written(site_of(file)), written(site_of(file, "what all have"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "another"))

    assert history.undo(site_of(file), change).wants_name
    assert not history.undo(site_of(file, "what all have"), shared).wants_name
    assert history.undo(site_of(file, "another one"), shared).wants_name


def test_the_key_is_private_and_not_in_the_database(file: Path, tmp_path: Path) -> None:
    site = site_of(file)
    written(site)
    kept = tmp_path / "this" / "samaops" / "history.key"

    assert kept.stat().st_mode & 0o777 == 0o600
    assert kept.read_bytes() not in file.read_bytes()
    assert seal.key_of(site.settings) == kept.read_bytes()


def test_a_name_that_is_empty_confirms_nothing() -> None:
    plan = Plan("undo", ("",), "T", "", plan_that_runs("true").steps, doubt="doubt")
    with pytest.raises(RefusedError):
        consent.obtain(plan, Consent(name=""), lambda: None)
