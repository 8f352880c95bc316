"""A real PostgreSQL that archives, a real pgBackRest: increments, proofs, a row that was deleted at a known moment."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from samaops.changes.restoring import recovery
from samaops.changes.run import operations
from samaops.errors import RefusedError
from samaops.facts.backup_run import Run
from samaops.model.plan import ActionStatus
from samaops.model.report import Report
from samaops.workflows import backup as workflow
from samaops.workflows import change, restoring
from tests.service.backup_site import BackupSite, filled_postgres, made_site, os_user
from tests.service.postgres_server import PostgresServer, as_postgres

pytestmark = [pytest.mark.service, pytest.mark.timeout(180)]
IN_MEMORY = "/dev/shm"
CONFIGURATION = """
[global]
repo1-path={place}/repository
log-path={place}
log-level-file=off
lock-path={place}/lock
spool-path={place}/spool
archive-timeout=5
compress-level=1
repo1-bundle=y
start-fast=y

[{stanza}]
pg1-path={data}
pg1-port={port}
pg1-socket-path={socket}
"""


class PhysicalSite:
    """A site whose engine is pgBackRest, with a repository and a stanza of its own."""

    def __init__(self, site: BackupSite, place: Path) -> None:
        self._site, self.place, self.server = site, place, site.server
        self.keys: dict[str, Any] = {
            "engine": "pgbackrest",
            "stanza": "of_tests",
            "pgbackrest": {"config_file": str(place / "pgbackrest.conf")},
        }

    def begin(self) -> None:
        """Write the configuration, make the stanza, let PostgreSQL archive."""
        for name in ("repository", "lock", "spool"):
            (self.place / name).mkdir()
        (self.place / "pgbackrest.conf").write_text(
            CONFIGURATION.format(
                place=self.place, stanza="of_tests", data=self.server.directory / "data",
                port=self.server.port, socket=self.server.directory,
            )
        )  # fmt: skip
        if os.geteuid() == 0:
            subprocess.run(["chown", "-R", f"{os_user()}:", str(self.place)], check=True)
        self.pgbackrest("stanza-create")
        self.archive(f"pgbackrest --config={self.place}/pgbackrest.conf --stanza=of_tests archive-push %p")

    def archive(self, command: str) -> None:
        """Have PostgreSQL archive so from now on."""
        self.server.run(f"ALTER SYSTEM SET archive_command = '{command}'")
        self.server.run("SELECT pg_reload_conf()")

    def pgbackrest(self, *words: str) -> str:
        """Run pgBackRest itself."""
        command = as_postgres(
            "pgbackrest", f"--config={self.place}/pgbackrest.conf", "--stanza=of_tests",
            "--log-level-console=off", "--log-level-stderr=error", *words,
        )  # fmt: skip
        return subprocess.run(command, check=True, capture_output=True, text=True, cwd="/").stdout

    def site(self, **backup: Any) -> Any:
        return self._site.site(**{**self.keys, **backup})

    def do(self, verb: str, *arguments: str, **backup: Any) -> Report:
        return self._site.do(verb, *arguments, **{**self.keys, **backup})

    def runs(self) -> tuple[Run, ...]:
        return self._site.store(**self.keys).survey(self.server.port).runs

    def create(self) -> Run:
        """Make a backup that must be whole, and return its run."""
        known = {run.id for run in self.runs()}
        report = self.do("backup create")
        assert not report.errors, report.errors
        (made,) = [run for run in self.runs() if run.id not in known]
        return made

    def left(self) -> list[str]:
        """Return what lies in the directory of the backups besides whole ones and the catalogue."""
        return sorted(path.name for path in (self._site.directory / "samaops").iterdir() if "." in path.name)

    def restored(self, name: str, *arguments: str, wanted: str = "") -> Report:
        site = self.site()
        return change.apply(site, restoring.plan(site, name, arguments, wanted), 10.0)


@pytest.fixture(scope="module")
def archiving() -> Iterator[PostgresServer]:
    """A PostgreSQL that would archive, and does not know yet how."""
    if shutil.which("pgbackrest") is None:
        pytest.skip("needs the Debian package pgbackrest")
    before = tempfile.tempdir
    if os.access(IN_MEMORY, os.W_OK):  # a thousand small files go to the disk one by one, in every backup
        tempfile.tempdir = IN_MEMORY
    try:
        with filled_postgres("archive_mode = on\narchive_command = ''") as server:
            yield server
    finally:
        tempfile.tempdir = before


@pytest.fixture
def physical(archiving: PostgresServer, tmp_path: Path) -> Iterator[PhysicalSite]:
    """A site with a repository of this test."""
    place = Path(tempfile.mkdtemp(prefix="samaops-pgbackrest-"))
    place.chmod(0o755)
    with made_site(archiving, tmp_path) as site:
        made = PhysicalSite(site, place)
        made.begin()
        try:
            yield made
        finally:
            made.archive("")
            shutil.rmtree(place, ignore_errors=True)


def verified(report: Report) -> Report:
    assert not report.errors, report.errors
    assert {each.status for each in report.actions} == {ActionStatus.VERIFIED}
    return report


def damage(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


def test_an_increment_after_a_full_one_what_is_damaged_is_named_and_what_has_expired_goes(
    physical: PhysicalSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = physical.create()
    physical.server.run("INSERT INTO customers SELECT 5000, 'new', now()")
    incremental = physical.create()
    assert [full.kind, incremental.kind] == ["full", "incr"]
    assert incremental.needs == (full.id,)
    assert incremental.bytes is not None
    assert full.bytes is not None
    assert incremental.bytes < full.bytes / 2
    table = workflow.listed(physical.site())
    assert [row["shown_state"] for row in table.rows] == ["incr", "full"]
    assert any("Each moment since" in note for note in table.notes)
    shown = workflow.shown(physical.site(), incremental.id).figures["manifest"]
    assert {"globals.sql", "postgresql/pg_hba.conf"} <= {file["path"] for file in shown["files"]}

    verified(physical.do("backup verify", "--all"))
    assert all(run.grades.readable and run.grades.readable.is_good for run in physical.runs())

    repository = physical.place / "repository"
    files = (repository / "backup" / "of_tests" / incremental.label).rglob("*")
    largest = max(
        (path for path in files if path.is_file() and "manifest" not in path.name),
        key=lambda path: path.stat().st_size,
    )
    whole = largest.read_bytes()
    damage(largest)
    report = physical.do("backup verify", "--all")
    assert f"{incremental.id} is damaged: " in report.errors[0].message
    assert full.id not in report.errors[0].message
    largest.write_bytes(whole)

    # pgbackrest 2.45 verify says "ok" to this.
    manifest = next(backup for backup in _stanza(physical).backups if backup.label == full.label)
    (segment,) = (repository / "archive" / "of_tests").glob(f"*/*/{manifest.wal_stop}-*.gz")
    segment.rename(physical.place / "away")
    report = physical.do("backup verify", "--all")
    assert f"{full.id} is damaged: the log that it needs is not in the archive" in report.errors[0].message
    assert f"{incremental.id} is damaged: it needs {full.label}" in report.errors[0].message
    runs = {run.id: run for run in physical.runs()}
    assert not any(run.grades.stored and run.grades.stored.is_good for run in runs.values())

    newest = physical.create()
    assert newest.kind == "full", "the newest full one was found damaged"
    keys = {"minimum": 1, "weekly": 0, "monthly": 0}
    for module in ("samaops.site.backup_policy", "samaops.changes.backup.prune"):
        monkeypatch.setattr(f"{module}.DAY_SECONDS", 0.001)
    assert not physical._site.plan("backup prune", **{**physical.keys, **keys}).steps, (
        "nobody proved the newest"
    )
    (physical.place / "away").rename(segment)
    verified(physical.do("backup verify", "--all"))
    plan = physical._site.plan("backup prune", **{**physical.keys, **keys})
    assert [step.about for step in plan.steps] == [f"backup/{incremental.id}", f"backup/{full.id}"]
    report = physical.do("backup prune", **keys)
    assert not report.errors, report.errors
    assert [run.id for run in physical.runs()] == [newest.id]
    assert [backup.label for backup in _stanza(physical).backups] == [newest.label]


def _stanza(physical: PhysicalSite) -> Any:
    return physical._site.store(**physical.keys).survey(physical.server.port).stanza


def test_a_row_that_was_deleted_at_a_known_moment_is_back_and_so_is_the_way_back(
    physical: PhysicalSite,
) -> None:
    physical.create()
    server = physical.server
    server.run("CREATE TABLE kept AS SELECT 1 AS id, 'precious' AS name")
    physical.create()
    server.run("INSERT INTO kept VALUES (2, 'late')")
    ((moment,),) = server.run("SELECT clock_timestamp()")
    server.run("DELETE FROM kept")
    ((oid,),) = server.run("SELECT oid FROM pg_database WHERE datname = 'samaconso'")
    verified(physical.restored("restore db", recovery.TO, moment.isoformat(sep=" ")))
    assert server.run("SELECT id, name FROM kept ORDER BY id") == [(1, "precious"), (2, "late")]
    assert server.run("SELECT oid FROM pg_database WHERE datname = 'samaconso'") != [(oid,)]
    assert physical.left() == [], "nothing is left of the recovered cluster"
    (made,) = [run for run in physical.runs() if run.recovered_to]
    assert (made.engine, made.state) == ("dump", "ok")
    assert abs((moment - _moment(made.recovered_to)).total_seconds()) < 0.001
    # It is the beginning of a restore, and not the backup of this night.
    verified(physical.restored("restore undo"))
    assert server.run("SELECT count(*) FROM kept") == [(0,)]
    with pytest.raises(RefusedError, match="is restored as of a moment") as refused:
        physical.restored("restore table", "kept", "kept_then", "latest", wanted="latest")
    assert refused.value.hint.startswith("samaops restore table kept --as kept_then --to '20")
    then = moment.isoformat(sep=" ")
    verified(physical.restored("restore table", "kept", "kept_then", "", "id = 1", then))
    assert server.run("SELECT id, name FROM kept_then") == [(1, "precious")]
    assert physical.left() == []
    server.run("DROP TABLE kept_then")
    # After this moment nobody commits anything: a recovery to it would not end, if nobody did.
    ((quiet,),) = server.run("SELECT clock_timestamp()")
    plan = restoring.plan(physical.site(), "restore db", (recovery.TO, quiet.isoformat(sep=" ")))
    outcome = operations.run(plan.steps[0].operation, physical.site())
    assert outcome.is_ok, outcome.output
    # The cluster archives as before: nothing of the recovered one went into the archive.
    assert physical.pgbackrest("check") == ""
    server.run("DROP TABLE kept")


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def test_a_trial_recovers_it_reads_it_and_leaves_nothing(physical: PhysicalSite) -> None:
    made = physical.create()
    report = verified(physical.restored("backup drill", "latest", wanted="latest"))
    assert "every table" in report.actions[0].result
    (run,) = physical.runs()
    assert run.id == made.id
    assert run.grades.restored is not None
    assert run.grades.restored.is_good
    assert physical.left() == []
    for wanted in (made.id, "latest"):
        with pytest.raises(RefusedError, match="is restored as of a moment"):
            restoring.plan(physical.site(), "restore db", (wanted,), wanted)
    query = {"drill": {"queries": ["SELECT count(*) < 0 FROM customers"]}}
    site = physical.site(**query)
    failed = change.apply(site, restoring.plan(site, "backup drill", ("latest",), "latest"), 10.0)
    assert "query 1 gives f" in failed.errors[0].message
    assert physical.left() == []


def test_without_an_archive_nothing_is_made_and_it_is_said_why(physical: PhysicalSite) -> None:
    physical.archive("/bin/false")
    report = physical.do("backup create")
    assert "archive" in report.errors[0].message, report.errors
    (run,) = physical.runs()
    assert run.state == "failed"
    assert physical.left() == []
    physical.archive(
        f"pgbackrest --config={physical.place}/pgbackrest.conf --stanza=of_tests archive-push %p"
    )
