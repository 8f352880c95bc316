"""The judgement of backups, on data alone."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from msgspec.structs import replace

from samaops.checks.registry import rules
from samaops.clients.shell import Completed
from samaops.collect import backup
from samaops.config.backup_settings import Backup
from samaops.config.settings import Settings
from samaops.facts.backup import BackupFacts, BackupFile
from samaops.model.failure import Failure, FailureKind
from tests.unit.checks.judging import WAY_BROKEN, failed, findings, seen, statuses
from tests.unit.checks.test_backup_runs import CASES as RUN_CASES

NOW, HOUR = 1_770_000_000.0, 3600.0
SETTINGS = Settings(backup=Backup())


def backups(
    *files: tuple[float, int], unfinished_hours: float | None = None, exists: bool = True
) -> BackupFacts:
    """Files are (age in hours, size), newest first."""
    made = tuple(BackupFile(f"samaconso_{age}.backup", size, NOW - age * HOUR) for age, size in files)
    left = () if unfinished_hours is None else (BackupFile("x.tmp", 5, NOW - unfinished_hours * HOUR),)
    return BackupFacts("/data/backups", "samaconso_*.backup", NOW, exists, made, left)


GOOD = backups((5, 1000), (29, 1010), (53, 990))


def ending(is_whole: bool, hours: float = 5.0) -> BackupFacts:
    facts = backups((hours, 1000), (29, 1010))
    return replace(facts, files=(replace(facts.files[0], is_whole=is_whole), *facts.files[1:]))


CASES = [
    ("backup.directory.unreadable", GOOD, "ok"),
    ("backup.directory.unreadable", backups(exists=False), "critical"),
    ("backup.newest.missing", GOOD, "ok"),
    ("backup.newest.missing", backups(), "critical"),
    ("backup.newest.old", backups((25.9, 1)), "ok"),
    ("backup.newest.old", backups((26, 1)), "warning"),
    ("backup.newest.old", backups((50, 1)), "critical"),
    ("backup.newest.old", backups((-0.5, 1)), "ok"),  # two clocks that differ a little
    ("backup.newest.old", backups((-30, 1)), "unknown"),
    ("backup.size.changed", GOOD, "ok"),
    ("backup.size.changed", backups((5, 1000)), "ok"),
    ("backup.size.changed", backups((5, 499), (29, 1000), (53, 1000)), "warning"),
    ("backup.size.changed", backups((5, 0), (29, 1000)), "critical"),
    ("backup.size.changed", backups((5, 0)), "critical"),
    ("backup.size.changed", backups((0.01, 3), (29, 1000), (53, 1000)), "ok"),  # still written
    ("backup.newest.truncated", ending(True), "ok"),
    ("backup.newest.truncated", ending(False), "critical"),
    ("backup.retention.exceeded", GOOD, "ok"),
    ("backup.retention.exceeded", backups((5, 1), (32 * 24, 1)), "warning"),
    ("backup.unfinished.left", GOOD, "ok"),
    ("backup.unfinished.left", backups((5, 1), unfinished_hours=1), "ok"),
    ("backup.unfinished.left", backups((5, 1), unfinished_hours=7), "warning"),
]


@pytest.mark.parametrize(("code", "facts", "status"), CASES)
def test_a_reading_is_judged(code: str, facts: BackupFacts, status: str) -> None:
    assert statuses(code, seen("backup/db", facts, "db"), settings=SETTINGS) == {"backup/db": status}


def test_what_has_a_backup_s_name_and_is_no_file_is_named_where_none_is_found() -> None:
    facts = replace(backups(), left_out=("samaconso_x.backup (dangling link)",))
    (finding,) = findings("backup.newest.missing", seen("backup/db", facts, "db"), settings=SETTINGS).values()
    assert finding.detail == "no file, so left out: samaconso_x.backup (dangling link)"
    assert finding.hint is not None
    assert "ls -lt /data/backups/ | head" in finding.hint


BEING_WRITTEN = replace(ending(False, hours=0.01), files=ending(False, hours=0.01).files[:1])
UNREAD = replace(GOOD, files=(replace(GOOD.files[0], is_unread=True), *GOOD.files[1:]))


@pytest.mark.parametrize(
    ("facts", "status"),
    [
        (UNREAD, {"backup/db": "unknown"}),
        (GOOD, {}),  # another kind of file
        (BEING_WRITTEN, {}),
        (backups(), {}),
    ],
)
def test_an_end_that_is_not_known_is_not_judged(facts: BackupFacts, status: dict[str, str]) -> None:
    assert statuses("backup.newest.truncated", seen("backup/db", facts, "db"), settings=SETTINGS) == status


ARCHIVE = bytes.fromhex("5047444d50010e00040801") + b"data of a table" + bytes(5)  # pg_dump 15 -F c


@pytest.mark.parametrize(
    ("content", "is_whole"),
    [
        (ARCHIVE, True),
        (ARCHIVE[:20], False),
        (ARCHIVE[:-1], False),
        (ARCHIVE.replace(b"\x08\x01", b"\x08\x03"), None),  # of another format
        (b"-- PostgreSQL database dump", None),
        (b"", None),
    ],
)
def test_the_end_of_an_archive_is_read(content: bytes, is_whole: bool | None, tmp_path: Path) -> None:
    (tmp_path / "samaconso_1 a.backup").write_bytes(content)
    command = ["sh", "-s", "--", "token", str(tmp_path), "samaconso_*.backup"]
    done = subprocess.run(command, input=backup._script(), capture_output=True, check=True, timeout=20)
    completed = Completed(done.returncode, done.stdout.decode(), done.stderr.decode())
    (file,) = backup.read(completed, "token", Backup(directory=str(tmp_path))).files
    assert file.is_whole is is_whole
    assert not file.is_unread


def test_every_rule_of_backup_has_a_case() -> None:
    own = {rule.code for rule in rules(("backup",)) if not rule.code.startswith("backup.objects.")}
    assert own == {case[0] for case in (*CASES, *RUN_CASES)}


@pytest.mark.parametrize(
    "failure", [WAY_BROKEN, Failure(FailureKind.PERMISSION, "Permission denied", "find")]
)
def test_backups_that_cannot_be_looked_at_are_unknown(failure: Failure) -> None:
    observation = failed("backup/db", BackupFacts, failure, "db")
    found = {
        rule.code: statuses(rule.code, observation, settings=SETTINGS)["backup/db"]
        for rule in rules(("backup",))
        if rule.facts is BackupFacts
    }
    assert found.pop("backup.directory.unreadable") == "unknown"
    assert set(found.values()) == {"skipped"}
