"""Samples are kept to the minute for ever, and take little room."""

from __future__ import annotations

import sqlite3
from datetime import timedelta
from pathlib import Path

import pytest

from samaops.facts.sample import DEGRADED, DOWN, UNOBSERVED, UP, WHOLE, Minute
from samaops.journal.database import HistoryError
from samaops.journal.samples import KEPT_DAYS, KEPT_HOURS_DAYS, KEPT_MINUTES_DAYS, Figures, Samples
from samaops.site.jobs import zone_of
from samaops.workflows.reports.seen import Seen, Subject
from tests.unit.reports.made import at, fill, of_the_guide, samples_of, service, site_of

BEGIN = at("2026-03-01 00:00")
MOST_BYTES = 200_000_000


def states(samples: Samples, minutes: int) -> list[tuple[int, int, str]]:
    pieces = samples.read(BEGIN, BEGIN + timedelta(minutes=minutes))
    subject = Subject()
    for piece in pieces:
        if piece.subject == WHOLE:
            place = piece.at
            for state, count in piece.runs:
                subject.take(place, state, count)
                place += count
    first = int(BEGIN.timestamp() // 60)
    return [(low - first, high - first, state) for low, high, state in subject.within(first, first + minutes)]


def test_a_state_is_known_to_the_minute_when_it_is_old(tmp_path: Path) -> None:
    site = site_of(tmp_path)
    samples = samples_of(site)

    def shown(moment):  # type: ignore[no-untyped-def]
        number = int((moment - BEGIN).total_seconds() // 60)
        if 130 <= number < 190:
            return None
        return [service(DOWN if 59 <= number < 61 else DEGRADED if number == 1439 else UP)]

    fill(samples, BEGIN, 2 * 1440, shown)
    expected = [
        (0, 59, UP), (59, 61, DOWN), (61, 130, UP), (130, 190, UNOBSERVED), (190, 1439, UP), (1439, 1440, DEGRADED),
        (1440, 2880, UP),
    ]  # fmt: skip
    assert states(samples, 2880) == expected
    young = Seen(samples.read(BEGIN, BEGIN + timedelta(days=2)), zone_of(site)).subject(WHOLE).figures
    for days in (KEPT_MINUTES_DAYS, KEPT_HOURS_DAYS):
        now = BEGIN + timedelta(days=days + 3)
        while samples.condense(now):
            pass
        assert states(samples, 2880) == expected
    old = Seen(samples.read(BEGIN, BEGIN + timedelta(days=2)), zone_of(site)).subject(WHOLE).figures
    assert {day: figures.count for day, figures in old.items()} == {
        day: figures.count for day, figures in young.items()
    }
    assert [each.percentile(95) for each in old.values()] == [each.percentile(95) for each in young.values()]
    samples.condense(BEGIN + timedelta(days=KEPT_DAYS + 3))
    assert states(samples, 2880) == [(0, 2880, UNOBSERVED)]


def test_a_percentile_is_right_to_its_step() -> None:
    figures = Figures(steps={})
    values = [number / 7 for number in range(1, 10_001)]
    for value in values:
        figures.add(value, "ms")
    for percent in (50, 95, 99):
        exact = values[percent * 100 - 1]
        assert figures.percentile(percent) == pytest.approx(exact, rel=0.026)
    assert Figures(steps={}).percentile(95) is None


def test_the_percentile_of_two_days_is_not_the_mean_of_their_percentiles() -> None:
    busy, calm = Figures(steps={}), Figures(steps={})
    for _number in range(900):
        calm.add(10.0, "ms")
    for _number in range(100):
        busy.add(1000.0, "ms")
    calm.join(busy)
    assert calm.percentile(95) == pytest.approx(1000, rel=0.026)
    assert calm.percentile(90) == pytest.approx(10, rel=0.026)


def test_a_minute_is_kept_once(tmp_path: Path) -> None:
    samples = samples_of(site_of(tmp_path))
    assert samples.add(Minute(BEGIN, (service(),)))
    assert not samples.add(Minute(BEGIN, (service(DOWN),)))
    assert states(samples, 1) == [(0, 1, UP)]


def test_what_was_spoiled_is_said_and_not_left_out(tmp_path: Path) -> None:
    samples = samples_of(site_of(tmp_path))
    samples.add(Minute(BEGIN, (service(),)))
    with sqlite3.connect(tmp_path / "history.sqlite3") as connection:
        connection.execute("UPDATE samaops_minutes SET seen = '[[1'")
    with pytest.raises(HistoryError, match="2026-03-01 00:00"):
        states(samples, 1)


def test_two_years_take_less_than_200_mb(tmp_path: Path) -> None:
    """A day is measured as minutes, as hours and as a day of each subject; each is kept for so many days."""
    samples = samples_of(site_of(tmp_path))
    samples.prepare()
    empty = size_of(tmp_path)
    days = 3
    fill(samples, BEGIN, days * 1440, of_the_guide)
    a_day = {"minutes": (size_of(tmp_path) - empty) / days}
    for name, age in (("hours", KEPT_MINUTES_DAYS), ("days", KEPT_HOURS_DAYS)):
        while samples.condense(BEGIN + timedelta(days=age + days + 1)):
            pass
        a_day[name] = (size_of(tmp_path) - empty) / days
    whole = (
        a_day["minutes"] * KEPT_MINUTES_DAYS
        + a_day["hours"] * (KEPT_HOURS_DAYS - KEPT_MINUTES_DAYS)
        + a_day["days"] * (KEPT_DAYS - KEPT_HOURS_DAYS)
    )
    assert whole < MOST_BYTES
    assert a_day["minutes"] > a_day["hours"] > a_day["days"] > 0


def size_of(directory: Path) -> int:
    with sqlite3.connect(directory / "history.sqlite3", isolation_level=None) as connection:
        connection.execute("VACUUM")
    return (directory / "history.sqlite3").stat().st_size
