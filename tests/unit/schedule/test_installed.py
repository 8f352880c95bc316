"""What begins the jobs from outside, as systemd and cron read it; and a crontab that is taken over."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from itertools import islice
from pathlib import Path

import pytest
from msgspec.structs import replace

from samaops.changes.run.operations import run
from samaops.changes.schedule import crontab, units
from samaops.changes.schedule.crontab import Line, commented, lines_of
from samaops.changes.schedule.units import Place
from samaops.config.settings import Settings
from samaops.errors import RefusedError
from samaops.facts.schedule import FilesFacts, Leader
from samaops.model.plan import Plan
from samaops.site import jobs
from samaops.site.site import Site
from samaops.workflows import change
from tests.unit.changes.test_plans import snapshot
from tests.unit.checks.judging import seen
from tests.unit.schedule.files import CRONTAB, holding, schedule

PLACE = Place("/usr/bin/python3 -m samaops", "ops", "/var/lib/samaops/state", "/run/samaops")


def site_with(**schedule: object) -> Site:
    settings = Settings.model_validate(
        {
            "servers": {"db": {"address": "10.0.0.1"}},
            "postgresql": {"password": {"env": "DB_PASSWORD"}},
            "backup": {"server": "db"},
            "schedule": schedule,
        }
    )
    return Site(settings, configuration=Path("/etc/samaops/config.toml"))


def verified(directory: Path, written: dict[str, str]) -> str:
    """Return what systemd has to say of units; nothing when they are well."""
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is not installed")
    for name, content in written.items():
        # Only what the units say is looked at: neither the manual nor the program need be there.
        shown = content.replace("Documentation=man:samaops(1)\n", "").replace("/usr/bin/python3", "/bin/true")
        (directory / name).write_text(shown)
    paths = [str(directory / name) for name in written]
    done = subprocess.run(
        ["systemd-analyze", "verify", *paths], capture_output=True, text=True, timeout=60, check=False
    )
    return done.stderr


def test_systemd_finds_nothing_wrong_with_the_units(tmp_path: Path) -> None:
    site = site_with()
    assert verified(tmp_path, units.systemd(site, PLACE)) == ""
    assert verified(tmp_path, units.timers(site, PLACE)) == ""
    (tmp_path / "wrong.service").write_text("[Service]\nExecStart=/bin/true\nNoNewPrivilege=true\n")
    assert "NoNewPrivilege" in verified(tmp_path, {"wrong.service": (tmp_path / "wrong.service").read_text()})


def test_a_unit_has_its_limit_and_its_secrets_from_files() -> None:
    written = units.timers(site_with(jobs={"backup": {"limit_seconds": 1000}}), PLACE)[
        "samaops-backup.service"
    ]
    assert "TimeoutStartSec=1300\n" in written
    assert "LoadCredential=DB_PASSWORD:/etc/samaops/secrets/DB_PASSWORD\n" in written
    assert 'Environment=\'SAMAOPS_POSTGRESQL__PASSWORD={"file": "%d/DB_PASSWORD"}\'\n' in written
    assert "ProtectSystem=strict" in written
    assert "KillMode=mixed" in written


@pytest.mark.parametrize(
    "line",
    [
        "0 2 * * *",
        "*/7 0-6,22 * * *",
        "0 0 13 * 5",
        "30 3 * * 0",
        "0 4 1 * 7",
        "0 4 1-7 * *",
        "5 4 * jan-mar mon",
    ],
)
@pytest.mark.parametrize("zone", ["Africa/Dakar", "Europe/Paris"])
def test_timers_come_when_cron_does(line: str, zone: str) -> None:
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is not installed")
    site = site_with(timezone=zone, daily=line)
    job = jobs.named(site, "daily")
    now = datetime.now(timezone.utc)
    ours = list(islice(job.after(now), 8))
    theirs: set[datetime] = set()
    for calendar in units.calendar_of(job):
        theirs.update(_elapses(calendar))
    assert sorted(theirs)[:8] == ours


def _elapses(calendar: str) -> Iterator[datetime]:
    done = subprocess.run(
        ["systemd-analyze", "calendar", "--iterations=8", calendar],
        capture_output=True, text=True, timeout=60, check=True, env={"TZ": "UTC", "LC_ALL": "C", "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    for line in done.stdout.splitlines():
        words = line.split()
        if (
            ("elapse:" in words or line.lstrip().startswith("Iter"))
            and words[-1] == "UTC"
            and "(in" not in words
        ):
            yield datetime.strptime(f"{words[-3]} {words[-2]}+0000", "%Y-%m-%d %H:%M:%S%z")


def test_the_lines_of_a_crontab_are_read_as_cron_reads_them() -> None:
    text = "\n".join(
        (
            "# a comment", "MAILTO=x", '"A" = "b"', "", "0 0 13 * 5 both", "*/7 * * * 7 seven", "@daily named",
            "@reboot at start", r"1 2 3 4 * date +\%F%input", "0 61 * * * bad", "0 1 * *", "@often never",
        )
    )  # fmt: skip
    lines = {line.number: line for line in lines_of(text, has_user=False)}
    assert sorted(lines) == [5, 6, 7, 8, 9, 10, 11, 12], "nothing is dropped silently"
    assert (lines[5].at, lines[5].command, lines[5].problem) == ("0 0 13 * 5", "both", "")
    assert lines[7].at == "0 0 * * *"
    assert lines[9].command == "date +%F"
    assert "61" in lines[10].problem
    assert [bool(lines[number].problem) for number in (6, 8, 11, 12)] == [False, False, True, True]
    (named,) = lines_of("0 2 * * * root /usr/local/bin/backup_samaconso.sh", has_user=True)
    assert (named.command, named.job) == ("/usr/local/bin/backup_samaconso.sh", "backup")


@pytest.mark.parametrize(
    ("command", "job"),
    [
        ("/usr/local/bin/backup_samaconso.sh >> /var/log/backup_samaconso.log 2>&1", "backup"),
        ("/usr/bin/samaops --config /c maintain weekly --yes", "weekly"),
        ("/usr/local/bin/backup_samaconso.sh; rm -rf /tmp/x", ""),
        ("/usr/local/bin/backup_samaconso.sh && curl https://hc/ping", ""),
        ("echo maintain daily", ""),
        ("/usr/bin/foo", ""),
    ],
)
def test_a_line_is_taken_over_where_it_does_no_more_than_a_job(command: str, job: str) -> None:
    assert Line(1, "", "0 2 * * *", command).job == job


def imported(content: str, site: Site | None = None) -> Plan:
    return crontab.plan_import(
        snapshot(seen("schedule_files/files", holding("/c", content))), site or site_with(), "/c"
    )


def test_the_guide_s_crontab_is_commented_out_line_by_line() -> None:
    plan = imported(CRONTAB)
    (step,) = plan.steps
    assert step.operation.arguments["lines"] == (3, 4, 5)
    after = commented(CRONTAB, (3, 4, 5))
    assert [line for line in after.splitlines() if not line.startswith("#")] == ["MAILTO=ops@senelec.sn"]
    assert commented(after, (3, 4, 5), is_back=True) == CRONTAB
    assert sum("at the same time as in [schedule]" in note for note in plan.notes) == 3


def test_another_time_is_told_and_so_is_what_stays() -> None:
    notes = "\n".join(imported("30 1 * * * backup_samaconso.sh\n@reboot /x\n1 1 * * * /y\n").notes)
    assert '[schedule] backup = "30 1 * * *"' in notes
    assert "line 2 stays: it is run when the machine starts" in notes
    assert "line 3 stays" in notes


def test_the_weekly_run_removes_old_backups_only_where_the_site_is_named() -> None:
    word = '[schedule.jobs.weekly] confirm = "'
    bare = site_with()
    assert jobs.named(bare, "weekly").words == ("maintain", "weekly", "--yes")
    assert any(word in note for note in imported(CRONTAB, bare).notes)
    confirmed = site_with(jobs={"weekly": {"confirm": bare.name}})
    assert jobs.named(confirmed, "weekly").words[-2:] == ("--confirm", bare.name)
    assert not any(word in note for note in imported(CRONTAB, confirmed).notes)


def test_a_job_that_is_run_when_the_machine_starts_stays() -> None:
    plan = imported("@reboot backup_samaconso.sh\n30 1 * * * backup_samaconso.sh\n")
    assert plan.steps[0].operation.arguments["lines"] == (2,)
    assert "line 1 stays: it is run when the machine starts" in plan.notes


@pytest.mark.parametrize("end", ["\f", "\r", "\x85", "\u2028"])
def test_lines_are_counted_as_cron_counts_them(end: str) -> None:
    content = f"# one{end}of the same line\n0 2 * * * backup_samaconso.sh\n"
    (step,) = imported(content).steps
    assert step.operation.arguments["lines"] == (2,)
    assert commented(content, (2,)).splitlines()[-1] == f"{crontab.PREFIX}0 2 * * * backup_samaconso.sh"


def test_no_note_holds_what_stands_on_a_command_line() -> None:
    text = "0 2 * * * PGPASSWORD=geheim backup_samaconso.sh\n0 3 * * * psql postgresql://a:geheim@h/d\n"
    plan = imported(text)
    assert plan.steps
    assert "geheim" not in "\n".join(plan.notes)


def test_a_line_that_cron_could_not_follow_is_refused_by_its_number() -> None:
    with pytest.raises(RefusedError, match="line 2: '61'"):
        imported("0 2 * * * backup_samaconso.sh\n0 61 * * * x\n")


def test_a_file_is_commented_out_and_back(tmp_path: Path) -> None:
    path = tmp_path / "crontab"
    path.write_text(CRONTAB)
    path.chmod(0o600)
    site = site_with()
    plan = change.prepare(site, "schedule import", (str(path),))
    (step,) = plan.steps
    assert run(step.operation, site).is_ok
    assert path.read_text() == commented(CRONTAB, (3, 4, 5))
    assert path.stat().st_mode & 0o777 == 0o600
    assert change.prepare(site, "schedule import", (str(path),)).nothing_to_do, "the second time"
    assert step.undo is not None
    assert run(step.undo, site).is_ok
    assert path.read_text() == CRONTAB


def test_what_somebody_else_wrote_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "samaops-schedule.service").write_text("[Unit]\n")
    with pytest.raises(RefusedError, match="somebody else wrote it"):
        change.prepare(site_with(), "schedule install", ("systemd", str(tmp_path)))


def test_what_was_installed_is_taken_back_and_nothing_else(tmp_path: Path) -> None:
    site = site_with()
    (tmp_path / "other.timer").write_text("[Timer]\n")
    for step in change.prepare(site, "schedule install", ("timers", str(tmp_path))).steps:
        assert run(step.operation, site).is_ok
    assert len(list(tmp_path.iterdir())) == 11
    assert change.prepare(site, "schedule install", ("timers", str(tmp_path))).nothing_to_do
    with pytest.raises(RefusedError, match="would run the jobs twice"):
        change.prepare(site, "schedule install", ("systemd", str(tmp_path)))
    for step in change.prepare(site, "schedule uninstall", (str(tmp_path),)).steps:
        assert run(step.operation, site).is_ok
    assert [path.name for path in tmp_path.iterdir()] == ["other.timer"]


def test_cron_is_not_installed_where_the_machine_has_other_hours() -> None:
    with pytest.raises(RefusedError, match="Asia/Kathmandu"):
        units.cron(site_with(timezone="Asia/Kathmandu"), PLACE)


def test_a_directory_that_was_looked_at_tells_that_a_file_is_not_there() -> None:
    facts = FilesFacts((), ("/units",))
    assert facts.at("/units/a") is not None
    assert facts.at("/other/a") is None


@pytest.mark.parametrize(
    "path", ["/etc/%h/c.toml", "/etc/$HOME/c.toml", "/etc/a:b.toml", "/etc/x\nUser=evil", "/etc/it's.toml"]
)
def test_a_name_that_a_unit_would_not_hold_as_it_is_is_refused(path: str) -> None:
    site = Site(Settings(), configuration=Path(path))
    with pytest.raises(RefusedError, match="cannot be written into such a file"):
        units.require_plain(
            site, units.Place("/usr/bin/samaops", "root", "/root/.local/state", "/run/samaops")
        )


def test_ordinary_names_are_not() -> None:
    site = Site(Settings(site="Côte d'Ivoire (nord): 2"), configuration=Path("/etc/sama ops/été.toml"))
    units.require_plain(site, units.Place("/usr/bin/samaops", "root", "/root/.local/state", "/run/samaops"))


def test_after_an_import_is_said_what_is_left_to_do() -> None:
    """A copy of crontab -l does nothing by itself, and without a scheduler nothing runs any more."""
    notes = imported(CRONTAB).notes
    assert "cron does not read this file; then: crontab /c" in notes
    assert (
        "No scheduler runs yet, so nothing begins these jobs; then: samaops schedule install systemd" in notes
    )
    until = snapshot().taken_at + timedelta(seconds=20)
    leader = Leader("control", 1, "", "ops", snapshot().taken_at, until, 1, "")
    both = snapshot(
        seen("schedule_files/files", holding("/etc/cron.d/x", CRONTAB.replace(" /usr", " root /usr"))),
        seen("schedule/ledger", replace(schedule(), leader=leader)),
    )
    led = crontab.plan_import(both, site_with(), "/etc/cron.d/x")
    assert led.steps
    assert not any("then: " in note for note in led.notes)


def test_a_container_has_the_files_that_the_configuration_names_and_a_name_that_stays() -> None:
    login = {"key_file": "/etc/samaops/key", "known_hosts": "/etc/samaops/known_hosts"}
    settings = {
        "servers": {"db": {"address": "10.0.0.1", "ssh": login}, "api": {"address": "10.0.0.2"}},
        "safety": {"lock_directory": "/var/lock/samaops"},
    }
    site = Site(Settings.model_validate(settings), configuration=Path("/etc/samaops/config.toml"))
    place = replace(PLACE, locks="/var/lock/samaops")
    text = units.compose(site, place)["compose.samaops.yml"]
    for path in login.values():
        assert f"      - {path}:{path}:ro\n" in text
    assert "tmpfs: [/tmp, /var/lock/samaops]" in text
    assert f"    hostname: {socket.gethostname()[:50]}-samaops\n" in text
    assert "daily_maintenance.log" not in text
    assert units.servers_of_no_key(site) == ("api",)


def test_each_site_has_files_of_its_own(tmp_path: Path) -> None:
    def installed(kind: str, name: str, config: str) -> Plan:
        settings = site_with().settings.model_copy(update={"site": name})
        site = Site(settings, configuration=Path(f"/etc/samaops/{config}.toml"))
        plan = change.prepare(site, "schedule install", (kind, str(tmp_path)))
        for step in plan.steps:
            assert run(step.operation, site).is_ok
        return plan

    first, second = tmp_path / "samaops-schedule.service", tmp_path / "samaops-schedule-thies.service"
    installed("systemd", "dakar", "sites/dakar")
    before = first.read_text()
    plan = installed("systemd", "thies", "sites/thies")
    assert plan.notes[-1].endswith("systemctl enable --now samaops-schedule-thies.service")
    assert first.read_text() == before
    assert "--config /etc/samaops/sites/thies.toml schedule run" in second.read_text()
    assert installed("systemd", "thies", "sites/thies").nothing_to_do
    installed("systemd", "dakar-2", "sites/dakar")  # another name of the same configuration: it is run once
    assert sorted(tmp_path.iterdir()) == [second, first]
    with pytest.raises(RefusedError, match="choose another directory"):
        installed("systemd", "Maj Espace", "other")
