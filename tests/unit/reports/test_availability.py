"""Availability is exact to a sample, an interval where nobody looked, and told with planned times and without."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from pathlib import Path

import pytest

from samaops.errors import UsageError
from samaops.facts.availability import Bounds, Period, Planned
from samaops.facts.sample import DOWN, UP, WHOLE, Minute, Sample
from samaops.journal.history import Change, Event
from samaops.site.site import Site
from samaops.workflows.reports import availability, planned, seen
from samaops.workflows.reports import period as periods
from tests.unit.reports.made import at, fill, samples_of, service, site_of

NOW = at("2026-12-15 12:00")
PARIS = "Europe/Paris"


def month_of(site: Site, month: str) -> Period:
    return periods.of_month(site, month, NOW)


def filled(
    site: Site, month: str, down: tuple[tuple[str, int], ...] = (), gap: tuple[str, int] | None = None
) -> None:
    """Keep a month of minutes, in which the service is down from some moments on for so many minutes."""
    period = month_of(site, month)
    bad = [(at(text), minutes) for text, minutes in down]
    unseen = (at(gap[0]), gap[1]) if gap else None

    def inside(moment: datetime, of: tuple[datetime, int]) -> bool:
        return of[0] <= moment < of[0] + timedelta(minutes=of[1])

    def shown(moment: datetime) -> list[Sample] | None:
        if unseen and inside(moment, unseen):
            return None
        return [service(DOWN if any(inside(moment, each) for each in bad) else UP)]

    fill(samples_of(site), period.since, period.minutes, shown)


def test_known_outages_are_exact_to_a_minute(tmp_path: Path) -> None:
    site = site_of(tmp_path)
    filled(site, "2026-11", down=(("2026-11-03 02:00", 20), ("2026-11-30 23:59", 1)))
    found = availability.observed(site, month_of(site, "2026-11"))[0]
    assert (found.subject, found.minutes, found.down_minutes, found.unobserved_minutes) == (
        WHOLE,
        43_200,
        21,
        0,
    )
    assert found.all_time == Bounds(99.951, 99.951)
    assert found.coverage == 100.0
    assert [(span.since, span.minutes) for span in found.outages] == [
        (at("2026-11-03 02:00"), 20),
        (at("2026-11-30 23:59"), 1),
    ]
    assert sum(day.down for day in found.days) == 21
    assert [day.day for day in found.days if day.down] == [date(2026, 11, 3), date(2026, 11, 30)]
    left = availability.budget(found)
    assert (left.minutes, left.spent, left.left_at_most, left.left_at_least) == (43.2, 21, 22.2, 22.2)


def test_outages_say_by_how_much_they_may_be_off(tmp_path: Path) -> None:
    site, begin = site_of(tmp_path), at("2026-06-01")

    def shown(moment: datetime) -> list[Sample]:
        return [service(DOWN, None) if moment.hour in (3, 9) and moment.minute < 5 else service()]

    fill(samples_of(site), begin, 24 * 60, shown)
    told = availability.table(site, periods.between(site, begin, begin + timedelta(days=1)))
    assert any("each ± 1 min, all 2 together ± 2 min" in note for note in told.notes)
    assert told.figures["outage_accuracy_minutes"] == 1
    assert told.rows[0]["down_accuracy_minutes"] == 2
    well = availability.table(site, periods.between(site, begin, begin + timedelta(hours=1)))
    assert not any("±" in note for note in well.notes), "nothing was down"
    assert well.rows[0]["down_accuracy_minutes"] == 0


def test_what_nobody_saw_widens_the_interval(tmp_path: Path) -> None:
    site = site_of(tmp_path)
    filled(site, "2026-11", down=(("2026-11-03 02:00", 20),), gap=("2026-11-10 00:00", 360))
    found = availability.observed(site, month_of(site, "2026-11"))[0]
    assert (found.up_minutes, found.down_minutes, found.unobserved_minutes) == (42_820, 20, 360)
    assert found.all_time == Bounds(99.12, 99.954)
    assert found.coverage == pytest.approx(99.167)
    left = availability.budget(found)
    assert (left.left_at_most, left.left_at_least) == (23.2, -336.8)


def test_a_single_minute_never_rounds_away(tmp_path: Path) -> None:
    assert availability.share(10**9 - 1, 10**9) == 99.999
    assert availability.share(0, 0) is None


def test_a_planned_time_that_overlaps_an_outage_is_shown_both_ways(tmp_path: Path) -> None:
    site = site_of(tmp_path)
    # Down from 02:00 to 03:00, planned from 02:30 to 03:30.
    filled(site, "2026-11", down=(("2026-11-03 02:00", 60),))
    period = month_of(site, "2026-11")
    window = Planned(at("2026-11-03 02:30"), at("2026-11-03 03:30"), planned.ALL, "change")
    of = seen.read(site, period.since, period.until)
    (found,) = availability.of_seen(of, site, period, [window])
    assert (found.down_minutes, found.planned_minutes) == (60, 60)
    assert found.all_time.lower == availability.share(43_140, 43_200)
    assert found.outside_planned.lower == availability.share(43_110, 43_140)
    assert [day.planned for day in found.days if day.planned] == [60]
    left = availability.budget(found)
    assert (left.spent, left.minutes) == (30, 43.1)
    (other,) = availability.of_seen(
        of, site, period, [Planned(window.since, window.until, "member/api1", "x")]
    )
    assert other.planned_minutes == 0


@pytest.mark.parametrize(
    ("zone", "month", "since", "minutes"),
    [
        ("Africa/Dakar", "2026-03", "2026-03-01 00:00", 44_640),
        (PARIS, "2026-03", "2026-02-28 23:00", 44_640 - 60),
        (PARIS, "2026-10", "2026-09-30 22:00", 44_640 + 60),
        (PARIS, "2026-02", "2026-01-31 23:00", 40_320),
    ],
)
def test_a_month_is_that_of_the_site(tmp_path: Path, zone: str, month: str, since: str, minutes: int) -> None:
    site = site_of(tmp_path, zone)
    period = month_of(site, month)
    assert (period.since, period.minutes, period.label) == (at(since), minutes, month)
    days = periods.days(site, period)
    assert sum(round((until - begin).total_seconds() / 60) for _day, begin, until in days) == minutes
    assert (days[0][1], days[-1][2]) == (period.since, period.until)


def test_minutes_belong_to_the_day_of_the_site(tmp_path: Path) -> None:
    """In Paris 2026-10-25 has 25 hours, and the last minute of October is one of UTC's October 31, 22:59."""
    site = site_of(tmp_path, PARIS)
    samples = samples_of(site)
    samples.add(Minute(at("2026-10-31 22:59"), (service(DOWN),)))
    samples.add(Minute(at("2026-10-31 23:00"), (service(DOWN),)))
    october = availability.observed(site, month_of(site, "2026-10"))[0]
    november = availability.observed(site, month_of(site, "2026-11"))[0]
    assert (october.down_minutes, november.down_minutes) == (1, 1)
    long_day = next(day for day in october.days if day.day == date(2026, 10, 25))
    assert long_day.unobserved == 25 * 60
    assert october.days[-1].down == november.days[0].down == 1


def test_a_month_that_goes_on_ends_now(tmp_path: Path) -> None:
    period = month_of(site_of(tmp_path), "2026-12")
    assert (period.until, period.is_whole) == (NOW, False)
    assert periods.of_month(site_of(tmp_path), "", NOW).label == "2026-11"
    with pytest.raises(UsageError):
        month_of(site_of(tmp_path), "2027-01")
    with pytest.raises(UsageError):
        month_of(site_of(tmp_path), "2026-13")


def test_six_months_end_with_the_one_that_is_asked_for(tmp_path: Path) -> None:
    site = site_of(tmp_path, PARIS)
    months = periods.before(site, month_of(site, "2026-03"), 6)
    assert [month.label for month in months] == [
        "2025-10",
        "2025-11",
        "2025-12",
        "2026-01",
        "2026-02",
        "2026-03",
    ]
    assert [a.until for a in months[:-1]] == [b.since for b in months[1:]]


def test_without_samples_nothing_is_claimed(tmp_path: Path) -> None:
    site = site_of(tmp_path)
    period = month_of(site, "2026-11")
    assert availability.observed(site, period) == ()
    shown = availability.table(site, period)
    assert "no sample" in shown.answer
    assert not (tmp_path / "history.sqlite3").exists()


def changed(
    identifier: str, began: str, ended: str, verb: str, *arguments: str, status: str = "verified"
) -> Change:
    plan = {"verb": verb, "arguments": list(arguments)}
    return Change(
        identifier,
        (
            Event(1, at(began).isoformat(), identifier, "begun", None, {"plan": plan}),
            Event(2, at(ended).isoformat(), identifier, "ended", None, {"status": status}),
        ),
    )


def test_a_drain_is_planned_until_the_member_is_back(tmp_path: Path) -> None:
    site = site_of(tmp_path)
    changes = [
        changed("a", "2026-11-01 10:00", "2026-11-01 10:01", "balancer drain", "10.0.0.1:8001", "30"),
        changed("b", "2026-11-01 10:20", "2026-11-01 10:21", "balancer enable", "10.0.0.1:8001"),
        changed("c", "2026-11-02 10:00", "2026-11-02 10:01", "balancer drain", "api2", "30", status="failed"),
        changed("d", "2026-11-03 10:00", "2026-11-03 10:01", "balancer drain", "10.0.0.1:8002", "30"),
        changed("e", "2026-11-03 10:30", "2026-11-03 10:31", "undo", "d"),
        changed("f", "2026-11-04 10:00", "2026-11-04 10:01", "balancer drain", "10.0.0.1:8002", "30"),
    ]
    found = list(planned.times(changes, {"d": "e"}, site))
    assert [(each.what, each.source, each.since, each.until) for each in found] == [
        ("member/api1", "a", at("2026-11-01 10:00"), at("2026-11-01 10:21")),
        ("member/api2", "d", at("2026-11-03 10:00"), at("2026-11-03 10:31")),
        ("member/api2", "f", at("2026-11-04 10:00"), at("2026-11-05 10:01")),
    ]


def test_a_pause_of_all_is_planned_until_it_ends(tmp_path: Path) -> None:
    site = site_of(tmp_path)
    until = at("2026-11-01 12:00").isoformat()
    changes = [
        changed("a", "2026-11-01 10:00", "2026-11-01 10:00", "schedule pause", "all", until, "migration"),
        changed("b", "2026-11-01 11:00", "2026-11-01 11:00", "schedule resume", "all"),
        changed("c", "2026-11-02 10:00", "2026-11-02 10:00", "schedule pause", "daily", until, "x"),
    ]
    assert [(each.what, each.since, each.until) for each in planned.times(changes, {}, site)] == [
        ("all", at("2026-11-01 10:00"), at("2026-11-01 11:00"))
    ]
