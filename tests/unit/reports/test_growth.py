"""Who grew on the servers, by what the daily maintenance has kept."""

from __future__ import annotations

import json
import sqlite3
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from samaops.errors import UnavailableError, UsageError
from samaops.facts.maintenance import MountUse
from samaops.journal.history import Journal
from samaops.journal.records import Records
from samaops.model import encoding
from samaops.workflows.reports import growth
from tests.unit.reports.made import site_of

GB = 1024**3
NOW = datetime.now(timezone.utc)


def keep(
    directory: Path,
    age_days: float,
    sizes: dict[str, int],
    *,
    is_partial: bool = False,
    kind: str = "maintain daily",
) -> None:
    """Keep a look at the disk of one server, so many days old."""
    journal = Journal(f"sqlite:///{directory}/history.sqlite3", "site")
    use = MountUse("/", NOW.timestamp(), 100 * GB, 50 * GB, 50 * GB, 1000, is_partial, tuple(sizes.items()))
    Records(journal, "site", kind).add({"mounts": {"api": encoding.encode((use,))}})
    at = (NOW - timedelta(days=age_days)).isoformat(timespec="milliseconds")
    with sqlite3.connect(directory / "history.sqlite3") as connection:
        connection.execute(
            "UPDATE samaops_records SET at = ? WHERE number = (SELECT max(number) FROM samaops_records)",
            (at,),
        )
    journal.close()


def test_an_owner_is_compared_with_the_first_look_of_the_time(tmp_path: Path) -> None:
    site = site_of(tmp_path)
    keep(tmp_path, 6, {"/var/lib/rabbitmq": 1 * GB, "/var/log": 1 * GB})
    keep(tmp_path, 3, {"/var/lib/rabbitmq": 2 * GB, "/var/log": 1 * GB}, kind="disk usage")
    keep(tmp_path, 1, {"/var/lib/rabbitmq": 4 * GB, "/var/log": GB // 2, "/var/lib/docker/volumes/x": GB})
    found = {each.owner: each for each in growth.grown(site, NOW - timedelta(days=7), NOW)}
    assert {owner: each.grown_bytes for owner, each in found.items()} == {
        "broker": 3 * GB, "logs": -GB // 2, "volume": None,
    }  # fmt: skip
    assert found["broker"].size_bytes == 4 * GB
    shorter = {each.owner: each.grown_bytes for each in growth.grown(site, NOW - timedelta(days=4), NOW)}
    assert shorter["broker"] == 2 * GB
    shown = growth.table(site, "", NOW - timedelta(days=7))
    assert [row["owner"] for row in shown.rows] == ["broker", "logs"]
    assert "+3.0 GB" in shown.answer
    assert any("volume" in note for note in shown.notes)


def test_a_look_that_ended_early_is_not_compared_with(tmp_path: Path) -> None:
    site = site_of(tmp_path)
    keep(tmp_path, 6, {"/var/lib/rabbitmq": 1000}, is_partial=True)
    keep(tmp_path, 5, {"/var/lib/rabbitmq": 1 * GB})
    keep(tmp_path, 1, {"/var/lib/rabbitmq": 3 * GB})
    (found,) = growth.grown(site, NOW - timedelta(days=7), NOW)
    assert found.grown_bytes == 2 * GB


def test_nothing_kept_is_said(tmp_path: Path) -> None:
    site = site_of(tmp_path)
    assert "Nothing was kept" in growth.table(site, "", NOW - timedelta(days=7)).answer
    with pytest.raises(UsageError):
        growth.table(site, "nowhere", NOW - timedelta(days=7))
    keep(tmp_path, 1, {"/var/log": GB})
    with sqlite3.connect(tmp_path / "history.sqlite3") as connection:
        connection.execute("UPDATE samaops_records SET details = ?", (json.dumps({"mounts": {"api": 3}}),))
    with pytest.raises(UnavailableError):
        growth.grown(site, NOW - timedelta(days=7), NOW)


def test_one_look_alone_says_nothing_of_growth(tmp_path: Path) -> None:
    site = site_of(tmp_path)
    keep(tmp_path, 1, {"/var/lib/rabbitmq": 4 * GB, "/var/log": GB})
    alone = growth.table(site, "", NOW - timedelta(days=7))
    assert "nothing to compare with" in alone.answer
    assert not alone.is_whole
    keep(tmp_path, 0.5, {"/var/lib/rabbitmq": 4 * GB, "/var/log": GB})
    same = growth.table(site, "", NOW - timedelta(days=7))
    assert "Nobody has grown" in same.answer
    assert same.is_whole
