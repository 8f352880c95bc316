"""Whatever stands in the tables beside the journal: each report, list and page is shown, or refused with the reason.

SQLite keeps any kind of value in any column, and whoever may write a shared history writes what he likes.
``SAMAOPS_FUZZ=5000`` tries as many (docs/robustness.md).
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from datetime import datetime, timedelta, timezone
from pathlib import Path
from random import Random
from typing import Any

import pytest

from samaops.config.settings import Settings
from samaops.errors import SamaopsError
from samaops.facts.availability import Period
from samaops.render import table as table_face
from samaops.render.pages import html, text
from samaops.site.site import Site
from samaops.workflows.checklist import listing, meeting
from samaops.workflows.maintenance import past
from samaops.workflows.maintenance.routines import ROUTINES
from samaops.workflows.notify import silences
from samaops.workflows.reports import availability, capacity, growth, incident, kpi, monthly, remembered
from samaops.workflows.reports import period as periods
from samaops.workflows.schedule import listing as schedule
from tests.unit.mutations import answered_in_time, as_json, places, spoiled

NOW = datetime(2026, 2, 3, 12, 0, tzinfo=timezone.utc)
MONTH = "2026-01"
_BLOCK = 8
BLOCKS = range(max(1, int(os.environ.get("SAMAOPS_FUZZ", "8")) // _BLOCK))
AT = "2026-01-20T06:00:00.000+00:00"
MINUTE = int(datetime.fromisoformat(AT).timestamp() // 60)
_ACCESS = {"at": 1.7e9, "logins": ["awa"], "administrators": ["awa"], "keys": ["SHA256:x awa"]}
_MOUNT = {
    "mount": "/", "at": 1.7e9, "size_bytes": 100, "used_bytes": 80, "available_bytes": 20, "threshold_bytes": 1, "is_partial": False,
    "entries": [["/var", 70]],
}  # fmt: skip
_RECORD = {
    "status": "warning", "tasks": ["disks"], "is_failed": False, "duration_ms": 1200,
    "findings": [{"code": "servers.disk.full", "subject": "servers/db:/", "status": "warning", "value": 81.5, "title": "full"}],
    "causes": [{"id": "disk-full", "subject": "servers/db", "title": "The disk is full", "verdict": "confirmed"}],
    "alerts": [{"alertname": "servers.disk.full", "subject": "servers/db:/"}], "access": {"db": _ACCESS},
    "mounts": {"db": [_MOUNT]},
    "running": {"api": [{"name": "api_1", "image": "app:1", "image_id": "sha256:1", "at": 1.7e9}]},
    "migration": {"samaconso": [{"table": "public.alembic_version", "exists": True, "revisions": ["a1"]}]},
}  # fmt: skip
_BOOK = {
    "state": "done",
    "status": "ok",
    "reason": "seen",
    "by": "awa",
    "note": "tried",
    "signed_at": AT,
    "keys": ["a.b@c"],
}
_SILENCE = {"reason": "known", "by": "awa", "seen": {}}
_FIGURES = ["ms", 60, 1200.0, 40.0, 20.0, {"60": 60}, None]
_SEEN = [
    ["service", "u", 20.0, "ms"],
    ["member/api_1", "d"],
    ["queue/normal", "u", 3.0, "messages", 9.0],
    ["disk/db:/", "u", 80.0, "%"],
]
# Of each table its columns, and a row with its documents as they are before they are written.
TABLES: dict[str, tuple[tuple[str, ...], list[list[Any]]]] = {
    "samaops_records": (
        ("number", "at", "site", "kind", "details"),
        [
            [1, "2025-12-20T06:00:00.000+00:00", "dakar", "maintain monthly", _RECORD],
            [2, AT, "dakar", "maintain monthly", _RECORD],
            [3, AT, "dakar", "maintain daily", _RECORD],
            [4, AT, "dakar", "disk usage", _RECORD],
        ],
    ),
    "samaops_checklist": (
        ("number", "at", "site", "checklist", "item", "kind", "details"),
        [
            [1, AT, "dakar", "tests", "push", "signed", _BOOK],
            [2, AT, "dakar", "after", "monitoring", "seen", _BOOK],
            [3, AT, "dakar", "before", "network", "measured", _BOOK],
        ],
    ),
    "samaops_runs": (
        ("number", "site", "job", "planned_at", "state", "trigger", "started_at", "ended_at", "reason", "exit_code",
         "log", "host", "pid", "process_start", "epoch", "count", "until"),
        [
            [1, "dakar", "daily", AT, "failed", "planned", AT, AT, "ended", 2, "", "control", 7, "", 1, 1, None],
            [2, "dakar", "weekly", AT, "missed", "planned", None, None, "no scheduler", None, "", "", 0, "", 1, 3, AT],
        ],
    ),
    "samaops_schedule": (
        ("site", "name", "holder", "epoch", "until", "details"),
        [
            ["dakar", "leader", "control 7 x", 1, AT, {"user": "awa", "since": AT, "timezone": "UTC"}],
            ["dakar", "pause:backup", "", 0, AT, {"reason": "moving", "by": "awa", "at": AT}],
            ["dakar", "job:backup", "", 0, AT, {"since": AT}],
        ],
    ),
    "samaops_silences": (
        ("site", "number", "code", "subject", "at", "until", "ended_at", "details"),
        [["dakar", 1, "servers.disk.full", "servers/db:/", AT, AT, None, _SILENCE]],
    ),
    "samaops_minutes": (("site", "at", "seen"), [["dakar", MINUTE + number, _SEEN] for number in range(3)]),
    "samaops_samples": (
        ("site", "subject", "at", "minutes", "states", "figures"),
        [["dakar", subject, MINUTE - 60, 60, "u55d5", _FIGURES] for subject in ("service", "member/api_1", "disk/db:/")],
    ),
}  # fmt: skip
_STRANGE: tuple[Any, ...] = (
    None, "", -1, 0, 2**62, 2.5, float("inf"), b"\xff\x00", "x", "{}", "[]", "null", "9" * 400, "[" * 5000, "\x1b[31m\u202e<script>|`",
    "9999-12-31T23:59:59.999-23:59", "0001-01-01T00:00:00+14:00", "2026-01-31", "1e400", "NaN", "A" * 300_000,
)  # fmt: skip


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    instance = {"name": "api_1", "server": "api", "url": "http://127.0.0.1:1"}
    document = {
        "site": "dakar",
        "servers": {"db": {"address": "127.0.0.1", "ssh": "none"}, "api": {"address": "127.0.0.1", "ssh": "none"}},
        "api": {"instances": [instance]},
        "history": {"url": f"sqlite:///{tmp_path / 'history.sqlite3'}"},
    }  # fmt: skip
    return Site(Settings.model_validate(document))


def write(file: Path, spoil: Callable[[str, list[list[Any]]], list[list[Any]]]) -> None:
    """Put a database in the place of the one before, each table without kinds of its columns."""
    file.unlink(missing_ok=True)
    with closing(sqlite3.connect(file)) as database:
        for name, (columns, rows) in TABLES.items():
            database.execute(f"CREATE TABLE {name} ({', '.join(columns)})")
            marks = ", ".join("?" * len(columns))
            lines = [
                [json.dumps(value) if isinstance(value, (dict, list)) else value for value in row]
                for row in spoil(name, rows)
            ]
            database.executemany(f"INSERT INTO {name} VALUES ({marks})", lines)
        database.commit()


def one_spoiled(chance: Random) -> Callable[[str, list[list[Any]]], list[list[Any]]]:
    """Return what spoils one row of one table: a value inside a document, or a whole column."""
    table = chance.choice(list(TABLES))
    number = chance.randrange(len(TABLES[table][1]))

    def spoil(name: str, rows: list[list[Any]]) -> list[list[Any]]:
        if name != table:
            return rows
        row = list(rows[number])
        documents = [column for column, value in enumerate(row) if isinstance(value, (dict, list))]
        if documents and chance.random() < 0.6:
            column = chance.choice(documents)
            row[column] = as_json(spoiled(row[column], list(places(row[column])), chance)).decode()
        else:
            row[chance.randrange(len(row))] = chance.choice(_STRANGE)
        return [*rows[:number], row, *rows[number + 1 :]]

    return spoil


def readers(site: Site) -> Iterator[Callable[[], Any]]:
    """Yield everything that reads these tables and shows them."""
    month = periods.of_month(site, MONTH, NOW)
    near = Period(NOW - timedelta(days=20), NOW, "near", True)

    def of_month() -> None:
        page = monthly.report(site, MONTH, NOW)
        for shown in (html.render(page), html.mail(page), text.markdown(page), text.mail(page)):
            assert_harmless(shown)

    yield of_month
    for table in (availability.table, kpi.table, capacity.table):
        yield lambda table=table: shown_everywhere(table(site, month))  # type: ignore[misc]
    yield lambda: shown_everywhere(incident.timeline(site, near.since, near.until))
    yield lambda: shown_everywhere(schedule.listed(site))
    yield lambda: shown_everywhere(schedule.explained(site, "daily"))
    yield lambda: shown_everywhere(silences.listed(site))
    yield lambda: shown_everywhere(listing.listed(site))
    yield lambda: growth.read(site, near.since, near.until)
    yield lambda: remembered.kept(site, near.since, near.until)
    for routine in ROUTINES:
        yield lambda routine=routine: (past.read(site, routine), past.last_runs(site, routine))  # type: ignore[misc]


def shown_everywhere(table: Any) -> None:
    assert_harmless(html.render_table(table, "dakar", "title"))
    assert json.dumps(table_face.document(table), allow_nan=False)


def assert_harmless(shown: str) -> None:
    """See that no text of a table became a mark, or acts upon a terminal."""
    assert "<script>|" not in shown
    assert "\x1b" not in shown
    assert "\u202e" not in shown


def test_as_they_are_they_are_all_shown(site: Site, tmp_path: Path) -> None:
    write(tmp_path / "history.sqlite3", lambda _name, rows: rows)
    for read in readers(site):
        read()
    page = monthly.report(site, MONTH, NOW)
    assert set(page.figures["missing"]) <= {"backups"}


@pytest.mark.parametrize("block", BLOCKS)
def test_any_value_is_shown_or_refused(block: int, site: Site, tmp_path: Path) -> None:
    for number in range(block * _BLOCK, (block + 1) * _BLOCK):
        write(tmp_path / "history.sqlite3", one_spoiled(Random(number)))
        for read in readers(site):
            with answered_in_time(), suppress(SamaopsError):
                read()


def test_a_value_that_is_larger_than_any_is_not_read(site: Site, tmp_path: Path) -> None:
    write(tmp_path / "history.sqlite3", lambda _name, rows: rows)
    with closing(sqlite3.connect(tmp_path / "history.sqlite3")) as database:
        database.execute("UPDATE samaops_records SET details = CAST(zeroblob(34000000) AS TEXT)")
        database.commit()
    # Python 3.10 cannot tell SQLite a limit: there it is read, and is no record.
    words = "too big" if hasattr(sqlite3.Connection, "setlimit") else ""
    with pytest.raises(SamaopsError, match=words):
        remembered.kept(site, NOW - timedelta(days=20), NOW)


def test_the_page_of_the_meeting_holds_what_was_signed_as_words(site: Site, tmp_path: Path) -> None:
    hostile = {
        **_BOOK,
        "note": "\x1b[31m\u202e<script>|`*_[x](javascript:y)",
        "by": "<script>|\x07",
        "reason": "a|b\n# c",
    }
    rows = {"samaops_checklist": [[1, AT, "dakar", "tests", "push", "signed", hostile]]}
    write(tmp_path / "history.sqlite3", rows.get)
    page = meeting.page(site, listing.report(site, ("tests",), 2.0).table, NOW)

    for shown in (html.render(page), text.markdown(page)):
        assert "javascript:y" in shown
        assert_harmless(shown)
    lines = text.markdown(page).splitlines()
    assert not any(line.startswith("# c") for line in lines)
