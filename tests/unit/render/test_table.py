"""A list on a narrow screen: what is copied stays whole, what is too long for that is folded and never cut."""

from __future__ import annotations

from rich.console import Console

from samaops.model.table import Column, Table
from samaops.render import table as face

ID = "337b1a7a-3026-4fb0-a05a-1265a724cdbc"
COLUMNS = (Column("task", "task"), Column("id", "id", is_copied=True), Column("payload", "begins with"))


def shown(identifier: str) -> str:
    console = Console(width=80)
    row = {"task": "send_single_notification", "id": identifier, "payload": "x" * 200}
    with console.capture() as capture:
        console.print(face.screen(Table("messages", COLUMNS, (row,), "")))
    return capture.get()


def test_an_id_stays_on_one_line_and_nothing_else_is_lost() -> None:
    lines = shown(ID).splitlines()
    assert any(ID in line for line in lines)
    assert max(map(len, lines)) <= 80
    assert sum(line.count("x") for line in lines) == 200


def test_an_id_that_is_far_too_long_is_folded() -> None:
    text = shown("a1" * 50)
    assert text.count("1") == 50
    assert sum(line.count("x") for line in text.splitlines()) == 200
