"""Weekly and monthly maintenance of a whole site: silent when all is well, and what they change is really changed."""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any

import pytest

from tests.service.lab_fixture import RunningLab

pytestmark = [pytest.mark.service, pytest.mark.timeout(170)]
LOGS = "/opt/samaconso/logs"
# What was compressed, and what still stands in the log.
ALL = "cat busy.log-*.gz | gzip -dc; cat busy.log"
WRITER = """
import sys
log = open(sys.argv[1], "a", buffering=1)
for number in range(60_000):
    log.write(f"line {number:09d} {'x' * 500}\\n")
"""


def on(lab: RunningLab, server: str, command: str) -> str:
    return lab.samaops("--lab", "ssh", server, "--", command, expected=0).stdout


def report_of(lab: RunningLab, *words: str, expected: int = 0) -> dict[str, Any]:
    report: dict[str, Any] = json.loads(
        lab.samaops("--lab", "maintain", *words, "-o", "json", expected=expected).stdout
    )
    return report


def psql(lab: RunningLab, statement: str, user: str = "samaconso_user") -> str:
    secrets = lab.layout.secrets()
    password = secrets.postgres_password if user == "postgres" else secrets.samaconso_password
    command = ["psql", "-h", "127.101.0.1", "-U", user, "-d", "samaconso", "-qAtc", statement]
    environment = {**os.environ, "PGPASSWORD": password}
    done = subprocess.run(
        [*lab.network, *command], env=environment, capture_output=True, text=True, timeout=30, check=True
    )
    return done.stdout.strip()


def test_a_week_in_which_all_is_well_is_silent_and_listed(whole_lab: RunningLab) -> None:
    # What other tests did to the tables of this lab is no part of the week: a table made large and then read whole.
    psql(whole_lab, "SELECT pg_stat_reset()", "postgres")
    psql(whole_lab, "VACUUM ANALYZE", "postgres")
    first = whole_lab.samaops(*whole_lab.calm, "maintain", "weekly", "--yes")
    assert (first.returncode, first.stdout) == (0, ""), first.stdout
    listed = json.loads(whole_lab.samaops("--lab", "maintain", "list", "-o", "json", expected=0).stdout)
    weekly = [task for task in listed["tasks"] if task["run"] == "weekly"]
    assert {task["last_result"] for task in weekly} == {"ok"}
    assert all(task["next_run_at"] is None for task in weekly)


def test_a_table_in_need_is_vacuumed_and_its_finding_is_gone(whole_lab: RunningLab) -> None:
    psql(whole_lab, "CREATE TABLE upkeep_due (id int PRIMARY KEY)")
    try:
        psql(
            whole_lab,
            "INSERT INTO upkeep_due SELECT generate_series(1, 20000); DELETE FROM upkeep_due WHERE id % 2 = 0",
        )
        report = report_of(whole_lab, "run", "vacuum", "--yes")
        assert [action["status"] for action in report["actions"]] == ["verified"]
        assert "upkeep_due" in report["actions"][0]["title"]
        vacuums = "SELECT vacuum_count FROM pg_stat_user_tables WHERE relname = 'upkeep_due'"
        assert psql(whole_lab, vacuums) == "1"
    finally:
        psql(whole_lab, "DROP TABLE upkeep_due")


def test_logs_are_rotated_while_they_are_written_and_no_line_is_lost(whole_lab: RunningLab) -> None:
    site = whole_lab.layout.directory / "rotation.toml"
    text = whole_lab.layout.config_file.read_text(encoding="utf-8")
    site.touch(mode=0o600)
    is_there = "\n[maintenance]\n" in text
    limits = "log_rotate_mb = 5\n"
    site.write_text(
        text.replace("\n[maintenance]\n", f"\n[maintenance]\n{limits}")
        if is_there
        else f"{text}\n[maintenance]\n{limits}",
        encoding="utf-8",
    )
    on(
        whole_lab,
        "api",
        f"rm -f {LOGS}/busy* {LOGS}/old*; head -c 9000 /dev/zero > {LOGS}/old.log.1; touch -d '9 days ago' {LOGS}/old.log.1",
    )
    program = whole_lab.layout.directory / "writer.py"
    program.write_text(WRITER, encoding="utf-8")
    on(
        whole_lab,
        "api",
        f"nohup python3 {program} {LOGS}/busy.log >/dev/null 2>&1 & while [ $(stat -c %s {LOGS}/busy.log 2>/dev/null || echo 0) -lt 6000000 ]; do :; done",
    )
    try:
        done = whole_lab.samaops("--config", str(site), "maintain", "run", "rotation", "--yes", "-o", "json")
        report = json.loads(done.stdout)
        on(
            whole_lab,
            "api",
            f"cd {LOGS}; until {{ {ALL}; }} 2>/dev/null | tail -n 1 | grep -q 'line 000059999'; do :; done",
        )
        counted = "awk '{ if ($2 + 0 != NR - 1) bad++ } END { print NR, bad + 0 }'"
        lines = on(whole_lab, "api", f"cd {LOGS}; {{ {ALL}; }} 2>/dev/null | {counted}")
        assert lines.split() == ["60000", "0"]
        assert "old.log.1.gz" in on(whole_lab, "api", f"ls {LOGS}")
        (finding,) = [
            each
            for each in report["findings"]
            if each["code"] == "maintenance.rotation.due" and each["server"] == "api"
        ]
        collapsed = [each for each in report["actions"] if "busy.log" in each["title"]]
        assert collapsed or "busy.log" in finding["detail"], "what cannot be cut is left, and said"
    finally:
        on(whole_lab, "api", f"rm -f {LOGS}/busy* {LOGS}/old*")


def test_a_month_tries_a_restore_and_tells_what_it_could_not_see(whole_lab: RunningLab) -> None:
    drill = report_of(whole_lab, "run", "drill", "--yes")
    assert [action["status"] for action in drill["actions"]] == ["verified"]
    words = ("maintain", "monthly", "--only", "access,safety", "-o", "json")
    looked = json.loads(whole_lab.samaops("--lab", *words).stdout)
    findings = {(each["code"], each["server"]): each for each in looked["findings"]}
    assert findings["maintenance.access.root", "db"]["status"] == "ok"
    assert findings["maintenance.safety.ports", "api"]["status"] == "ok", (
        "the lab listens on its own addresses"
    )
    assert findings["maintenance.safety.containers", "workers"]["evidence"]["as_root"]
