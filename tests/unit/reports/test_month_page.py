"""The page of a month: one file that holds what the JSON holds, draws it, and needs nothing else."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import timedelta
from html.parser import HTMLParser
from typing import Any

import pytest
from msgspec.structs import replace

from samaops import i18n
from samaops.facts.month import AVAILABILITY, BACKUPS, CAPACITY, CHANGES, KPIS, RUNS, MonthlyReport
from samaops.model import page as pages
from samaops.model.history import local
from samaops.model.page import Page
from samaops.model.status import Status
from samaops.render import json as json_face
from samaops.render.pages import html, text
from samaops.workflows.reports import incidents, monthly
from tests.answers import validated
from tests.unit.reports import months

HOSTILE = '<script>alert(1)</script><img src="http://evil" onerror=x>\x1b[31m"&{{7*7}}'
LARGEST_BYTES = 300_000
_VOID = {"meta", "br", "rect", "line", "polyline"}
_NUMBER = re.compile(r"\d[\d.,:\u202f]*")


class Read(HTMLParser):
    """What a page says: each element that was opened, the tables of each section, and all of its words."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.opened: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.sections: dict[str, dict[str, Any]] = {}
        self.words: list[str] = []
        self._section: dict[str, Any] = {}
        self.feed(source)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        self.opened.append((tag, named))
        if tag not in _VOID:
            self.open.append(tag)
        if tag == "section":
            self._section = {"keys": [], "rows": [], "titles": []}
            self.sections[str(named["id"])] = self._section
        elif tag == "th":
            self._section["keys"].append(named["data-key"])
        elif tag == "tr" and "tbody" in self.open:
            self._section["rows"].append([])
        elif tag == "td":
            self._section["rows"][-1].append("")
        elif tag == "title" and "svg" in self.open:
            self._section["titles"].append("")

    def handle_endtag(self, tag: str) -> None:
        if tag not in _VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" in self.open:
            return
        self.words.append(data)
        if "td" in self.open:
            self._section["rows"][-1][-1] += data
        elif "title" in self.open and "svg" in self.open:
            self._section["titles"][-1] += data


def document(page: Page) -> Any:
    """Return what programs read of a page."""
    return json.loads(json_face.text(pages.document(page)))


def page_of(report: MonthlyReport) -> Page:
    return monthly.compose(months.SITE, report)


@pytest.fixture(params=["fr", "en"])
def page(request: pytest.FixtureRequest) -> Iterator[Page]:
    before = i18n.language()
    i18n.use_language(request.param)
    yield page_of(months.report())
    i18n.use_language(before)


def shown(value: Any) -> str:
    """Return a plain value as a list writes it."""
    if value is None or value in ("", []):
        return "-"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return i18n.number(f"{value:g}") if isinstance(value, float) else str(value)


def test_every_cell_of_the_page_is_what_the_json_says(page: Page) -> None:
    told, seen = document(page)["sections"], Read(html.render(page)).sections
    assert set(seen) == set(told)
    for name, section in told.items():
        keys = [column["key"] for column in section["columns"]] if section["rows"] else []
        assert seen[name]["keys"] == keys, name
        expected = [[shown(row[key]) for key in keys] for row in section["rows"]]
        assert seen[name]["rows"] == expected, name


def test_every_value_that_is_drawn_is_one_of_the_json(page: Page) -> None:
    told, seen = document(page)["sections"], Read(html.render(page)).sections
    for name, section in told.items():
        points = [
            f"{point['label']} : {point['text']}"
            for chart in section["charts"]
            if chart["form"] != "bars"
            for point in chart["points"]
            if chart["form"] == "days" or point["value"] is not None
        ]
        assert seen[name]["titles"] == points, name


def numbers_in(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for each in value.values():
            yield from numbers_in(each)
    elif isinstance(value, list):
        for each in value:
            yield from numbers_in(each)
    elif not isinstance(value, bool) and value is not None:
        yield from _NUMBER.findall(i18n.number(f"{value:g}") if isinstance(value, float) else str(value))


def test_no_number_of_the_page_is_from_elsewhere(page: Page) -> None:
    known = set(numbers_in(document(page))) | set(_NUMBER.findall(local(page.made_at.isoformat())))
    said = set(_NUMBER.findall(" ".join(Read(html.render(page)).words)))
    assert len(said) > 60
    assert said <= known


def test_it_says_the_same_as_markdown_and_on_a_screen(page: Page) -> None:
    assert "99" in page.answer
    assert text.markdown(page).count("\n## ") == len(page.sections)
    for section in page.sections:
        assert section.title in html.render(page)


def test_it_keeps_to_its_schema(page: Page) -> None:
    validated(document(page))


def test_nothing_is_loaded_and_nothing_runs(page: Page) -> None:
    written = html.render(page)
    assert not re.search(r"https?:|<script|javascript:|@import|url\(|//", written.replace("/>", ""))
    for tag, attributes in Read(written).opened:
        assert tag not in ("script", "link", "img", "iframe", "object", "embed", "base", "form"), tag
        assert not {name for name in attributes if name == "src" or name.startswith("on")}
        assert (attributes.get("href") or "#").startswith("#")


def test_a_name_from_outside_is_only_a_name(page: Page) -> None:
    made = months.report()
    change = replace(made.changes[0], title=HOSTILE, user=HOSTILE)
    outage = replace(made.availability[0], subject=HOSTILE)
    grown = replace(made.growth[0], owner=HOSTILE)
    hostile = replace(
        made,
        changes=(change,),
        availability=(outage,),
        growth=(grown,),
        incidents=tuple(replace(each, cause=HOSTILE, subjects=(HOSTILE,)) for each in made.incidents),
        missing={KPIS: HOSTILE},
    )
    written = html.render(page_of(hostile))
    assert "\x1b" not in written
    assert "49" not in re.findall(r"\{\{.*?\}\}", written)
    assert {"script", "img"}.isdisjoint(tag for tag, _attributes in Read(written).opened)
    assert "&lt;script&gt;" in written


def test_a_full_year_of_a_busy_site_is_small(page: Page) -> None:
    made = months.report()
    busy = replace(
        made,
        changes=tuple(replace(made.changes[0], title="x" * 300, id=str(number)) for number in range(900)),
        runs=made.runs * 100,
        incidents=made.incidents * 150,
        backups=made.backups * 12,
        capacity=made.capacity * 20,
        growth=made.growth * 40,
        availability=tuple(
            replace(each, days=tuple(months.days()[0] for _day in range(366))) for each in made.availability
        ),
    )
    written = html.render(page_of(busy)).encode()
    assert len(written) < LARGEST_BYTES
    assert len(html.render(page).encode()) < LARGEST_BYTES / 4


def test_what_was_not_observed_is_never_nothing(page: Page) -> None:
    missing = dict.fromkeys((AVAILABILITY, KPIS, CHANGES, RUNS, BACKUPS, CAPACITY), "no answer")
    dark = page_of(MonthlyReport(months.PERIOD, months.UNTIL, missing=missing))
    told = document(dark)
    assert told["status"] == Status.UNKNOWN.value or told["status"] == Status.WARNING.value
    assert not told["is_whole"]
    assert told["figures"]["incidents"] is None
    assert told["figures"]["changes"] is None
    assert told["figures"]["available_at_most"] is None
    for name, section in told["sections"].items():
        assert section["is_seen"] is (name == "next"), name
    assert len(dark.notes) == len(missing)
    assert all("no answer" in note for note in dark.notes)


def test_that_the_planned_times_are_not_known_is_said() -> None:
    whole = page_of(months.report())
    blind = page_of(replace(months.report(), planned_unknown="no answer"))
    assert len(blind.notes) == len(whole.notes) + 1
    assert "planned times are not known: no answer" in blind.notes[-1]


def test_a_subject_that_nobody_saw_has_no_figures(page: Page) -> None:
    row = document(page)["sections"]["availability"]["rows"][2]
    assert row["subject"] == "disk/db:/data"
    assert row["outside_planned"] is row["down_minutes"] is row["degraded_minutes"] is None


def test_the_first_line_is_the_answer(page: Page) -> None:
    nbsp = "\N{NO-BREAK SPACE}"
    low, high = (i18n.number(each) + nbsp + "%" for each in ("93.49", "99.94"))
    assert low in page.answer
    assert high in page.answer
    first = next(line for line in text.markdown(page).splitlines() if line.startswith("**"))
    assert page.answer.split()[0] in first


def test_an_incident_has_its_cause_its_repair_and_its_share_of_the_budget() -> None:
    night, planned = months.report().incidents
    assert night.since == months.NIGHT - timedelta(minutes=3)
    assert night.minutes == 30
    assert (night.service_minutes, night.spent_minutes) == (24, 24)
    assert night.cause == "Le conteneur samaconso_redis est arrêté"
    assert night.who == ("awa@ops1",)
    assert night.is_verified is True
    assert (planned.service_minutes, planned.spent_minutes) == (10, 0)
    assert planned.is_verified is None
    assert planned.cause == ""


def test_what_is_left_to_do_begins_with_a_command(page: Page) -> None:
    rows = document(page)["sections"]["next"]["rows"]
    commands = {row["command"] for row in rows}
    assert "samaops report kpi --month 2026-10" in commands
    assert "samaops disk grew" in commands
    assert "samaops schedule explain backup" in commands
    assert "samaops backup drill" not in commands  # one was tried on the 1st


def test_what_fills_and_was_not_seen_has_no_figure(page: Page) -> None:
    made = months.report()
    unseen = replace(made.capacity[0], now=0.0, points=0, full_on=None, reason="it was not observed")
    (row,) = document(page_of(replace(made, capacity=(unseen,))))["sections"]["capacity"]["rows"]
    assert row["now"] is None
    assert "0" not in row["shown_now"]


def test_an_incident_without_a_cause_is_work(page: Page) -> None:
    made = months.report()
    unknown = tuple(replace(each, cause="") for each in made.incidents)
    rows = document(page_of(replace(made, incidents=unknown)))["sections"]["next"]["rows"]
    since, until = "2026-10-12T03:07+00:00", "2026-10-12T03:37+00:00"
    assert f"samaops report incident --since {since} --until {until}" in {row["command"] for row in rows}


def test_a_routine_beside_an_incident_is_no_repair() -> None:
    beside = months.change(7, months.NIGHT + timedelta(minutes=2), "Sauvegarder samaconso", "verified")
    beside = replace(beside, verb="backup create")
    night, _planned = incidents.of(months.availability(), (beside,), ())
    assert night.changes == (beside.id,)
    assert night.repairs == night.who == ()
    assert night.is_verified is None


def test_of_a_job_that_runs_often_no_total_is_told(page: Page) -> None:
    made = months.report()
    sampled = tuple(replace(run, job="sample") for run in made.runs)
    section = document(page_of(replace(made, runs=sampled)))["sections"]["maintenance"]
    assert section["rows"][0]["planned"] is None
    assert any("14" in note for note in section["notes"])
