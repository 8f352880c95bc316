"""The page of the go/no-go meeting: it holds what the JSON of ``checklist report`` holds, and nothing in it acts."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from markdown_it import MarkdownIt
from msgspec.structs import replace

from samaops import i18n
from samaops.cli.main import run
from samaops.config import checklists
from samaops.facts.checklist import SEEN, SIGNED
from samaops.model.finding import Finding
from samaops.model.history import local
from samaops.model.page import Page
from samaops.model.status import Status
from samaops.render import json as json_face
from samaops.render import table as table_face
from samaops.render.pages import html, text
from samaops.site import chosen
from samaops.workflows.checklist import judged, listing, meeting
from samaops.workflows.checklist.listing import Answer
from tests.answers import validated
from tests.service import faulty
from tests.unit import meetings
from tests.unit.meetings import NOW, SITE, entry
from tests.unit.reports.test_month_page import HOSTILE, LARGEST_BYTES, Read, numbers_in

STATES = ("ok", "signed", "failed", "unknown", "to_sign")
_NUMBER = re.compile(r"\d[\d.,:\u202f]*")


@pytest.fixture(params=["fr", "en"], autouse=True)
def language(request: pytest.FixtureRequest) -> Iterator[str]:
    before = i18n.language()
    i18n.use_language(request.param)
    yield request.param
    i18n.use_language(before)


def document(answer: Answer) -> Any:
    """Return what programs read of an answer."""
    return json.loads(json_face.text(table_face.document(answer.table)))


def page_of(answer: Answer) -> Page:
    return meeting.page(SITE, answer.table, NOW)


def read(answer: Answer) -> Read:
    return Read(html.render(page_of(answer)))


def section_id(row: dict[str, Any]) -> str:
    """Return the part of the page where an item of the JSON stands."""
    checklist = checklists.named(row["checklist"])
    (part,) = (part for part in checklist.sections for item in part.items if item.id == row["item"])
    return f"{checklist.id}-{part.id}"


def all_well() -> tuple[Finding, ...]:
    """Return that every check of every item has found it well, also of those that are narrowed to a member or a name."""
    subjects = {finding.code: finding for finding in meetings.findings()}
    made = []
    for name in checklists.DECISIVE:
        for item in checklists.named(name).items():
            for code in item.checks:
                narrowed = judged._subjects(item, code, SITE)
                for subject in narrowed or ("x/x",):
                    made.append(
                        replace(subjects[code], status=Status.OK, subject=subject, title="well", hint="")
                    )
    return tuple(made)


def everything_signed() -> tuple[Any, ...]:
    return tuple(
        entry(name, item.id, SIGNED, 10, by="awa", note="agreed")
        for name in checklists.DECISIVE
        for item in checklists.named(name).items()
    )


def test_every_count_of_the_page_is_that_of_the_json() -> None:
    answer = meetings.answer()
    told, seen = document(answer)["figures"], read(answer).sections["counts"]
    assert seen["keys"] == ["list", "items", *STATES]
    rows = [[int(value) for value in row[1:]] for row in seen["rows"]]
    counted = [*told["lists"].values(), told["counts"]]
    assert rows == [[sum(each.values()), *(each[state] for state in STATES)] for each in counted]
    assert sum(told["counts"].values()) - told["counts"]["ok"] - told["counts"]["signed"] == told["open"]
    for state in STATES:
        of_rows = [row for row in document(answer)["checklist"] if row["state"] == state]
        assert len(of_rows) == told["counts"][state] > 0, state


def test_every_item_stands_in_its_section_with_what_the_json_says_of_it() -> None:
    answer = meetings.answer()
    sections = read(answer).sections
    parts: dict[str, list[dict[str, Any]]] = {}
    for row in document(answer)["checklist"]:
        parts.setdefault(section_id(row), []).append(row)
    assert set(sections) == {"counts", "open", "turned_back", *parts}
    for name, rows in parts.items():
        shown = [dict(zip(sections[name]["keys"], cells, strict=True)) for cells in sections[name]["rows"]]
        assert [each["title"] for each in shown] == [row["title"] for row in rows], name
        for each, row in zip(shown, rows, strict=True):
            assert each["word"] == row["word"]
            assert each["since"] == judged.said(row["since"])
            if row["state"] in ("failed", "unknown"):
                assert each["evidence"] == row["reason"]
            if row["signed_by"]:
                assert row["signed_by"] in each["signed"]
                assert judged.said(row["signed_at"]) in each["signed"]
                assert row["note"] in each["signed"]


def test_what_blocks_is_every_open_item_the_worst_first_each_with_its_next_command() -> None:
    answer = meetings.answer()
    told, seen = document(answer), read(answer).sections["open"]
    shown = [dict(zip(seen["keys"], cells, strict=True)) for cells in seen["rows"]]
    left = [row for row in told["checklist"] if row["state"] not in ("ok", "signed")]
    assert len(shown) == len(left) == told["figures"]["open"]
    assert sorted((each["title"], each["command"]) for each in shown) == sorted(
        (row["title"], row["command"]) for row in left
    )
    words = {row["word"]: row["state"] for row in left}
    order = [words[each["word"]] for each in shown]
    assert order == sorted(order, key=("failed", "unknown", "to_sign").index)
    assert shown[0]["command"] == "samaops explain checklist.firewall.open", "critical before a warning"


def test_what_was_well_says_until_when() -> None:
    answer = meetings.answer()
    back = [row for row in document(answer)["checklist"] if row["well_until"]]
    seen = read(answer).sections["turned_back"]
    shown = [dict(zip(seen["keys"], cells, strict=True)) for cells in seen["rows"]]
    assert [each["until"] for each in shown] == [judged.said(row["well_until"]) for row in back]
    assert len(back) == document(answer)["figures"]["turned_back"] == 1
    assert shown[0]["evidence"] == "The firewall of api lets everything in"


def numbers(text: str) -> set[str]:
    return {number.rstrip(".,:") for number in _NUMBER.findall(text)}


def test_no_number_of_the_page_is_from_elsewhere() -> None:
    answer = meetings.answer()
    told = document(answer)
    known = {number.rstrip(".,:") for number in numbers_in(told)} | numbers(local(NOW.isoformat()))
    # Moments as people read them, titles of the lists, and how many items there are of a kind in a part.
    parts: dict[str, list[str]] = {}
    for row in told["checklist"]:
        parts.setdefault(section_id(row), []).append(row["state"])
        for key in ("since", "well_until", "signed_at"):
            known |= numbers(judged.said(row[key])) if row[key] else set()
    for name, counts in told["figures"]["lists"].items():
        known |= {*numbers(str(checklists.named(name).title)), str(sum(counts.values()))}
    for states in parts.values():
        known |= {str(len(states)), *(str(states.count(state)) for state in STATES)}
    said = numbers(" ".join(read(answer).words))
    assert len(said) > 30
    assert said <= known, said - known


def test_each_section_counts_its_own_items() -> None:
    answer = meetings.answer()
    rows = document(answer)["checklist"]
    for section in page_of(answer).sections[3:]:
        of_it = [row for row in rows if section_id(row) == section.id]
        counted = [int(each) for each in re.findall(r"\d+", section.table.answer)]
        states = [sum(row["state"] == state for row in of_it) for state in STATES]
        assert counted == [len(of_it), *(count for count in states if count)], section.id


def test_the_first_line_is_the_answer(language: str) -> None:
    answer = meetings.answer()
    written = page_of(answer)
    assert answer.table.figures["decision"] == "no_go"
    assert written.status is Status.CRITICAL
    assert answer.table.answer.startswith("No-go")
    assert "Firewall" in answer.table.answer or "firewall" in answer.table.answer
    assert (
        text.markdown(written).splitlines()[0]
        == {
            "en": r"# Going live: no\-go",
            "fr": r"# Mise en production : no\-go",
        }[language]
    )
    words = [word for word in Read(html.render(written)).words if word.strip()]
    assert words.index(written.title) < words.index(written.answer) < 6


def test_nothing_failed_and_something_open_is_not_decided() -> None:
    answer = meetings.answer(seen=())
    figures = document(answer)["figures"]
    assert (figures["decision"], figures["counts"]["failed"]) == ("not_decided", 0)
    assert page_of(answer).status is Status.WARNING
    assert answer.table.answer.startswith(("Not decided:", "Non décidé :"))


def test_all_closed_is_a_go_and_the_day_itself_is_next() -> None:
    answer = meetings.answer(kept=everything_signed(), seen=all_well())
    assert document(answer)["figures"]["decision"] == "go"
    assert answer.table.answer.startswith("Go")
    assert answer.table.commands == ("samaops checklist run go-live",)
    assert page_of(answer).status is Status.OK
    shown = read(answer).sections
    assert shown["open"]["rows"] == []
    assert len(shown["tests-functional"]["rows"]) == 5


def test_it_keeps_to_its_schema() -> None:
    for answer in (meetings.answer(), meetings.answer(("tests",)), meetings.answer(kept=(), seen=())):
        validated(document(answer))


def test_a_list_that_was_never_run_says_so_in_a_line_with_the_next_command() -> None:
    first = meetings.answer(("tests",), kept=())
    figures = document(first)["figures"]
    assert (figures["first_looks"], figures["turned_back"]) == (["tests"], None)
    (note,) = first.table.notes
    assert " tests " in note
    assert note.endswith("samaops checklist run tests")
    assert note in page_of(first).notes
    back = next(section for section in page_of(first).sections if section.id == "turned_back")
    assert (back.status, back.is_seen) == ("unknown", False)
    again = meetings.answer(("tests",), kept=(entry("tests", "push", SEEN, 5, state="to_sign"),))
    assert again.table.notes == ()
    assert document(again)["figures"]["turned_back"] == 0


def test_a_history_that_cannot_be_read_is_no_list_that_was_never_run() -> None:
    looked = replace(meetings.looked(kept=()), first=None, notes=("no answer",))
    answer = listing.reported(SITE, checklists.DECISIVE, looked)
    assert answer.table.notes == ("no answer",)
    assert not answer.table.is_whole
    figures = document(answer)["figures"]
    assert (figures["turned_back"], figures["first_looks"]) == (None, [])
    back = next(section for section in page_of(answer).sections if section.id == "turned_back")
    assert back.table.answer.endswith(("could not be read", "n'a pas pu être lu"))


def hostile() -> Answer:
    """Return an answer in which all that comes from outside wants to be more than words."""
    bad = HOSTILE + "|a\\|b\n| c \r\u2028 `d` <!-- **e**"
    seen = tuple(
        replace(finding, title=bad) if finding.status is not Status.OK else finding
        for finding in meetings.findings()
    )
    return meetings.answer(kept=meetings.book(note=bad, by="a|wa\n"), seen=seen)


def test_a_note_from_outside_is_only_a_note() -> None:
    written = html.render(page_of(hostile()))
    assert "\x1b" not in written
    assert {"script", "img"}.isdisjoint(tag for tag, _attributes in Read(written).opened)
    assert "&lt;script&gt;" in written
    assert "<!--" not in written


def test_nothing_is_loaded_and_nothing_runs() -> None:
    written = html.render(page_of(meetings.answer()))
    assert not re.search(r"https?:|<script|javascript:|@import|url\(", written)
    for tag, attributes in Read(written).opened:
        assert tag not in ("script", "link", "img", "iframe", "object", "embed", "base", "form"), tag
        assert not {name for name in attributes if name == "src" or name.startswith("on")}
        assert (attributes.get("href") or "#").startswith("#")


@pytest.mark.parametrize("make", [meetings.answer, hostile])
def test_markdown_has_whole_tables(make: Any) -> None:
    """Read by a parser of its own: as many rows as there are, each with a cell for every column, the words as they were."""
    answer = make()
    page = page_of(answer)
    tokens = MarkdownIt("commonmark").enable("table").parse(text.markdown(page))
    assert not [token for token in tokens if token.type == "html_block"]
    tables: list[list[list[str]]] = []
    for place, token in enumerate(tokens):
        if token.type == "table_open":
            tables.append([])
        elif token.type == "tr_open":
            tables[-1].append([])
        elif token.type in ("td_open", "th_open"):
            inline = tokens[place + 1]
            children = inline.children or []
            assert {child.type for child in children} <= {"text", "text_special", "code_inline"}
            tables[-1][-1].append("".join(child.content for child in children))
    shown = [section.table for section in page.sections if section.table.rows]
    assert len(tables) == len(shown)
    for rows, table in zip(tables, shown, strict=True):
        assert [len(row) for row in rows] == [len(table.columns)] * (1 + len(table.rows))
        cells = [[table_face.text_of(row, column) for column in table.columns] for row in table.rows]
        assert [[" ".join(cell.split()) for cell in row] for row in rows[1:]] == [
            [" ".join(cell.split()) for cell in row] for row in cells
        ]


def test_a_command_in_the_page_means_the_same_configuration(tmp_path: Path) -> None:
    chosen.remember(tmp_path / "a b.toml", lab=False)
    try:
        answer = meetings.answer()
        page = page_of(answer)
        open_ = Read(html.render(page)).sections["open"]["rows"]
        assert all(f"'{tmp_path}/a b.toml' " in row[-1] for row in open_)
        marked = text.markdown(page)
        assert f"`samaops --config '{tmp_path}/a b.toml' checklist sign tests login`" in marked
    finally:
        chosen.remember(None, lab=False)


def test_a_reason_that_begins_with_our_name_is_no_command() -> None:
    seen = tuple(
        replace(finding, title="samaops has made no backup") if finding.status is Status.CRITICAL else finding
        for finding in meetings.findings()
    )
    answer = meetings.answer(seen=seen)
    assert "<code>samaops has" not in html.render(page_of(answer))
    assert "`samaops has" not in text.markdown(page_of(answer))


def test_a_warning_that_was_accepted_stands_beside_who_accepted_it() -> None:
    note = "until the 3rd of June, " + "x" * 250
    accepted = entry(
        "before",
        "fail2ban",
        SIGNED,
        10,
        by="awa",
        note=note,
        keys=("checklist.fail2ban.missing@checklist/x",),
    )
    answer = meetings.answer(kept=(*meetings.book(), accepted))
    seen = read(answer).sections["before-security"]
    rows = [dict(zip(seen["keys"], cells, strict=True)) for cells in seen["rows"]]
    (row,) = (row for row in rows if row["signed"] != "-")
    assert row["evidence"] == "fail2ban does not run on api"
    assert row["signed"].startswith("awa, 2026-05-31 23:00 UTC")
    assert row["signed"].endswith(note), "whole"


def test_the_largest_page_is_small() -> None:
    longest = ("x" * 300, "y" * 80)
    signed = tuple(
        entry(name, item.id, SIGNED, 10, by=longest[1], note=longest[0])
        for name in checklists.ORDER
        for item in checklists.named(name).items()
    )
    seen = tuple(
        replace(finding, status=Status.CRITICAL, title="z" * 400, hint="samaops explain " + "w" * 300)
        for finding in meetings.findings()
    )
    answer = meetings.answer(checklists.ORDER, kept=signed, seen=seen)
    assert len(html.render(page_of(answer)).encode()) < LARGEST_BYTES


def test_the_command_writes_the_page_to_a_file_that_only_we_read(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir(mode=0o700)
    config, file = tmp_path / "config.toml", tmp_path / "page.html"
    words = ["--config", str(config), "checklist", "report", "tests", "--deadline", "5", "-o", "html", "--to"]
    with faulty.refused_port() as (address, port):
        config.write_text(
            f'site = "dakar"\n[servers.db]\naddress = "{address}"\nping = false\nssh = {{port = {port}}}\n'
            f'[history]\nurl = "sqlite:///{tmp_path}/state/h.sqlite3"\n[safety]\nlock_directory = "{tmp_path}"\n'
        )
        config.chmod(0o600)
        run([*words, str(file)])
        first = file.read_text(encoding="utf-8")
        run([*words, str(file)])
    second = file.read_text(encoding="utf-8")
    assert file.stat().st_mode & 0o777 == 0o600
    assert "checklist run tests</p>" in first, "the first look says so"
    assert "checklist run tests</p>" not in second, "it was kept"
    assert len(Read(second).sections) == 7


def test_what_people_sign_is_there_where_nothing_of_a_list_is_configured(
    tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    (tmp_path / "state").mkdir(mode=0o700)
    config = tmp_path / "config.toml"
    config.write_text(
        f'[servers.db]\naddress = "127.0.0.1"\nping = false\nssh = "none"\n'
        f'[history]\nurl = "sqlite:///{tmp_path}/state/h.sqlite3"\n[safety]\nlock_directory = "{tmp_path}"\n'
    )
    config.chmod(0o600)
    run(["--config", str(config), "checklist", "report", "after", "-o", "json"])
    told = validated(json.loads(capsysbinary.readouterr().out))
    states = {row["state"] for row in told["checklist"]}
    assert states == {"unknown", "to_sign"}
    assert told["figures"]["decision"] == "not_decided"
