"""What is kept of silences and troubles: it outlives a process, and what cannot be read is no reason not to tell."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from msgspec.structs import replace

from samaops.config import places
from samaops.config.settings import Notify, Settings
from samaops.facts.telling import Seen, Silence
from samaops.journal import silence_mark
from samaops.journal.database import HistoryError
from samaops.model.finding import Finding
from samaops.model.news import News
from samaops.model.report import Report
from samaops.model.status import Status
from samaops.render.bulletin import bulletin
from samaops.site.site import Site
from samaops.workflows.maintenance import announce
from samaops.workflows.notify import marking, telling
from tests.unit.notify.test_deciding import DISK, NOW, OTHER

SLACK = Notify.model_validate({"slack": {"url": "http://127.0.0.1:9/x"}})


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return Site(Settings(site="unit", notify=SLACK))


def silence(number: int, **changes: object) -> Silence:
    until = NOW + timedelta(hours=4)
    given = {"code": DISK.code, "subject": "", "until": until, "at": NOW, **changes}
    return Silence(number, reason="why", by="awa", **given)  # type: ignore[arg-type]


def told(site: Site, *findings: Finding, at: datetime = NOW) -> bool:
    """Return whether Slack would be told of a run, and keep that it was."""
    settled = telling.settle(site, Report("maintain daily", NOW, findings=findings), at)
    announcement = announce.prepare(site, settled.report, bulletin(settled.report, "unit"), ())
    message = announce.with_messages(site, announcement, bulletin).message("slack")
    reason = telling.keep(site, settled, ("slack",) if message else (), ())
    assert bool(reason) == bool(settled.failure)
    return message is not None


def test_what_was_told_outlives_the_run_and_is_told_as_over(site: Site) -> None:
    assert told(site, DISK)
    assert not told(site, DISK)
    assert told(site, OTHER)
    assert told(site, Finding(DISK.code, Status.OK, DISK.subject, "fine"))
    assert not told(site, Finding(DISK.code, Status.OK, DISK.subject, "fine"))
    (trouble,) = marking.with_history(site, lambda kept: kept.troubles())
    assert (trouble.key, trouble.announced) == (OTHER.key, Seen("critical"))


def test_where_the_history_cannot_be_read_all_is_told_each_time(site: Site, tmp_path: Path) -> None:
    (tmp_path / "samaops").mkdir()
    (tmp_path / "samaops" / "history.sqlite3").write_bytes(b"no database" * 100)
    assert told(site, DISK)
    assert told(site, DISK)


def test_a_line_of_another_make_is_told_as_such(site: Site) -> None:
    import sqlite3

    assert told(site, DISK)
    with sqlite3.connect(places.state() / "history.sqlite3") as connection:
        connection.execute("UPDATE samaops_troubles SET details = '[]'")
    with pytest.raises(HistoryError, match="not readable"):
        marking.with_history(site, lambda kept: kept.troubles())
    assert told(site, DISK), "in doubt it is told"


def test_sites_that_share_a_history_have_their_own(site: Site) -> None:
    other = Site(site.settings.model_copy(update={"site": "other"}))
    marking.with_history(site, lambda kept: kept.silence(silence(1)))
    assert told(site, DISK) is False
    assert told(other, DISK)
    assert marking.with_history(other, lambda kept: kept.next_number()) == 1
    assert marking.with_history(site, lambda kept: kept.next_number()) == 2


def test_a_number_that_was_given_meanwhile_is_not_taken_again(site: Site) -> None:
    marking.with_history(site, lambda kept: kept.silence(silence(1)))
    later = silence(1, at=NOW + timedelta(seconds=5))
    with pytest.raises(HistoryError):
        marking.with_history(site, lambda kept: kept.silence(later))


def test_a_silence_that_got_worse_has_ended_for_all_with_its_reason(site: Site) -> None:
    seen = {DISK.key: Seen("warning", 82.0)}
    marking.with_history(site, lambda kept: kept.silence(silence(1, seen=seen)))
    worse = Finding(
        DISK.code, Status.CRITICAL, DISK.subject, "/ is full", value=99.0, unit="%", warning=80, critical=90
    )
    assert told(site, worse, at=NOW + timedelta(hours=1))
    (ended,) = marking.with_history(site, lambda kept: kept.silences())
    assert ended.ended_by == "samaops"
    assert "it got worse: / is full" in ended.ended_why


def test_a_look_opens_no_history_where_nothing_is_silenced_here(site: Site) -> None:
    now = datetime.now(timezone.utc)
    assert not silence_mark.may_be_silenced(site.settings, now)
    silence_mark.leave(now + timedelta(hours=2))
    silence_mark.leave(now + timedelta(hours=1))
    assert silence_mark.may_be_silenced(site.settings, now + timedelta(hours=1.5)), "the later end stays"
    assert not silence_mark.may_be_silenced(site.settings, now + timedelta(hours=3))
    (places.state() / "silenced-until").write_text("nonsense")
    assert silence_mark.may_be_silenced(site.settings, now), "what cannot be read may say anything"
    silence_mark.leave(now + timedelta(hours=1))
    assert not silence_mark.may_be_silenced(site.settings, now + timedelta(hours=3))
    shared = Settings.model_validate({"history": {"url": "postgresql://a@b/c"}})
    assert silence_mark.may_be_silenced(shared, now), "another machine may have silenced it"


def test_alertmanager_is_not_told_that_what_is_silenced_or_waits_is_over(site: Site) -> None:
    report = Report("maintain daily", NOW, findings=(DISK, OTHER))
    fired = announce.prepare(site, report, bulletin(report, "unit"), ()).alerts
    hushed = marking.marked(report, (silence(1),), NOW)
    waits = replace(report, news=News(held=(DISK.key,)))
    for now in (hushed, waits):
        second = announce.prepare(site, now, bulletin(now, "unit"), fired)
        assert [alert["labels"]["alertname"] for alert in second.firing] == [OTHER.code]
        assert second.ended == ()
        assert {labels["alertname"] for labels in second.alerts} == {DISK.code, OTHER.code}
