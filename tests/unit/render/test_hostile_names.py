"""Names from outside act on nothing: no control character, no hidden direction, no markup reaches a screen or a file."""

from __future__ import annotations

import io
import json
import re
import unicodedata
from xml.etree import ElementTree

import pytest
from rich.console import Console
from rich.text import Text

from samaops.render import faces, human
from samaops.render.faces import Output
from samaops.render.layout import Screen
from samaops.render.words import UNICODE
from tests.unit.render.reports import HOSTILE, hostile

MACHINES = [one for one in Output if one is not Output.HUMAN]
NAMES = pytest.mark.parametrize("name", HOSTILE)


def on_screen(text: str, *, terminal: bool = False, verbose: bool = True) -> str:
    stream = io.StringIO()
    console = Console(
        file=stream,
        width=80,
        force_terminal=terminal,
        highlight=False,
        markup=False,
        emoji=False,
        color_system=None,
    )
    console.print(human.render(hostile(text), human.View(UNICODE, verbose)))
    return stream.getvalue()


def unsafe(output: str) -> set[str]:
    """Return the characters of an output that act instead of being shown."""
    return {
        hex(ord(one))
        for one in output
        if one != "\n" and unicodedata.category(one) in ("Cc", "Cf", "Cs", "Zl", "Zp")
    }


@NAMES
def test_a_screen_shows_names_and_obeys_none(name: str) -> None:
    output = on_screen(HOSTILE[name])
    assert not unsafe(output)
    if name == "markup":
        assert "[red]markup[/red]" in output


@NAMES
@pytest.mark.parametrize("face", MACHINES)
def test_no_face_lets_a_character_through_that_acts(face: Output, name: str) -> None:
    output = faces.render(hostile(HOSTILE[name]), face)
    assert not unsafe(output)
    output.encode("utf-8")


@NAMES
def test_json_holds_the_names_unchanged(name: str) -> None:
    document = json.loads(faces.render(hostile(HOSTILE[name]), Output.JSON))
    assert document["findings"][0]["subject"] == f"rabbitmq/{HOSTILE[name]}"


@NAMES
def test_junit_is_well_formed(name: str) -> None:
    root = ElementTree.fromstring(faces.render(hostile(HOSTILE[name]), Output.JUNIT))
    assert len(root.findall(".//testcase")) == 2


@NAMES
def test_prometheus_lines_are_well_formed(name: str) -> None:
    label = r'[a-z]+="(?:[^"\\\n]|\\\\|\\"|\\n)*"'
    sample = re.compile(rf"^samaops_[a-z_]+(?:\{{{label}(?:,{label})*\}})? -?[0-9.e+-]+$")
    lines = faces.render(hostile(HOSTILE[name]), Output.PROMETHEUS).splitlines()
    for line in lines:
        assert line.startswith("# ") or sample.match(line), line
    series = [line.rpartition(" ")[0] for line in lines if not line.startswith("#")]
    assert len(series) == len(set(series))


@NAMES
def test_nagios_has_one_bar_and_fits_its_buffer(name: str) -> None:
    output = faces.render(hostile(HOSTILE[name]), Output.NAGIOS)
    assert len(output.encode()) <= 8192
    first, *rest = output.splitlines()
    assert first.count("|") == 1
    assert not [line for line in rest if "|" in line]


@NAMES
def test_markdown_keeps_its_table_and_headings(name: str) -> None:
    lines = faces.render(hostile(HOSTILE[name]), Output.MARKDOWN).splitlines()
    rows = [line for line in lines if line.startswith("| ")]
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {5}
    assert len([line for line in lines if line.startswith("#")]) == 2


@NAMES
def test_what_nobody_has_escaped_acts_on_no_screen_either(name: str) -> None:
    """A plan's notes, a path that was typed: whatever comes to a screen without a form of its own."""
    stream = io.StringIO()
    screen = Screen(file=stream, width=80, markup=False, highlight=False, emoji=False, color_system=None)
    screen.print(f"  a note of {HOSTILE[name]}")
    screen.print(Text(HOSTILE[name]))
    assert not unsafe(stream.getvalue())
    assert stream.getvalue().startswith("  a note of ")
