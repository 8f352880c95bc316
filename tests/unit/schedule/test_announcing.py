"""Who is told of a job that failed: once until it changes, also after a crash, and never of what tells by itself."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from samaops import i18n
from samaops.cli.main import run as samaops
from samaops.collect import schedule
from samaops.config.settings import Settings
from samaops.facts.schedule import (
    BY_HAND,
    FAILED,
    INTERRUPTED,
    KILLED,
    OK,
    PLANNED,
    RUNNING,
    SKIPPED,
    TIMED_OUT,
    WARNING,
    Run,
)
from samaops.facts.telling import Silence
from samaops.journal.ledger import Ledger
from samaops.render.bulletin import bulletin
from samaops.site.jobs import Job
from samaops.site.site import Site
from samaops.workflows import change
from samaops.workflows.notify import marking
from samaops.workflows.schedule.announcing import Announcer, Remembered, attempt
from tests.service.listeners import Listener, http_listener
from tests.unit.schedule.simulation import DAKAR
from tests.unit.schedule.test_scheduler import SIX, World

CUSTOM = {"at": "0 2 * * *", "command": "backup list"}


class Told:
    """A site, what its webhook was told, and its ledger."""

    def __init__(self, site: Site, heard: Listener) -> None:
        self.site, self.heard = site, heard
        self.remembered = Remembered()
        self._planned = datetime.now(timezone.utc) - timedelta(hours=4)

    def run(self, state: str = FAILED, job: str = "own", **more: Any) -> Run:
        """Return the row of a run, later than all before; it is written to the ledger."""
        self._planned += timedelta(minutes=5)
        given: dict[str, Any] = {
            "exit_code": 2,
            "reason": "the disk is full",
            "log": f"/logs/{job}.log",
            "host": "control",
        }
        given |= {"started_at": self._planned, "ended_at": self._planned, **more}
        journal = change.journal_of(self.site)
        claim = Ledger(journal, self.site.name).claim(Run(job, self._planned, state, **given))
        journal.close()
        assert claim.run is not None
        return claim.run

    def news(self, *ended: Run) -> list[dict[str, Any]]:
        """Return what is told now."""
        before = len(self.heard.asked)
        assert attempt(self.site, bulletin, ended, self.remembered) == ()
        return self.heard.documents()[before:]

    def silence(self, code: str, subject: str = "") -> None:
        now = datetime.now(timezone.utc)
        made = Silence(1, code, subject, now + timedelta(hours=1), "moved", "awa", now - timedelta(hours=1))
        marking.with_history(self.site, lambda kept: kept.silence(made))


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Told]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    before = i18n.language()
    i18n.use_language("en")
    with http_listener() as heard:
        yield Told(site_of(heard.url), heard)
    i18n.use_language(before)


def site_of(url: str, quiet_hours: str | None = None, **sections: Any) -> Site:
    settings = {
        "site": "unit",
        "servers": {"db": {"address": "10.0.0.3"}},
        "postgresql": {"server": "db"},
        "backup": {"server": "db"},
        "schedule": {"jobs": {"own": CUSTOM}},
        "notify": {"webhooks": {"hook": {"url": url}}, "quiet_hours": quiet_hours},
        **sections,
    }
    return Site(Settings.model_validate(settings))


def test_a_run_that_fails_is_told_once_with_why_and_where_its_output_is(told: Told) -> None:
    (message,) = told.news(told.run())
    (finding,) = message["findings"]
    assert (finding["code"], finding["subject"], finding["status"]) == (
        "schedule.run.failed",
        "schedule/own",
        "warning",
    )
    assert finding["title"].startswith("The last run of own, at ")
    assert finding["title"].endswith(": failed")
    assert finding["detail"] == "the disk is full; exit code 2; its output is on control: /logs/own.log"
    assert finding["hint"] == "samaops schedule explain own"
    for words in (finding["detail"], finding["hint"]):
        assert words in message["text"], "mail and Slack say it too"
    assert told.news(told.run(reason="the disk is full at 03:00")) == []


def test_another_end_is_told_again(told: Told) -> None:
    told.news(told.run())
    (message,) = told.news(
        told.run(TIMED_OUT, exit_code=143, reason="it took longer than its limit of 10 min")
    )
    assert "took too long and was ended" in message["text"]
    assert (
        told.news(told.run(TIMED_OUT, exit_code=143, reason="it took longer than its limit of 11 min")) == []
    )
    (message,) = told.news(told.run(KILLED, exit_code=137, reason="ended by signal 9"))
    assert "ended by signal 9" in message["text"]


@pytest.mark.parametrize("state", [OK, WARNING])
def test_a_run_that_goes_well_again_is_told_with_how_long_it_did_not(told: Told, state: str) -> None:
    told.news(told.run(job="own"))
    (message,) = told.news(told.run(state, exit_code=0, reason=""))
    (over,) = message["recovered"]
    assert (message["kind"], over["subject"], over["seconds"] >= 0) == ("recovery", "schedule/own", True)
    assert "over after" in message["text"]
    assert told.news(told.run(OK, exit_code=0, reason="")) == []


def test_a_backup_that_fails_is_critical(told: Told) -> None:
    (message,) = told.news(told.run(job="backup"))
    assert message["status"] == "critical"


def test_what_a_crashed_scheduler_did_not_tell_the_next_one_tells(told: Told) -> None:
    told.run()
    (message,) = told.news()
    assert message["findings"][0]["subject"] == "schedule/own"
    assert told.news() == []


def test_a_run_whose_row_is_not_written_yet_is_told(told: Told) -> None:
    row = told.run(RUNNING, ended_at=None, exit_code=None, reason="")
    assert told.news() == []
    assert len(told.news(replace(row, state=FAILED, exit_code=64, reason="no such option"))) == 1


@pytest.mark.parametrize(
    ("job", "state", "more", "is_told"),
    [
        # maintenance says by itself what it found, why it failed, and that it was interrupted
        ("daily", FAILED, {"exit_code": 2}, False),
        ("daily", FAILED, {"exit_code": 78}, False),
        ("daily", TIMED_OUT, {"exit_code": 130}, False),
        ("daily", TIMED_OUT, {"exit_code": -15}, False),
        ("daily", KILLED, {"exit_code": 137}, True),
        ("daily", TIMED_OUT, {"exit_code": -9}, True),
        ("daily", FAILED, {"exit_code": 127}, True),
        ("sample", FAILED, {"exit_code": 2}, True),
        ("own", SKIPPED, {"exit_code": 75}, False),
        # whoever stops a scheduler, or a run by hand, knows
        ("own", INTERRUPTED, {"exit_code": 143}, False),
        ("own", INTERRUPTED, {"exit_code": None, "trigger": BY_HAND}, False),
        ("own", INTERRUPTED, {"exit_code": None, "trigger": PLANNED}, True),
    ],
)
def test_who_tells_of_which_end(
    told: Told, job: str, state: str, more: dict[str, Any], is_told: bool
) -> None:
    assert len(told.news(told.run(state, job, **more))) == is_told


def test_a_silenced_job_is_not_told(told: Told) -> None:
    told.silence("schedule.run.failed", "schedule/own")
    assert told.news(told.run()) == []
    (message,) = told.news(told.run(job="sample"))
    assert {each["subject"]: bool(each["silenced_until"]) for each in message["findings"]} == {
        "schedule/own": True, "schedule/sample": False,
    }  # fmt: skip


def test_a_warning_waits_for_the_end_of_the_quiet_hours(told: Told) -> None:
    loud, url = told.site, told.heard.url
    told.site = site_of(url, quiet_hours="00:00-23:59")
    now = datetime.now(timezone.utc)
    if (now.hour, now.minute) == (23, 59):
        pytest.skip("the only minute that is not quiet")
    assert told.news(told.run()) == []
    told.site = loud
    assert len(told.news()) == 1, "the look after the quiet hours tells what waited"


def test_without_a_history_each_end_is_told_once(told: Told, tmp_path: Path) -> None:
    row = told.run()
    (tmp_path / "samaops" / "history.sqlite3").write_bytes(b"no database" * 1000)
    assert told.news() == [], "what nobody knows of is not told every ten minutes"
    assert len(told.news(row)) == 1
    assert told.news(row) == []
    assert len(told.news(replace(row, state=TIMED_OUT))) == 1


def test_a_channel_that_fails_is_named_and_tells_it_the_next_time(told: Told) -> None:
    told.heard.status = 500
    row = told.run()
    (note,) = attempt(told.site, bulletin, (row,), told.remembered)
    assert "hook" in note
    told.heard.status = 200
    assert len(told.news()) == 1


def test_nobody_is_looked_for_where_nobody_is_told(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_given: object) -> None:
        raise AssertionError

    monkeypatch.setattr(schedule, "observe", fail)
    assert attempt(Site(Settings(site="unit")), bulletin, ()) == ()
    (note,) = attempt(told.site, bulletin, ())
    assert note == "Nobody could be told: AssertionError"


def test_a_secret_in_the_last_words_reaches_nobody(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOLD_PASSWORD", "hunter2-hunter2")
    told.site = site_of(told.heard.url, redis={"server": "db", "password": {"env": "TOLD_PASSWORD"}})
    redis = told.site.settings.redis
    assert redis is not None
    assert redis.password is not None
    assert redis.password.reveal() == "hunter2-hunter2"
    (message,) = told.news(told.run(reason="refused: hunter2-hunter2"))
    assert "refused: " in message["text"]
    assert "hunter2" not in json.dumps(message)


def test_the_announcer_tells_beside_and_ends_with_what_is_left_told(told: Told) -> None:
    said: list[str] = []
    announcer = Announcer(told.site, bulletin, said.append)
    announcer.ask(told.run())
    announcer.stop(30)
    assert len(told.heard.asked) == 1
    assert said == []


def test_the_scheduler_says_which_runs_ended_and_when_to_look(tmp_path: Path) -> None:
    heard: list[Run | None] = []
    world = World(tmp_path, [Job("own", "0 * * * *", ("backup", "list"), DAKAR)], code=2)
    world.scheduler._runs.announce = heard.append  # the World makes its own
    world.until(SIX + timedelta(minutes=20))
    (ended,) = [run for run in heard if run is not None]
    assert (ended.job, ended.state, ended.exit_code, ended.reason) == ("own", FAILED, 2, "said so")
    assert heard.count(None) >= 1, "now and then it is time to tell what waited"


def test_a_run_that_could_not_begin_or_was_lost_is_said_too(tmp_path: Path) -> None:
    heard: list[Run | None] = []
    world = World(tmp_path, [Job("own", "0 * * * *", ("backup", "list"), DAKAR)], seconds=1800)
    world.until(SIX + timedelta(minutes=5))
    world.processes.machine_stops()
    next_one = world.another(pid=2)
    next_one._runs.announce = heard.append
    world.scheduler = next_one
    world.until(SIX + timedelta(minutes=8))
    (ended,) = [run for run in heard if run is not None]
    assert (ended.state, ended.exit_code) == (INTERRUPTED, None)


def test_a_run_by_a_timer_that_fails_is_told_and_the_next_good_one_too(told: Told, tmp_path: Path) -> None:
    def run_now(command: str) -> int:
        configuration = tmp_path / "samaops.toml"
        configuration.write_text(
            f'version = 1\nsite = "unit"\n[schedule.jobs.own]\nat = "0 2 * * *"\ncommand = "{command}"\n'
            f'[notify.webhooks.hook]\nurl = "{told.heard.url}"\n'
        )
        configuration.chmod(0o600)
        return samaops(
            ["--config", str(configuration), "--lang", "en", "-q", "schedule", "run-now", "own", "--yes"]
        )

    assert run_now("no-such-command") == 64
    (message,) = told.heard.documents()
    assert message["findings"][0]["subject"] == "schedule/own"
    assert message["subject"].endswith(": failed"), message["subject"]
    assert "exit code 64" in message["text"]
    assert "no-such-command" in message["text"], "its last words are why"
    assert run_now("--version") == 0
    assert told.heard.documents()[1]["kind"] == "recovery"
