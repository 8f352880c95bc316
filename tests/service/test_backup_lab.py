"""Backups as a user makes them, over SSH, on a whole lab: made, listed, proved, killed, kept and removed."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.service.lab_fixture import RunningLab
from tests.service.postgres_server import eventually

pytestmark = [pytest.mark.service, pytest.mark.lab, pytest.mark.timeout(400), pytest.mark.xdist_group("lab")]
KILLS = 4


def listed(lab: RunningLab) -> list[dict[str, Any]]:
    answer = json.loads(lab.samaops("--lab", "backup", "list", "-o", "json", expected=0).stdout)
    rows: list[dict[str, Any]] = answer["backups"]
    return rows


def own(lab: RunningLab) -> list[dict[str, Any]]:
    return [row for row in listed(lab) if row["engine"] == "dump"]


def test_a_backup_is_made_listed_shown_proved_and_kept(whole_lab: RunningLab) -> None:
    whole_lab.samaops("--lab", "backup", "create", expected=77)
    report = json.loads(
        whole_lab.samaops("--lab", "backup", "create", "--yes", "-o", "json", expected=0).stdout
    )
    assert report["actions"][0]["status"] == "verified"
    newest = own(whole_lab)[0]
    assert newest["state"] == "ok"
    assert newest["grades"]["readable"]["is_good"]
    shown = json.loads(
        whole_lab.samaops("--lab", "backup", "show", "latest", "-o", "json", expected=0).stdout
    )
    manifest = shown["figures"]["manifest"]
    assert manifest["rows"]["public.users"] == 20000
    assert manifest["newest"]["public.users"].startswith("20")
    paths = {file["path"] for file in manifest["files"]}
    assert "servers/api/opt/samaconso/docker-compose.production.yml" in paths
    assert not [path for path in paths if ".env" in path or "userlist" in path]
    whole_lab.samaops("--lab", "backup", "verify", "--all", "--yes", expected=0)
    assert all(row["grades"]["readable"]["is_good"] for row in listed(whole_lab) if row["state"] == "ok")
    whole_lab.samaops("--lab", "backup", "pin", newest["id"], "--reason", "a test", "--yes", expected=0)
    assert own(whole_lab)[0]["pinned"] == "a test"
    whole_lab.samaops("--lab", "undo", "last", "--yes", expected=0)
    assert own(whole_lab)[0]["pinned"] == ""
    whole_lab.samaops("--lab", "backup", "prune", "--dry-run", expected=0)
    whole_lab.samaops("--lab", "backup", "list", expected=0)
    report = whole_lab.diagnose("--only", "backup")[0]
    statuses = {finding["code"]: finding["status"] for finding in report["findings"]}
    assert statuses["backup.run.failed"] == "ok"
    assert statuses["backup.grade.old"] == "ok"
    # The lab has one disk, and no recipient.
    assert statuses["backup.place.same_disk"] == "warning"
    assert statuses["backup.key.missing"] == "warning"


def test_a_configuration_file_comes_back_and_undo_puts_the_other_back(whole_lab: RunningLab) -> None:
    path = "/opt/samaconso/docker-compose.production.yml"
    file = whole_lab.site.server("api").outer(Path(path))
    was, mode = file.read_bytes(), file.stat().st_mode
    whole_lab.samaops("--lab", "backup", "create", "--yes", expected=0)
    broken = was.replace(b"8001", b"9001")
    file.write_bytes(broken)
    try:
        plan = whole_lab.samaops("--lab", "restore", "config", path, "--dry-run", expected=0)
        assert "-m uvicorn" in plan.stderr
        whole_lab.samaops("--lab", "restore", "config", path, "--yes", expected=0)
        assert (file.read_bytes(), file.stat().st_mode) == (was, mode)
        whole_lab.samaops("--lab", "undo", "last", "--yes", expected=0)
        assert file.read_bytes() == broken
        whole_lab.samaops("--lab", "restore", "config", path, "--server", "db", "--yes", expected=77)
    finally:
        file.write_bytes(was)
    plan = whole_lab.samaops("--lab", "restore", "config", "--server", "api", "--dry-run", expected=0)
    assert "Nothing to do" in plan.stdout


def test_killed_over_ssh_it_leaves_no_dump_at_work_and_nothing_that_is_taken_for_whole(
    whole_lab: RunningLab,
) -> None:
    whole_lab.samaops("--lab", "backup", "create", "--yes", expected=0)
    before = {row["id"] for row in own(whole_lab) if row["state"] == "ok"}
    chance = random.Random(5)
    for _round in range(KILLS):
        process = subprocess.Popen(
            [*whole_lab.network, sys.executable, "-m", "samaops", "--lab", "backup", "create", "--yes"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
            env={**os.environ, "XDG_STATE_HOME": str(whole_lab.state_home), "PYTHONPATH": str(Path(__file__).parents[2])},
        )  # fmt: skip
        time.sleep(chance.uniform(0.8, 4.5))
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        # Of one that was killed between its row and its directory that can be told after 45 s alone.
        eventually(lambda: not _running(whole_lab), 70.0)
        rows = own(whole_lab)
        assert before <= {row["id"] for row in rows if row["state"] == "ok"}
        assert {row["state"] for row in rows} <= {"ok", "killed", "failed"}
        before = {row["id"] for row in rows if row["state"] == "ok"}
    whole_lab.samaops("--lab", "backup", "create", "--yes")
    rows = own(whole_lab)
    assert {row["state"] for row in rows} <= {"ok", "failed"}
    assert rows[0]["state"] == "ok"
    left = whole_lab.samaops(
        "--lab", "ssh", "db", "--", "find /data/backups/postgresql/samaops -name '*.partial'"
    ).stdout
    assert left.strip() == ""
    whole_lab.samaops("--lab", "backup", "verify", "--all", "--yes", expected=0)


def _running(lab: RunningLab) -> bool:
    return any(row["state"] == "running" for row in own(lab))
