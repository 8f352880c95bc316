"""A job is paused before the scheduler's first run; a pause is told where it matters, and only there."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from samaops.collect import registry
from samaops.config.settings import Settings
from samaops.errors import UsageError
from samaops.facts.schedule import BY_HAND, OK, Pause, Run, ScheduleFacts
from samaops.facts.selection import Selection
from samaops.i18n import use_language
from samaops.journal.history import Journal, database_of
from samaops.journal.ledger import Ledger
from samaops.site import jobs
from samaops.site.site import Site
from samaops.workflows import change
from samaops.workflows.notify import silences
from samaops.workflows.schedule import listing

NOW = datetime.now(timezone.utc)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return Site(Settings())


@pytest.fixture
def ledger(site: Site) -> Iterator[Ledger]:
    journal = Journal(database_of(site.settings), site.name)
    yield Ledger(journal, site.name)
    journal.close()


def test_a_job_is_paused_before_the_first_run_and_goes_on_again(site: Site, ledger: Ledger) -> None:
    until = (NOW + timedelta(hours=2)).isoformat(timespec="seconds")
    assert change.prepare(site, "schedule resume", ("weekly",)).nothing_to_do == "it is not paused"
    plan = change.prepare(site, "schedule pause", ("weekly", until, "a migration"))
    report = change.apply(site, plan, 5.0)
    assert not report.errors
    assert [(pause.job, pause.reason) for pause in ledger.pauses()] == [("weekly", "a migration")]
    assert not change.apply(site, change.prepare(site, "schedule resume", ("weekly",)), 5.0).errors
    assert not ledger.pauses()


@pytest.mark.parametrize(("hours", "said"), [(-2, "lies in the past"), (32 * 24, "within the next 31 days")])
def test_a_pause_that_cannot_be_says_why(site: Site, hours: int, said: str) -> None:
    until = (NOW + timedelta(hours=hours)).isoformat(timespec="seconds")
    with pytest.raises(UsageError, match=said):
        change.prepare(site, "schedule pause", ("weekly", until, "a migration"))


def pause_of(ledger: Ledger, job: str, ends: datetime) -> None:
    ledger.prepare()
    ledger.pause(Pause(job, ends, "a migration", "awa", NOW))


@pytest.mark.parametrize("job", ["weekly", "all"])
def test_who_asks_for_a_paused_job_is_told_so_and_how_it_goes_on(
    site: Site, ledger: Ledger, job: str
) -> None:
    pause_of(ledger, job, NOW + timedelta(hours=2))
    shown = listing.explained(site, "weekly")
    assert shown.answer.startswith("weekly: paused by awa until ")
    assert "a migration" in shown.answer
    use_language("fr")
    assert listing.explained(site, "weekly").answer.startswith("weekly : ")
    assert shown.commands == (f"samaops schedule resume {job}",)


def test_a_pause_hides_the_next_run_only_where_it_outlasts_it(site: Site, ledger: Ledger) -> None:
    (weekly,) = (job for job in jobs.all_of(site) if job.name == "weekly")
    planned = weekly.next_at(NOW)
    assert planned is not None
    for ends, is_hidden in ((planned - timedelta(seconds=1), False), (planned + timedelta(seconds=1), True)):
        pause_of(ledger, "weekly", ends)
        rows = {row["job"]: row for row in listing.listed(site).rows}
        assert (rows["weekly"]["next"] == "paused") is is_hidden
        assert rows["weekly"]["paused"]


def test_jobs_that_cron_begins_are_not_told_as_begun_by_nobody(site: Site, ledger: Ledger) -> None:
    untouched = listing.listed(site)
    assert untouched.answer == "No scheduler was ever run: nothing is begun"
    assert untouched.commands == ("samaops schedule run",)
    ledger.prepare()
    ledger.claim(Run("daily", datetime(2026, 6, 1, 6, tzinfo=timezone.utc), OK, trigger=BY_HAND))
    shown = listing.listed(site)
    assert (
        shown.answer
        == "No scheduler was ever run; the last run that was begun otherwise is daily, 2026-06-01 06:00"
    )
    assert shown.commands == (), "it would run the jobs twice"


def test_a_job_that_has_not_run_yet_can_be_silenced(site: Site) -> None:
    until = NOW + timedelta(hours=2)
    plan = silences.plan(site, "schedule.run.failed", "weekly", until, "a migration")
    assert plan.target == "schedule.run.failed@schedule/weekly"
    with pytest.raises(UsageError, match="did you mean schedule/weekly"):
        silences.plan(site, "schedule.run.failed", "schedule/weekley", until, "a migration")


def test_who_asks_for_the_scheduler_by_its_name_sees_the_ledger_once(site: Site, tmp_path: Path) -> None:
    def looks(code: str) -> list[type]:
        found = registry.collectors(site, Selection(only=(code,)))
        return [look.facts_type for look in found if look.facts_type is ScheduleFacts]

    assert looks("schedule.pauses") == looks("schedule") == [ScheduleFacts], "before the first run"
    (tmp_path / "samaops" / "schedule").mkdir(parents=True)
    assert looks("schedule.pauses") == looks("schedule") == [ScheduleFacts]
