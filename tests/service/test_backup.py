"""Backups of a real PostgreSQL: made, proved, refused when damaged, removed by the policy alone."""

from __future__ import annotations

import base64
import os
import pwd
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from samaops.changes.backup.verify import ALL, READABLE, Verifying
from samaops.changes.run.backup_verify import Proof
from samaops.clients import server_job
from samaops.clients.server_job import ServerJob
from samaops.errors import RefusedError, UnavailableError
from samaops.facts.backup_run import FAILED, RUNNING, WHOLE, Run, Survey
from samaops.model.plan import ActionStatus, Outcome, Risk
from samaops.site.backup_policy import is_proved
from samaops.workflows import backup as workflow
from samaops.workflows import change
from tests.service.backup_damage import damage
from tests.service.backup_site import BackupSite, backed_up, backup_site, os_user
from tests.service.postgres_server import PASSWORD, as_postgres, binaries, eventually

__all__ = ["backed_up", "backup_site"]
pytestmark = pytest.mark.service
# Of the thousand of benchmarks/backup_damages, and of random moments.
DAMAGES = 76
KILLS = 6


def test_a_backup_holds_what_the_database_holds_and_says_so(backup_site: BackupSite) -> None:
    report = backup_site.do("backup create")
    assert report.errors == ()
    assert report.actions[0].status is ActionStatus.VERIFIED
    (row,) = backup_site.store().rows().rows
    assert (row.state, row.engine, row.reason) == (WHOLE, "dump", "")
    manifest = backup_site.store().manifest(row.id)
    assert manifest.rows == {
        "public.customers": 4000, "public.orders": 9000, "public.Odd Name": 2, "public.alembic_version": 1,
    }  # fmt: skip
    assert manifest.newest == {"public.customers": "2026-01-03 18:40:00+00"}
    assert manifest.revision == "a1b2c3"
    assert manifest.properties.connection_limit == 40
    assert manifest.properties.settings == {"": ("work_mem=5MB",)}
    assert manifest.server_version.split()[0] == manifest.client_version
    assert row.bytes is not None
    assert sum(file.bytes for file in manifest.files) < row.bytes
    names = {file.path for file in manifest.files}
    assert {
        "database/toc.dat",
        "globals.sql",
        "postgresql/pg_hba.conf",
        "postgresql/pg_settings.tsv",
    } <= names
    assert not [name for name in names if name.startswith(".")]
    assert (backup_site.directory / "samaops").stat().st_mode & 0o777 == 0o700


def proved(backup_site: BackupSite, row: Run, job: ServerJob) -> Outcome:
    """Prove a backup with a job that is there, as one of many."""
    store = backup_site.store()
    of = Verifying(row.id, row.engine, READABLE, (15,), 2, row.started_at, row.bytes)
    return Proof(of, store, job, 60.0).make()


def test_every_damaged_backup_is_refused_and_says_which_file(backup_site: BackupSite) -> None:
    identifier = backup_site.create()
    store = backup_site.store()
    row = store.row(identifier)
    assert row is not None
    whole, kept = Path(store.path_of(row)), backup_site.directory.parent / "kept"
    shutil.copytree(whole, kept)
    missed = []
    with server_job.begun(store.shell, store.backup.os_user) as job:
        assert proved(backup_site, row, job).is_ok
        for seed in range(DAMAGES):
            how = damage(whole, seed)
            outcome = proved(backup_site, row, job)
            if outcome.is_ok or f"{identifier} is damaged: " not in outcome.output:
                missed.append(f"{seed}: {how}: {outcome.output}")
            shutil.rmtree(whole)
            shutil.copytree(kept, whole)
            subprocess.run(["chown", "-R", f"{os_user()}:", str(whole)], check=True)
        assert proved(backup_site, row, job).is_ok, "it is whole again"
    assert missed == []
    grades = store.rows().rows[0].grades
    assert grades.stored is not None
    assert grades.readable is not None
    assert (grades.stored.is_good, grades.readable.is_good) == (True, True)


def test_a_damage_stands_in_the_row_and_in_the_list(backup_site: BackupSite) -> None:
    identifier = backup_site.create()
    store = backup_site.store()
    (file,) = list((backup_site.directory / "samaops" / identifier / "database").glob("*.dat.gz"))[:1]
    file.write_bytes(file.read_bytes()[:-1])
    report = backup_site.do("backup verify", identifier)
    assert f"database/{file.name} has another size" in report.errors[0].message
    row = store.row(identifier)
    assert row is not None
    assert row.grades.stored is not None
    assert not row.grades.stored.is_good
    assert not is_proved(row)
    table = workflow.listed(backup_site.site())
    assert table.rows[0]["shown_stored"] == "bad"


def test_the_dumps_of_the_guide_are_proved_too(backup_site: BackupSite) -> None:
    names = [f"samaconso_2026010{day}_020000.backup" for day in range(1, 5)]
    paths = [backup_site.directory / name for name in names]
    for path in paths:
        subprocess.run(
            as_postgres(
                binaries() / "pg_dump", "-h", backup_site.server.directory, "-p", str(backup_site.server.port),
                "-F", "c", "-f", path, "samaconso",
            ),
            check=True, env={"PATH": "/usr/bin", "PGUSER": "postgres"},
        )  # fmt: skip
    content = paths[1].read_bytes()
    paths[1].write_bytes(content[: len(content) * 2 // 3])
    paths[2].write_bytes(b"")
    report = backup_site.do("backup verify", ALL)
    message = report.errors[0].message
    assert f"{names[1]} is damaged" in message
    assert f"{names[2]} is damaged: it has 0 bytes" in message
    assert names[0] not in message
    assert names[3] not in message
    runs = {run.id: run for run in backup_site.store().survey(backup_site.server.port).runs}
    assert [is_proved(runs[name]) for name in names] == [True, False, False, True]
    # Once it was read, every changed bit is seen; and another file under its name is not taken for it.
    flipped, times = bytearray(paths[0].read_bytes()), paths[0].stat()
    flipped[200] ^= 1
    paths[0].write_bytes(flipped)
    os.utime(paths[0], ns=(times.st_atime_ns, times.st_mtime_ns))
    report = backup_site.do("backup verify", names[0])
    assert "it has another sum than when it was first read" in report.errors[0].message
    os.utime(paths[3])
    runs = {run.id: run for run in backup_site.store().survey(backup_site.server.port).runs}
    assert not is_proved(runs[names[3]])


def test_the_hooks_run_in_their_order_and_one_before_that_fails_is_a_failed_run(
    backup_site: BackupSite,
) -> None:
    said = backup_site.directory / "said"
    hooks = {
        name: f'echo "{name} $SAMAOPS_BACKUP_STATE" >>{said}'
        for name in ("before", "after_success", "after_failure", "finally")
    }
    backup_site.create(hooks=hooks)
    assert said.read_text().splitlines() == ["before started", "after_success ok", "finally ok"]
    said.unlink()
    hooks["before"] += "; echo out of tape >&2; exit 3"
    report = backup_site.do("backup create", hooks=hooks)
    assert "the hook before: exit code 3: out of tape" in report.errors[0].message
    assert said.read_text().splitlines() == ["before started", "after_failure failed", "finally failed"]
    # By their states: runs that begin in one second have no order.
    runs = {run.state: run for run in backup_site.store().rows().rows}
    assert runs.keys() == {FAILED, WHOLE}
    assert "out of tape" in runs[FAILED].reason
    assert backup_site.store().left() == ()
    # What fails afterwards is told, and the backup stays what it is.
    report = backup_site.do("backup create", hooks={"after_success": "exit 4"})
    assert not report.errors
    assert any("the hook after_success: exit code 4" in finding.title for finding in report.findings)
    states = sorted(run.state for run in backup_site.store().rows().rows)
    assert states == sorted((FAILED, WHOLE, WHOLE))


def test_a_table_that_others_have_locked_ends_the_run_with_the_reason(backup_site: BackupSite) -> None:
    with backup_site.server.connect(autocommit=False) as holder:
        holder.execute("LOCK TABLE orders IN ACCESS EXCLUSIVE MODE")
        report = backup_site.do("backup create", lock_wait=1.0)
    assert "others have locked a table for more than 1 s: LOCK TABLE " in report.errors[0].message
    (row,) = backup_site.store().rows().rows
    assert row.state == FAILED
    assert "public.orders" in row.reason
    assert list((backup_site.directory / "samaops").iterdir()) == [
        backup_site.directory / "samaops" / "catalogue"
    ]


@pytest.fixture
def small_disk(backup_site: BackupSite) -> Iterator[BackupSite]:
    """A site whose backups lie on a disk of 4 MB."""
    mounted = subprocess.run(
        [
            "mount",
            "-t",
            "tmpfs",
            "-o",
            f"size=4m,mode=700,uid={shutil_owner()}",
            "none",
            str(backup_site.directory),
        ],
        check=False,
    )
    if mounted.returncode:
        pytest.skip("may not mount a tmpfs")
    yield backup_site
    subprocess.run(["umount", "-l", str(backup_site.directory)], check=True)


def shutil_owner() -> int:
    return pwd.getpwnam(os_user()).pw_uid


def test_a_disk_that_fills_up_leaves_the_old_backup_and_no_new_one(small_disk: BackupSite) -> None:
    first = small_disk.create()
    fill = f"head -c 20000000 /dev/zero >{small_disk.directory}/filler || true"
    report = small_disk.do("backup create", hooks={"before": fill})
    assert "No space left on device" in report.errors[0].message
    (small_disk.directory / "filler").unlink()
    rows = {row.id: row for row in small_disk.store().rows().rows}
    assert rows.pop(first).state == WHOLE
    assert [row.state for row in rows.values()] in (
        [FAILED],
        ["started"],
    )  # a row may have had no room either
    assert not small_disk.do("backup verify", first).errors
    assert not small_disk.do("backup create").errors
    assert small_disk.store().left() == ()


def test_what_has_too_little_room_is_not_begun(small_disk: BackupSite) -> None:
    small_disk.create()
    (small_disk.directory / "filler").write_bytes(bytes(3_700_000))
    with pytest.raises(RefusedError, match="a backup may need"):
        small_disk.plan("backup create")
    assert len(small_disk.store().rows().rows) == 1


def test_without_the_right_to_write_there_nothing_is_begun(backup_site: BackupSite) -> None:
    if os.geteuid() != 0:
        pytest.skip("is the owner himself")
    shutil.chown(backup_site.directory, "root", "root")
    with pytest.raises(UnavailableError, match="Permission denied"):
        backup_site.do("backup create")
    backup_site.directory.chmod(0o755)
    report = backup_site.do("backup create")
    assert "Permission denied" in report.errors[0].message


def test_rows_of_another_site_are_told_apart_and_never_touched(backup_site: BackupSite) -> None:
    identifier = backup_site.create()
    row = backup_site.store().row(identifier)
    assert row is not None
    other = replace(row, id="20200101T000000Z-0001", site="elsewhere")
    backup_site.store().write_row(other)
    (backup_site.directory / "samaops" / "catalogue" / "20200101T000000Z-0002.json").write_text("{")
    catalogue = backup_site.store().rows()
    assert [row.id for row in catalogue.rows] == [identifier]
    assert catalogue.foreign == (other.id,)
    assert [name for name, _reason in catalogue.unreadable] == ["20200101T000000Z-0002.json"]
    table = workflow.listed(backup_site.site())
    assert not table.is_whole
    assert any("20200101T000000Z-0002.json" in note for note in table.notes)


def aged(backup_site: BackupSite, identifier: str, day: str) -> None:
    """Have the row of a backup say that it was made on another day."""

    def change(row: Run | None) -> Run:
        assert row is not None
        return replace(row, started_at=f"{day}T02:00:00+00:00")

    backup_site.store().update(identifier, change)


def test_pins_are_kept_and_what_has_expired_is_removed_by_the_policy_alone(backup_site: BackupSite) -> None:
    store = backup_site.store()
    made = [backup_site.create() for _number in range(4)]
    for number, identifier in enumerate(made[:3]):
        aged(backup_site, identifier, f"2020-01-0{number + 1}")
    rules = {"minimum": 1, "weekly": 0, "monthly": 0}
    backup_site.do("backup pin", made[1], "before the audit", **rules)
    plan = backup_site.plan("backup prune", **rules)
    assert [step.operation.arguments["id"] for step in plan.steps] == [made[0], made[2]]
    assert plan.risk is Risk.DESTRUCTIVE
    assert plan.target == "of-tests"
    report = backup_site.do("backup prune", **rules)
    assert not report.errors
    assert {row.id for row in store.rows().rows} == {made[1], made[3]}
    assert store.whole() == {made[1], made[3]}
    assert not backup_site.do("backup verify", made[1]).errors
    assert "none has expired" in backup_site.plan("backup prune", **rules).nothing_to_do
    backup_site.do("backup unpin", made[1])
    assert [step.about for step in backup_site.plan("backup prune", **rules).steps] == [f"backup/{made[1]}"]


def test_nothing_expires_after_a_failed_run(backup_site: BackupSite) -> None:
    old = backup_site.create()
    backup_site.create()
    aged(backup_site, old, "2020-01-01")
    rules = {"minimum": 1, "weekly": 0, "monthly": 0}
    assert backup_site.plan("backup prune", **rules).steps
    backup_site.do("backup create", hooks={"before": "false"})
    plan = backup_site.plan("backup prune", **rules)
    assert not plan.steps
    assert "the newest run failed" in plan.nothing_to_do


def test_a_catalogue_that_is_lost_comes_back_from_the_backups(backup_site: BackupSite) -> None:
    identifier = backup_site.create()
    shutil.rmtree(backup_site.directory / "samaops" / "catalogue")
    assert [run.state for run in backup_site.store().survey(1).runs] == ["unlisted"]
    assert not backup_site.do("backup verify", identifier).errors
    (row,) = backup_site.store().rows().rows
    assert (row.id, row.state) == (identifier, WHOLE)
    assert is_proved(row)


def started(backup_site: BackupSite) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "samaops", "--lang", "en", "--config", str(backup_site.samaops()), "backup", "create", "--yes"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip


def dumps_at_work(backup_site: BackupSite) -> int:
    (row,) = backup_site.server.run(
        "SELECT count(*) FROM pg_stat_activity WHERE application_name IN ('samaops backup', 'pg_dump')"
    )
    return int(row[0])


# Each that is killed between its row and its directory is known to be dead after 45 s.
@pytest.mark.timeout(400)
def test_killed_at_any_moment_no_entry_becomes_ok_and_the_next_run_cleans_up(backup_site: BackupSite) -> None:
    first = backup_site.create()
    chance = random.Random(11)
    for _round in range(KILLS):
        # Of one that was killed between its name and its row nobody vouches: the next run removes it.
        before = {row.id for row in backup_site.store().rows().rows if row.state == WHOLE}
        process = started(backup_site)
        time.sleep(chance.uniform(0.3, 4.0))
        process.kill()
        process.communicate()
        eventually(lambda: dumps_at_work(backup_site) == 0, 20.0)
        survey = eventually(lambda: _calm(backup_site), 60.0)
        rows = {row.id: row for row in survey.catalogue.rows}
        assert rows[first].state == WHOLE
        assert before <= set(survey.whole), "none was removed"
        for row in rows.values():
            assert row.state != WHOLE or row.id in survey.whole
    last = backup_site.create()
    survey = backup_site.store().survey(backup_site.server.port)
    assert survey.left == ()
    assert {row.state for row in survey.catalogue.rows} <= {WHOLE, FAILED}
    assert survey.runs[0].id == last
    whole = [row.id for row in survey.catalogue.rows if row.state == WHOLE]
    assert set(whole) == set(survey.whole)
    assert not backup_site.do("backup verify", ALL).errors


def _calm(backup_site: BackupSite) -> Survey | None:
    survey = backup_site.store().survey(backup_site.server.port)
    # Of a run that was killed between its row and its directory it can only be told after a while that it is dead.
    return None if any(run.state == RUNNING for run in survey.runs) else survey


def test_an_interruption_ends_the_dump_and_says_so(backup_site: BackupSite) -> None:
    with backup_site.server.connect(autocommit=False) as holder:
        holder.execute("LOCK TABLE orders IN ACCESS EXCLUSIVE MODE")
        process = started(backup_site)
        eventually(lambda: dumps_at_work(backup_site) > 0, 30.0)
        process.send_signal(signal.SIGINT)
        _stdout, stderr = process.communicate(timeout=60)
        assert process.returncode == 130, stderr
        assert dumps_at_work(backup_site) == 0
    (row,) = backup_site.store().rows().rows
    assert (row.state, row.reason) == (FAILED, "interrupted")
    assert backup_site.store().left() == ()


def test_a_run_that_goes_on_is_not_taken_for_dead(backup_site: BackupSite) -> None:
    with backup_site.server.connect(autocommit=False) as holder:
        holder.execute("LOCK TABLE orders IN ACCESS EXCLUSIVE MODE")
        process = started(backup_site)
        eventually(lambda: dumps_at_work(backup_site) > 0, 30.0)
        (run,) = backup_site.store().survey(backup_site.server.port).runs
        assert run.state == RUNNING
        assert not backup_site.store().discard(f"{run.id}.partial")
        with pytest.raises(RefusedError, match="Another run goes on"):
            backup_site.plan("backup create")
        holder.rollback()
        process.communicate(timeout=60)
    assert backup_site.store().rows().rows[0].state == WHOLE


def test_what_is_secret_is_in_it_only_encrypted(backup_site: BackupSite, tmp_path: Path) -> None:
    if shutil.which("age-keygen") is None:
        pytest.skip("needs the Debian package age")
    key = subprocess.run(["age-keygen"], capture_output=True, text=True, check=True).stdout
    recipient = next(line.rpartition(" ")[2] for line in key.splitlines() if "public key" in line)
    (tmp_path / "key").write_text(key)
    configuration = backup_site.samaops()
    assert PASSWORD in configuration.read_text()
    site = replace(backup_site.site(recipient=recipient), configuration=configuration)
    report = change.apply(site, change.prepare(site, "backup create", ()), 10.0)
    assert not report.errors
    (row,) = backup_site.store().rows().rows
    path = Path(backup_site.store().path_of(row))
    encrypted = path / "samaops" / "config.toml.age"
    opened = subprocess.run(
        ["age", "-d", "-i", str(tmp_path / "key"), str(encrypted)], capture_output=True, check=True
    )
    assert opened.stdout == configuration.read_bytes()
    assert not [file for file in path.rglob("*") if file.is_file() and PASSWORD.encode() in file.read_bytes()]
    assert backup_site.store().manifest(row.id).encrypted_to == recipient
    assert not backup_site.do("backup verify", row.id).errors
    # Without a recipient it is left out, and said to be.
    site = replace(backup_site.site(), configuration=configuration)
    assert not change.apply(site, change.prepare(site, "backup create", ()), 10.0).errors
    newest = backup_site.store().rows().rows[0]
    parts = {part.name: part for part in backup_site.store().manifest(newest.id).parts}
    assert parts["configuration"].paths == ()
    assert "no [backup] recipient" in parts["configuration"].left_out


def test_work_on_a_server_ends_when_nobody_speaks_any_more(backup_site: BackupSite) -> None:
    shell, user = backup_site.store().shell, os_user()
    with server_job.begun(shell, user, silence_seconds=1.0) as job:
        job._is_over.set()  # the heart stops, as when a machine loses its power
        job._ask("do " + base64.b64encode(b"exec sleep 4711").decode() + " -", "started")
        eventually(lambda: not _sleeps("4711"), 30.0)


def _sleeps(seconds: str) -> bool:
    return (
        subprocess.run(["pgrep", "-f", f"sleep {seconds}"], stdout=subprocess.DEVNULL, check=False).returncode
        == 0
    )
