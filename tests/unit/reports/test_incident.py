"""The timeline of a night: what the history, the ledger and the samples keep of it, and what nobody looked at."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from samaops import i18n
from samaops.cli import report_pages
from samaops.cli.main import run as samaops
from samaops.config.settings import Settings
from samaops.errors import UsageError
from samaops.facts.sample import DOWN, UP, WHOLE, Minute, Sample
from samaops.facts.schedule import FAILED, MISSED, Run
from samaops.journal.ledger import Ledger
from samaops.journal.owner import this_process
from samaops.journal.records import Records
from samaops.journal.samples import Samples
from samaops.model.table import Table
from samaops.render import json as json_face
from samaops.render import table as table_face
from samaops.site.site import Site
from samaops.workflows import change
from samaops.workflows.reports import incident, remembered
from samaops.workflows.reports import period as periods
from tests.answers import validated

HOSTILE = "\x1b[2J<script>alert(1)</script>"


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    before = i18n.language()
    i18n.use_language("en")
    yield Site(Settings(site="samaconso"))
    i18n.use_language(before)


def now() -> datetime:
    return datetime.now(timezone.utc)


def hour(site: Site, ends: datetime | None = None) -> Table:
    """Return the timeline of the last hour, and what is ahead of it by a little: the clock goes on."""
    end = ends or now()
    return incident.timeline(site, end - timedelta(hours=1), end + timedelta(seconds=1))


def texts(table: Table) -> list[str]:
    return [str(row["text"]) for row in table.rows]


def make_change(site: Site, title: str, status: str) -> str:
    journal = change.journal_of(site)
    journal.prepare()
    plan = {
        "verb": "docker restart", "arguments": ["samaconso_redis"], "title": title, "steps": [],
        "target": "samaconso_redis", "cures": ["redis.access.refused@redis/workers"],
    }  # fmt: skip
    made = journal.begin(plan)
    journal.write(made, "ended", None, {"status": status, "reason": ""})
    journal.close()
    return made


def keep_runs(site: Site, *runs: Run) -> None:
    journal = change.journal_of(site)
    book = Ledger(journal, site.name)
    for each in runs:
        book.claim(each)
    journal.close()


def keep_record(site: Site, details: dict[str, Any]) -> None:
    journal = change.journal_of(site)
    Records(journal, site.name, "maintain daily").add(details)
    journal.close()


def test_a_night_that_nobody_watched_says_so(site: Site) -> None:
    table = hour(site)
    assert table.rows == ()
    assert "nobody watched the service" in table.answer
    assert table.figures["service_down_minutes"] is None
    assert any("no sample was taken" in note for note in table.notes)
    assert any("No maintenance run ended" in note for note in table.notes)
    assert any("The ledger has no run" in note for note in table.notes)


def test_changes_jobs_and_findings_stand_in_their_order(site: Site) -> None:
    began = now() - timedelta(minutes=30)
    keep_runs(
        site,
        Run(
            "backup",
            began,
            FAILED,
            started_at=began,
            ended_at=began + timedelta(minutes=4),
            reason="disk full",
        ),
        Run("weekly", began + timedelta(minutes=10), MISSED, reason="the machine was off"),
    )
    keep_record(
        site,
        {
            "status": "critical",
            "findings": [
                {"code": "redis.access.refused", "subject": "redis/workers", "status": "critical",
                 "value": None, "title": "Redis refuses connections"},
            ],
            "causes": [{"id": "container-stopped", "subject": "docker/samaconso_redis", "title": "Redis is stopped", "verdict": "confirmed"}],
        },
    )  # fmt: skip
    made = make_change(site, "Restart the container samaconso_redis", "verified")
    table = hour(site)
    assert texts(table) == [
        "backup begins",
        "backup failed after 4.0 min: disk full",
        "weekly missed: the machine was off",
        "redis/workers: Redis refuses connections",
        "Redis is stopped",
        "maintain daily ended: critical",
        "Restart the container samaconso_redis",
        "Restart the container samaconso_redis: done and verified",
    ]
    assert [row["at"] for row in table.rows] == sorted(row["at"] for row in table.rows)
    assert {row["who"] for row in table.rows if row["subject"] == made} == {
        f"{this_process('').user}@{this_process('').host}"
    }
    assert table.rows[-1]["command"] == f"samaops history show {made}"
    assert "1 change; 3 runs of jobs; 1 finding" in table.answer
    validated(json.loads(json_face.text(table_face.document(table))))


def test_what_was_down_is_told_with_its_cause_and_who_repaired_it(site: Site) -> None:
    end = now().replace(second=0, microsecond=0)
    journal = change.journal_of(site)
    samples = Samples(journal, site.name)
    for number in range(60):
        state = DOWN if 40 <= number < 58 else UP
        samples.add(Minute(end - timedelta(minutes=60 - number), (Sample(WHOLE, state),)))
    journal.close()
    make_change(site, "Restart the container samaconso_redis", "verified")
    table = hour(site, end + timedelta(seconds=59))
    assert "service/vip is down, for 18 min ± 1 min" in texts(table)
    assert "service/vip answers again" in texts(table)
    assert "the service was down for 18 min" in table.answer
    assert "cause: redis/workers: redis.access.refused; repaired by" in table.answer
    assert table.figures["service_down_minutes"] == 18


def test_what_lies_outside_is_left_out(site: Site) -> None:
    make_change(site, "Restart", "verified")
    before = now() - timedelta(hours=2)
    table = incident.timeline(site, before - timedelta(hours=1), before)
    assert table.rows == ()


def test_a_title_from_outside_is_no_markup(site: Site) -> None:
    make_change(site, HOSTILE, "failed")
    table = hour(site)
    assert table.rows[0]["text"] == HOSTILE  # the face that shows it makes it safe
    assert "\x1b" not in table_face.markdown(table)
    assert "<script>" not in table_face.markdown(table)


def test_a_history_that_cannot_be_read_is_told(site: Site, tmp_path: Path) -> None:
    file = tmp_path / "samaops" / "history.sqlite3"
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(b"this is no database" * 100)
    file.chmod(0o600)
    table = hour(site)
    assert not table.is_whole
    assert sum("could not be read" in note for note in table.notes) == 4


def test_access_is_compared_with_the_run_before(site: Site) -> None:
    journal = change.journal_of(site)
    records = Records(journal, site.name, "maintain monthly")
    seen = {"at": 1.0, "logins": ["awa"], "administrators": [], "keys": []}
    records.add({"access": {"db": seen}})
    assert remembered.access(site, now() - timedelta(days=1), now() + timedelta(days=1)) is None
    records.add({"access": {"db": {**seen, "logins": ["moussa"], "keys": ["moussa SHA256:x"]}}})
    journal.close()
    found = remembered.access(site, now() - timedelta(days=1), now() + timedelta(days=1))
    assert found is not None
    assert [(each.what, each.name, each.is_new) for each in found] == [
        ("logins", "awa", False), ("logins", "moussa", True), ("keys", "moussa SHA256:x", True),
    ]  # fmt: skip


def test_times_of_day_are_the_last_ones() -> None:
    begins, ends = report_pages._bounds("03:00", "04:00")
    assert ends - begins == timedelta(hours=1) or ends - begins < timedelta(hours=1)
    assert begins.strftime("%H:%M") == "03:00"
    assert begins <= datetime.now().astimezone()
    begins, ends = report_pages._bounds("23:30", "00:30")
    assert ends - begins <= timedelta(hours=1)
    with pytest.raises(UsageError):
        report_pages._bounds("2026-01-31 04:00", "2026-01-31 03:00")


def test_a_month_that_has_not_begun_is_refused(site: Site) -> None:
    with pytest.raises(UsageError):
        periods.of_month(site, "2999-01")


@pytest.mark.parametrize("form", ["json", "html", "markdown"])
def test_each_form_goes_to_a_file_that_only_its_owner_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes], form: str
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    config = tmp_path / "config.toml"
    config.write_text(f'[servers.one]\naddress = "127.0.0.1"\n[safety]\nlock_directory = "{tmp_path}"\n')
    config.chmod(0o600)
    written = tmp_path / "page"
    words = ["--config", str(config), "report", "incident", "--since", "1h", "-o", form]
    # Nothing was observed in that hour.
    assert samaops([*words, "--to", str(written)]) == 3
    assert written.stat().st_mode & 0o777 == 0o600
    assert capsysbinary.readouterr().out == b""
    assert samaops(words) == 3
    shown = capsysbinary.readouterr().out
    assert len(shown) > 200
    assert samaops([*words, "--to", str(tmp_path / "nowhere" / "page")]) == 64
