"""Every statement that an incident of the lab runs is there."""

from __future__ import annotations

import re
from pathlib import Path

from samaops.lab.incidents.tools import sessions

SOURCES = Path(sessions.__file__).parents[1]


def test_every_statement_that_is_named_is_a_file() -> None:
    named: set[str] = set()
    for source in SOURCES.rglob("*.py"):
        text = source.read_text(encoding="utf-8")
        named |= set(re.findall(r"sessions\.(?:sql|run)\((?:site, )?\"(\w+)\"", text))
        named |= {name for pair in re.findall(r"\bsql\(\s*\"(\w+)\",\s*\"(\w+)\"", text) for name in pair}
    assert len(named) > 10
    assert all(sessions.sql(name) for name in named)
