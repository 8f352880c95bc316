"""A report never says more than was seen: who repaired, what went well, what is green, until when something was down."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import typer
from msgspec.structs import replace
from rich.console import Console

from samaops import i18n
from samaops.cli import paging, sampler
from samaops.cli.main import run as samaops
from samaops.facts.availability import CRITICAL, MET, MISSED, UNKNOWN, Bounds, Period
from samaops.facts.month import RoutineRun
from samaops.facts.sample import DOWN, UP, WHOLE, Minute, Sample
from samaops.facts.schedule import RUNNING, Run
from samaops.model.history import Moment, PastChange, local
from samaops.model.status import Status
from samaops.model.table import Column, Table
from samaops.render import table as table_face
from samaops.render.pages import html
from samaops.site.site import Site
from samaops.workflows.reports import availability, capacity, incident, incidents, kpi
from samaops.workflows.reports import period as periods
from samaops.workflows.reports.parts import events, jobs, objectives
from tests.unit.reports import months
from tests.unit.reports.made import at, fill, samples_of, service, site_of

NOON = at("2026-01-05 12:00")
REDIS = "redis/workers"


@pytest.fixture(autouse=True)
def _english() -> Iterator[None]:
    before = i18n.language()
    i18n.use_language("en")
    yield
    i18n.use_language(before)


def change(verb: str, identifier: str, undoes: str | None = None) -> PastChange:
    moment = (NOON + timedelta(minutes=2)).isoformat()
    begun = Moment(
        moment, "begun", None, "begun", {"plan": {"cures": ["redis.access.refused@redis/workers"]}}
    )
    moments = (begun,) if undoes is None else ()
    return PastChange(
        identifier, moment, "awa", "ops1", verb, f"{verb} of it", "verified", "", "", undoes, None, moments
    )


def incident_of(site: Site, *changes: PastChange, ends: int | None = None) -> Any:
    """Return the incident of a Redis that is down from noon on, for five minutes that were seen."""
    states = [DOWN if ends is None or number < ends else UP for number in range(5)]
    samples = samples_of(site)
    for number, state in enumerate(states):
        samples.add(Minute(NOON + timedelta(minutes=number), (Sample(REDIS, state), service())))
    period = periods.between(site, NOON, NOON + timedelta(minutes=5), NOON + timedelta(minutes=5))
    (found,) = incidents.of(availability.observed(site, period), changes, ())
    return found


@pytest.mark.parametrize(
    "verb", ["silence", "silence end", "schedule pause", "checklist sign", "release record", "config upgrade"]
)
def test_what_changes_nothing_that_runs_is_no_repair(tmp_path: Path, verb: str) -> None:
    made = change(verb, "one")
    found = incident_of(site_of(tmp_path), made, change("undo", "two", "one"), ends=3)
    assert found.is_over
    assert found.cause == ""
    assert (found.repairs, found.who) == ((), ())
    assert found.changes == ("one", "two")


def test_what_takes_back_what_stopped_it_is_a_repair(tmp_path: Path) -> None:
    found = incident_of(
        site_of(tmp_path), change("redis set-maxmemory", "one"), change("undo", "two", "one"), ends=3
    )
    assert "undo of it" in found.repairs


def test_nothing_is_repaired_while_it_is_down(tmp_path: Path) -> None:
    site = site_of(tmp_path)
    found = incident_of(site, change("docker restart", "one"))
    assert not found.is_over
    assert not [words for words in incident._incident_words([found]) if "repaired" in words]
    page = incidents_section(months.report(), found)
    assert page["shown_repair"] == "not repaired; tried: docker restart of it (awa@ops1)"
    assert "goes on" not in page["shown_time"]
    over = incident_of(site_of(fresh(tmp_path)), change("docker restart", "one"), ends=3)
    assert "repaired by awa@ops1" in [*incident._incident_words([over])]


def fresh(directory: Path) -> Path:
    made = directory / "other"
    made.mkdir()
    return made


def incidents_section(of: Any, found: Any) -> Any:
    return events.incidents(months.SITE, replace(of, incidents=(found,))).table.rows[0]


# What ran.


def maintenance(**more: Any) -> Any:
    return jobs.maintenance(months.SITE, replace(months.report(), **{"runs": (), "routines": (), **more}))


def test_runs_that_found_something_critical_did_not_go_well() -> None:
    run = RoutineRun(months.NIGHT, "maintain daily", "critical", False, 12.0)
    section = maintenance(routines=(run, run, run))
    assert section.table.answer == "3 runs found something critical"
    assert section.status == "warning"
    assert maintenance(routines=(replace(run, is_failed=True),)).table.answer == "1 run failed"
    assert maintenance(routines=(replace(run, result="ok"),)).table.answer == (
        "Every run that is known went well"
    )


def test_a_run_that_goes_on_has_not_gone_well() -> None:
    run = Run("daily", months.NIGHT, RUNNING, started_at=months.NIGHT)
    section = maintenance(runs=(run,))
    assert section.table.answer == "1 run has not ended"
    assert section.status == "unknown"


def test_a_process_that_looks_each_minute_has_looked_in_all_but_its_last() -> None:
    looking = Run("sample", months.NIGHT, RUNNING, started_at=months.NIGHT, count=30)
    stopped = Run("sample", months.NIGHT, "interrupted", started_at=months.NIGHT, count=12)
    table = maintenance(runs=(looking, stopped)).table
    assert (table.rows[0]["well"], table.rows[0]["failed"]) == (40, 1)
    assert table.answer == "1 run of a job missed or failed; 1 run has not ended"


# The objectives.


def test_the_critical_value_is_written_as_what_is_critical() -> None:
    rows = objectives.objectives(months.SITE, months.report()).table.rows
    assert [(row["shown_target"], row["shown_critical"]) for row in rows[:2]] == [
        ("≥ 99.9\u00a0%", "< 99.5\u00a0%"),
        ("< 500 ms", "≥ 1,000 ms"),
    ]


def test_a_value_that_decides_nothing_is_not_green() -> None:
    month = months.report()
    vip = replace(
        month.kpis[0], value=100.0, coverage=0.8, status=UNKNOWN, value_at_least=0.8, value_at_most=100.0,
        trend=months.trend(None, 99.95, 100.0, 90.0, 100.0, 100.0),
    )  # fmt: skip
    vip = replace(
        vip,
        trend=(
            *vip.trend[:3],
            replace(vip.trend[3], coverage=99.9),
            replace(vip.trend[4], coverage=100.0),
            replace(vip.trend[5], coverage=0.8),
        ),
    )
    points = objectives.objectives(months.SITE, replace(month, kpis=(vip,))).charts[0].points
    assert [point.level for point in points] == [
        "unknown", "unknown", "unknown", "critical", "ok", "unknown",
    ]  # fmt: skip
    assert points[-1].text == "100\u00a0% of the 0.8\u00a0% observed"


@pytest.mark.parametrize(
    ("statuses", "status"),
    [
        ((MET, MET), Status.OK),
        ((MET, MISSED), Status.WARNING),
        ((MISSED, UNKNOWN), Status.UNKNOWN),
        ((UNKNOWN, CRITICAL), Status.CRITICAL),
        ((), Status.UNKNOWN),
    ],
)
def test_the_objectives_are_as_bad_as_the_worst(statuses: tuple[str, ...], status: Status) -> None:
    first = months.kpis()[0]
    assert kpi.status_of([replace(first, status=each) for each in statuses]) is status


@pytest.mark.parametrize(
    ("lower", "upper", "status"),
    [
        (99.95, 100.0, Status.OK),
        (0.8, 100.0, Status.UNKNOWN),
        (0.8, 99.8, Status.WARNING),
        (0.8, 99.4, Status.CRITICAL),
        (None, None, Status.UNKNOWN),
    ],
)
def test_availability_is_judged_by_both_ends(
    lower: float | None, upper: float | None, status: Status
) -> None:
    first = months.availability()[0]
    assert availability.status([replace(first, outside_planned=Bounds(lower, upper))]) is status


def test_a_date_that_is_near_warns() -> None:
    first, other = months.report().capacity
    assert capacity._status([first, other], months.PERIOD) is Status.WARNING
    assert capacity._status([other], months.PERIOD) is Status.OK
    assert capacity._status([], months.PERIOD) is Status.UNKNOWN


@pytest.mark.parametrize("status", [*Status])
def test_a_list_as_a_file_has_the_colour_of_what_it_says(status: Status) -> None:
    table = Table("kpi", (Column("title", "objective"),), ({"title": "one"},), "", answer="x", status=status)
    assert f'class="answer {status}"' in html.render_table(table, "site", "Objectives")


@pytest.mark.parametrize(
    ("status", "is_whole", "code"),
    [
        (Status.OK, True, 0), (Status.WARNING, True, 1), (Status.CRITICAL, False, 2), (Status.OK, False, 3),
        (Status.UNKNOWN, True, 3),
    ],
)  # fmt: skip
def test_a_report_ends_with_the_worst(status: Status, is_whole: bool, code: int) -> None:
    try:
        paging._leave(status, is_whole=is_whole)
        left = 0
    except typer.Exit as ended:
        left = ended.exit_code
    assert left == code


@pytest.mark.parametrize("name", ["availability", "kpi", "capacity", "monthly"])
def test_what_nobody_observed_is_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    config = tmp_path / "config.toml"
    config.write_text(f'[servers.one]\naddress = "127.0.0.1"\n[safety]\nlock_directory = "{tmp_path}"\n')
    config.chmod(0o600)
    assert samaops(["--config", str(config), "report", name]) == 3
    written = capsys.readouterr().out
    assert "in 20" in written or name == "monthly"


# Minutes.


def availability_of(site: Site, seconds: int, states: tuple[str, ...], until: int | None = None) -> Any:
    """Return the service's availability by a look in each minute from noon on, asked so many seconds behind noon."""
    fill_states(site, states)
    now = NOON + timedelta(seconds=seconds)
    return availability.observed(site, periods.between(site, NOON, now, now))[0]


def fill_states(site: Site, states: tuple[str, ...]) -> None:
    samples = samples_of(site)
    for number, state in enumerate(states):
        samples.add(Minute(NOON + timedelta(minutes=number), (service(state),)))


def test_a_minute_that_goes_on_is_not_counted(tmp_path: Path) -> None:
    found = availability_of(site_of(tmp_path), 5 * 60 + 12, (UP,) * 6)
    assert (found.minutes, found.up_minutes) == (5, 5)


def test_what_was_seen_up_in_this_minute_is_over(tmp_path: Path) -> None:
    found = availability_of(site_of(tmp_path), 3 * 60 + 12, (UP, UP, DOWN, UP))
    assert [(span.minutes, span.is_over) for span in found.outages] == [(1, True)]


def test_what_is_down_in_this_minute_is_told_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = site_of(tmp_path)
    fill_states(site, (UP, UP, UP, DOWN))
    now = NOON + timedelta(minutes=3, seconds=20)
    monkeypatch.setattr(periods, "datetime", Clock(now))
    table = incident.timeline(site, NOON, now)
    assert "the service was down" in table.answer
    assert "observed for 100 % of the time" in table.answer
    assert "is down, seen so until" in table.rows[0]["text"]


class Clock:
    """A clock that stands still."""

    combine = datetime.combine

    def __init__(self, moment: datetime) -> None:
        self.now = lambda _zone: moment


def test_what_nobody_looked_at_again_is_not_over(tmp_path: Path) -> None:
    found = availability_of(site_of(tmp_path), 6 * 60, (UP, UP, DOWN))
    assert [(span.minutes, span.is_over) for span in found.outages] == [(1, False)]
    assert [event.text for event in incident._states(found)] == [
        f"{WHOLE} is down, seen so until {local((NOON + timedelta(minutes=3)).isoformat())[11:16]}; "
        "what follows nobody saw"
    ]


def test_a_second_look_of_a_minute_ends_what_the_first_one_saw(tmp_path: Path) -> None:
    site = site_of(tmp_path)
    fill_states(site, (UP, DOWN, DOWN))
    samples = samples_of(site)
    again = Minute(NOON + timedelta(minutes=2), (service(UP),))
    assert not samples.add(again)
    assert not samples.add(again)
    found = availability_of(site, 3 * 60, ())
    assert (found.down_minutes, [span.is_over for span in found.outages]) == (2, [True])
    assert {each.subject for each in availability.observed(site, period_of(site, 3))} == {WHOLE}


def period_of(site: Site, minutes: int) -> Period:
    return periods.between(site, NOON, NOON + timedelta(minutes=minutes), NOON + timedelta(minutes=minutes))


def test_a_last_month_has_no_figure_of_the_minute_behind_it(tmp_path: Path) -> None:
    site = site_of(tmp_path)
    fill(samples_of(site), at("2026-10-31 23:58"), 4, lambda _moment: [service()])
    now = at("2026-11-02 00:00")
    of = {each.id: each for each in kpi.observed(site, periods.of_month(site, "2026-10", now))}
    assert "2 values are too few" in of["api-time"].reason


# Words.


def test_a_time_of_some_hours_says_them_and_is_asked_for_again(tmp_path: Path) -> None:
    site = site_of(tmp_path)
    fill(samples_of(site), NOON, 10, lambda _moment: [service()])
    now = NOON + timedelta(minutes=10)
    shown = kpi.table(site, periods.between(site, NOON, now, now))
    assert "from 2026-01-05 12:00 to 12:10" in shown.answer
    wanted = "--since 2026-01-05T12:00+00:00 --until 2026-01-05T12:10+00:00"
    assert shown.commands[0].endswith(f"report availability {wanted}")
    assert shown.rows[0]["command"].endswith(f"report kpi {wanted}")


def test_a_budget_that_may_be_overspent_is_no_negative_rest(tmp_path: Path) -> None:
    site = site_of(tmp_path)
    fill(samples_of(site), at("2026-11-01 00:00"), 60, lambda _moment: [service()])
    table = availability.table(site, periods.of_month(site, "2026-11", at("2026-12-01 00:00")))
    note = next(note for note in table.notes if "target" in note)
    assert "overspent by 43096.8 min" in note
    assert " -" not in note


def test_counts_are_of_what_the_rows_are_of(tmp_path: Path) -> None:
    run = RoutineRun(NOON, "maintain daily", "ok")
    routines = tuple(replace(run, at=NOON + timedelta(minutes=number)) for number in range(3))
    seen = incident._Seen(routines=routines, changes=(change("docker restart", "one"),))
    events = [*incident._events(seen, Period(NOON, NOON + timedelta(hours=1), "x"))]
    totals = incident._totals(events)
    assert (totals["job"], totals["change"]) == (3, 1)
    assert [*incident._counts(events)] == ["1 change", "3 runs of jobs"]
    notes = [*incident._unseen(seen)]
    assert not [note for note in notes if "ledger has no run" in note]
    # What the scheduler began is one run, though its routine has kept what it found too.
    began = Run("daily", NOON, "ok", started_at=NOON, ended_at=NOON + timedelta(seconds=30))
    both = incident._Seen(routines=routines[:1], runs=(began,))
    assert (
        incident._totals([*incident._events(both, Period(NOON, NOON + timedelta(hours=1), "x"))])["job"] == 1
    )


def test_what_was_not_observed_is_counted_in_the_same_minutes(tmp_path: Path) -> None:
    site = site_of(tmp_path)
    fill_states(site, (UP, UP))
    table = incident.timeline(site, NOON + timedelta(seconds=30), NOON + timedelta(minutes=10, seconds=30))
    assert "observed for 18 % of the time" in table.answer
    assert "Of the service, 9 of 11 minutes were not observed" in table.notes


@pytest.mark.parametrize(("watched", "status"), [(0, Status.UNKNOWN), (2, Status.SKIPPED), (10, Status.OK)])
def test_a_night_is_well_only_where_it_was_watched(tmp_path: Path, watched: int, status: Status) -> None:
    site = site_of(tmp_path)
    fill_states(site, (UP,) * watched)
    assert incident.timeline(site, NOON, NOON + timedelta(minutes=10)).status is status


def test_an_answer_stands_once_in_markdown() -> None:
    table = Table("kpi", (Column("title", "objective"),), (), "Nothing was seen", answer="Nothing was seen")
    assert table_face.markdown(table).count("Nothing was seen") == 1


def test_a_narrow_screen_breaks_no_word() -> None:
    table = months_incidents()
    console = Console(width=80, color_system=None)
    with console.capture() as captured:
        console.print(table_face.screen(replace(table, commands=(), notes=(), answer="")))
    shown = captured.get()
    assert max(len(line.rstrip()) for line in shown.splitlines()) <= 80
    words = {word for row in table.rows for column in table.columns for word in str(row[column.key]).split()}
    assert words <= set(shown.split())
    assert "24 min" in shown
    # With no room for the longest words of all nothing is lost either.
    console = Console(width=30, color_system=None)
    with console.capture() as captured:
        console.print(table_face.screen(replace(table, commands=(), notes=(), answer="")))
    assert max(len(line.rstrip()) for line in captured.get().splitlines()) <= 30


def months_incidents() -> Table:
    return events.incidents(months.SITE, months.report()).table


def test_a_sample_is_told_within_the_screen(capsys: pytest.CaptureFixture[str]) -> None:
    samples = tuple(Sample(f"queue/number_{number}", DOWN) for number in range(6))
    i18n.use_language("fr")
    sampler._say(sampler._words(Minute(datetime.now().astimezone(), (*samples, service()), 30)))
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) > 1
    assert max(map(len, lines)) <= 80
    assert "queue/number_0 arrêté" in " ".join(line.strip() for line in lines)
