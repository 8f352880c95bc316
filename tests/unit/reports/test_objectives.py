"""The guide's objectives against what was measured, and dates that are told only where the days lie on a line."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from pathlib import Path

import pytest

from samaops.facts.availability import CRITICAL, MET, MISSED, UNKNOWN, Capacity, Kpi
from samaops.facts.sample import DOWN, UP, WHOLE, Minute, Sample
from samaops.site.site import Site
from samaops.workflows.reports import capacity, kpi
from samaops.workflows.reports import period as periods
from tests.unit.reports.made import at, fill, of_the_guide, samples_of, service, site_of

NOW = at("2026-12-01 00:00")


def objectives(site: Site, month: str = "2026-11") -> dict[str, Kpi]:
    return {each.id: each for each in kpi.observed(site, periods.of_month(site, month, NOW))}


def test_a_good_month_meets_what_it_can_show(tmp_path: Path) -> None:
    site = site_of(tmp_path)
    counted = [
        Sample("notifications/due", UP, 200.0, "notifications"),
        Sample("notifications/sent", UP, 192.0, "notifications"),
    ]

    def shown(moment: datetime) -> list[Sample]:
        return of_the_guide(moment) + (counted if moment.minute == 5 else [])

    fill(samples_of(site), at("2026-11-01 00:00"), 30 * 1440, shown)
    found = objectives(site)
    assert list(found) == [
        "availability",
        "api-time",
        "database-time",
        "notifications",
        "http-errors",
        "connections",
    ]
    assert {each.status for each in found.values()} == {MET}
    assert found["availability"].value == 100.0
    assert found["notifications"].value == 96.0
    assert found["api-time"].value == pytest.approx(43, rel=0.04)
    assert found["connections"].value == 10_000
    assert {each.coverage for each in found.values()} == {100.0}
    assert [month.value for month in found["availability"].trend] == [None] * 5 + [100.0]
    assert next(month.month for month in found["availability"].trend) == "2026-06"


def test_a_first_day_is_no_month(tmp_path: Path) -> None:
    site = site_of(tmp_path)
    fill(samples_of(site), at("2026-11-30 00:00"), 60, lambda _moment: [service()])
    found = objectives(site)
    assert {each.value for name, each in found.items() if name != "availability"} == {None}
    assert all(each.reason for name, each in found.items() if name != "availability")
    # One end of the interval meets the target, the other one does not.
    assert found["availability"].status == UNKNOWN
    assert found["availability"].value == 100.0
    assert (found["availability"].value_at_least, found["availability"].value_at_most) == (0.139, 100.0)


@pytest.mark.parametrize(("down", "status"), [(40, MET), (60, MISSED), (215, MISSED), (220, CRITICAL)])
def test_availability_stands_to_target_and_critical(tmp_path: Path, down: int, status: str) -> None:
    site = site_of(tmp_path)
    begin = at("2026-11-01 00:00")
    fill(
        samples_of(site), begin, 30 * 1440,
        lambda moment: [service(DOWN if moment < begin + timedelta(minutes=down) else UP)],
    )  # fmt: skip
    assert objectives(site)["availability"].status == status


def test_a_late_answer_misses_its_target(tmp_path: Path) -> None:
    site = site_of(tmp_path)
    fill(
        samples_of(site), at("2026-11-01 00:00"), 2000,
        lambda moment: [service(milliseconds=700.0 if moment.minute < 6 else 20.0)],
    )  # fmt: skip
    found = objectives(site)["api-time"]
    assert found.status == MISSED
    assert found.value == pytest.approx(700, rel=0.026)


# When something is full.

DAYS = 40


def grown(site: Site, value_of: object, days: int = DAYS) -> Capacity:
    samples = samples_of(site)
    for day in range(days):
        moment = at("2026-10-01 12:00") + timedelta(days=day)
        value = value_of(day)  # type: ignore[operator]
        samples.add(Minute(moment, (Sample("disk/db:/data", UP, value, "%"),)))
    period = periods.between(site, at("2026-09-01 00:00"), NOW, NOW)
    (found,) = capacity.foreseen(site, period)
    return found


def test_what_grows_steadily_has_a_date_with_a_narrow_band(tmp_path: Path) -> None:
    found = grown(site_of(tmp_path), lambda day: 50 + 0.5 * day + 0.1 * (day % 3))
    assert (found.subject, found.server, found.now, found.limit) == ("disk/db:/data", "db", 69.5, 100.0)
    assert found.growth_per_day == pytest.approx(0.5, abs=0.01)
    assert found.fit is not None
    assert found.fit > 0.9
    # 30.5 % are left, at a half a day.
    last = date(2026, 11, 9)
    assert found.full_on is not None
    assert abs((found.full_on - (last + timedelta(days=61))).days) <= 1
    assert found.earliest is not None
    assert found.latest is not None
    assert found.earliest <= found.full_on <= found.latest
    assert (found.latest - found.earliest).days < 10


def test_one_night_that_is_emptied_moves_no_date(tmp_path: Path) -> None:
    steady = grown(site_of(tmp_path), lambda day: 50 + 0.5 * day)
    (tmp_path / "other").mkdir()
    spiked = grown(site_of(tmp_path / "other"), lambda day: 95 if day == 20 else 50 + 0.5 * day)
    assert spiked.full_on == steady.full_on


@pytest.mark.parametrize(
    ("value_of", "days", "reason"),
    [
        (lambda day: 50 + 0.5 * day, 13, "13 days are too few: 14 are needed"),
        (lambda _day: 50.0, DAYS, "it does not grow"),
        (lambda day: 80 - 0.5 * day, DAYS, "it does not grow"),
        (lambda day: 50 + 0.001 * day, DAYS, "not within five years"),
        (lambda day: 50 + (day * 7919) % 23 + 0.05 * day, DAYS, "the days do not lie on a line"),
    ],
)  # fmt: skip
def test_no_date_is_told_without_a_reason_to(
    tmp_path: Path, value_of: object, days: int, reason: str
) -> None:
    found = grown(site_of(tmp_path), value_of, days)
    assert found.full_on is None
    assert found.earliest is None
    assert reason in found.reason


def test_the_sentence_names_what_is_full_first(tmp_path: Path) -> None:
    site = site_of(tmp_path)
    grown(site, lambda day: 50 + 0.5 * day)
    period = periods.between(site, at("2026-09-01 00:00"), NOW, NOW)
    shown = capacity.table(site, period)
    assert "disk/db:/data" in shown.answer
    assert "2027-01-0" in shown.answer


def test_an_error_rate_needs_enough_minutes(tmp_path: Path) -> None:
    site = site_of(tmp_path)
    fill(samples_of(site), at("2026-11-01 00:00"), 999, lambda _moment: [Sample(WHOLE, DOWN)])
    assert objectives(site)["http-errors"].value is None
