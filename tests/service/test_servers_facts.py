"""A server read over a real sshd; full, deleted and hostile files on a real file system."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from samaops.config.backup_settings import Backup
from samaops.config.settings import Server, Settings, Ssh
from samaops.facts.backup import BackupFacts
from samaops.facts.servers import ReachFacts, ServerFacts
from samaops.model.status import Status
from tests.service import faulty
from tests.service.looking import look
from tests.service.ssh_server import SshServer, running_sshd

pytestmark = pytest.mark.service


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshServer]:
    with running_sshd(tmp_path_factory.mktemp("sshd")) as server:
        yield server


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 16 MB of its own."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    mount = tmp_path / "data"
    mount.mkdir()
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=16m", "samaops-test", str(mount)], check=True, timeout=10
    )
    yield mount
    subprocess.run(["umount", "-l", str(mount)], check=True, timeout=10)


def settings_of(sshd: SshServer, *mounts: str) -> Settings:
    return Settings(
        servers={"db": Server(address=sshd.address, ssh=sshd.settings(), mounts=mounts or ("/",))}
    )


def test_a_server_is_read_in_one_command_over_one_connection(sshd: SshServer) -> None:
    seen = look(settings_of(sshd), "servers")
    facts = next(facts for _one, facts in seen.snapshot.facts_of(ServerFacts))
    assert facts.boot_id == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert facts.processors == os.cpu_count()
    assert facts.clock_low <= 0 <= facts.clock_high
    assert facts.clock_high - facts.clock_low < 5
    assert facts.memory_total > facts.memory_available > 0
    assert facts.configuration is not None
    hosts = facts.configuration["file"]["/etc/hosts"][""]
    assert hosts.value.startswith("#")
    assert hosts.at == pytest.approx(Path("/etc/hosts").stat().st_mtime, abs=0.01)
    assert facts.configuration["mount"]["/"]["mode"].value == "rw"
    footprint = seen.snapshot.footprint
    assert (footprint.connections, footprint.commands, footprint.writes) == (1, 1, 0)
    assert footprint.bytes_read > 500
    assert seen.status("servers.ssh.unreachable") is Status.OK


def test_the_host_answers(sshd: SshServer) -> None:
    seen = look(settings_of(sshd), "servers.host")
    facts = next(facts for _one, facts in seen.snapshot.facts_of(ReachFacts))
    assert facts.ping_ms is not None or facts.tcp == "open"
    assert seen.status("servers.host.unreachable") is Status.OK


def test_a_full_disk_is_found_with_what_fills_it(sshd: SshServer, small_disk: Path) -> None:
    (small_disk / "logs").mkdir()
    (small_disk / "logs" / "huge.log").write_bytes(b"x" * 14_000_000)
    seen = look(settings_of(sshd, "/", str(small_disk)), "servers")
    found = seen.one("servers.disk.full", f"servers/db:{small_disk}")
    assert found.status is Status.WARNING
    assert found.evidence["biggest"][0]["path"] == str(small_disk / "logs" / "huge.log")


def test_a_deleted_file_that_is_open_is_found_with_its_holder(sshd: SshServer, small_disk: Path) -> None:
    file = small_disk / "app [red] \x1b[31m.log"
    hold = f"f = open({str(file)!r}, 'wb'); f.write(b'x' * 15_000_000); f.flush(); print('held', flush=True); input()"
    holder = subprocess.Popen([sys.executable, "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        file.unlink()
        seen = look(settings_of(sshd, "/", str(small_disk)), "servers")
        found = seen.one("servers.disk.deleted_open", f"servers/db:{small_disk}")
        assert found.status is Status.WARNING
        held = found.evidence["files"][0]
        assert (held["pid"], held["path"]) == (holder.pid, str(file))
        assert held["size_bytes"] >= 15_000_000
    finally:
        holder.communicate(b"\n", timeout=10)
    seen = look(settings_of(sshd, "/", str(small_disk)), "servers")
    assert seen.status("servers.disk.deleted_open") is Status.OK


def test_a_read_only_and_a_missing_mount_are_found(sshd: SshServer, small_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True, timeout=10)
    missing = str(small_disk / "not there")
    seen = look(settings_of(sshd, str(small_disk), missing), "servers")
    assert seen.status("servers.disk.readonly") is Status.CRITICAL
    assert seen.status("servers.mount.missing") is Status.CRITICAL
    assert seen.one("servers.mount.missing").subject.endswith(missing)


def test_a_server_whose_sshd_is_down_is_reachable_and_says_that_ssh_is_not() -> None:
    with faulty.refused_port() as (host, port):
        seen = look(Settings(servers={"db": Server(address=host, ssh=Ssh(port=port))}), "servers")
    assert seen.status("servers.host.unreachable") is Status.OK
    assert seen.status("servers.ssh.unreachable") is Status.CRITICAL
    assert seen.status("servers.load.high") is Status.SKIPPED


def test_a_hung_sshd_costs_its_own_timeout_only() -> None:
    with faulty.hanging() as (host, port):
        started = time.monotonic()
        seen = look(Settings(servers={"db": Server(address=host, ssh=Ssh(port=port, timeout=1))}), "servers")
    assert time.monotonic() - started < 4
    assert seen.one("servers.ssh.unreachable").evidence["kind"] == "no_answer"


def test_an_unknown_host_key_is_unknown_and_not_an_outage(sshd: SshServer, tmp_path: Path) -> None:
    ssh = sshd.settings(known_hosts=tmp_path / "none")
    seen = look(Settings(servers={"db": Server(address=sshd.address, ssh=ssh)}), "servers")
    found = seen.one("servers.ssh.unreachable")
    assert found.status is Status.UNKNOWN
    assert "ssh-keyscan" in found.detail


def test_backups_are_listed_whatever_their_names(sshd: SshServer, tmp_path: Path) -> None:
    directory = tmp_path / "back ups"
    directory.mkdir()
    for number, name in enumerate(
        ["samaconso_[red]\t\x1b.backup", "samaconso_2.backup", "other.txt", "x.tmp"]
    ):
        (directory / name).write_bytes(b"x" * 100)
        at = time.time() - 3600 * (number + 5)
        os.utime(directory / name, (at, at))
    (directory / os.fsdecode(b"samaconso_\xff.backup")).write_bytes(b"x")
    backup = Backup(directory=str(directory))
    seen = look(settings_of(sshd).model_copy(update={"backup": backup}), "backup")
    assert seen.status("backup.newest.missing") is Status.OK
    ((_observation, facts),) = seen.snapshot.facts_of(BackupFacts)
    assert {one.name for one in facts.files} == {
        "samaconso_[red]\t\x1b.backup",
        "samaconso_2.backup",
        "samaconso_\\xff.backup",
    }
    assert [one.name for one in facts.unfinished] == ["x.tmp"]


def test_backups_behind_links_are_seen_once_and_what_is_no_file_is_named(
    sshd: SshServer, tmp_path: Path
) -> None:
    real, link = tmp_path / "nas_volume", tmp_path / "backups"
    real.mkdir()
    link.symlink_to(tmp_path / "by_another")
    (tmp_path / "by_another").symlink_to(real.name)
    for name in ("samaconso_1.backup", "samaconso_2.backup"):
        (real / name).write_bytes(b"x" * 100)
    elsewhere = tmp_path / "sauvegarde d\u00e9cembre"
    elsewhere.write_bytes(b"x" * 100)
    (real / "samaconso_\u00e9t\u00e9.backup").symlink_to(elsewhere)
    (real / "samaconso_latest.backup").symlink_to("samaconso_2.backup")
    (real / "samaconso_gone.backup").symlink_to("nowhere")
    (real / "samaconso_parts.backup").mkdir()
    broken = real / "samaconso_a\nb.backup"
    broken.write_bytes(b"x")
    seen = look(settings_of(sshd).model_copy(update={"backup": Backup(directory=f"{link}/")}), "backup")
    assert seen.status("backup.newest.missing") is Status.OK
    ((_observation, facts),) = seen.snapshot.facts_of(BackupFacts)
    names = {file.name for file in facts.files} - {"samaconso_latest.backup", "samaconso_2.backup"}
    assert names == {"samaconso_1.backup", "samaconso_\u00e9t\u00e9.backup"}
    assert len(facts.files) == 3
    assert facts.leads_to == str(real)
    assert facts.left_out == (
        f"a name with a line break, inode {broken.stat().st_ino} (?)",
        "samaconso_gone.backup (dangling link)",
        "samaconso_parts.backup (directory)",
    )


def test_a_backup_directory_that_is_a_dangling_link_is_said(sshd: SshServer, tmp_path: Path) -> None:
    link = tmp_path / "backups"
    link.symlink_to("not_mounted")
    seen = look(
        settings_of(sshd).model_copy(update={"backup": Backup(directory=str(link))}), "backup.directory"
    )
    (finding,) = seen.findings
    assert finding.status is Status.CRITICAL
    assert finding.title == (
        f"The backup directory {link} is a link to {tmp_path / 'not_mounted'}, which does not exist"
    )


def test_a_backup_directory_that_is_not_there_is_critical(sshd: SshServer, tmp_path: Path) -> None:
    backup = Backup(directory=str(tmp_path / "gone"))
    seen = look(settings_of(sshd).model_copy(update={"backup": backup}), "backup")
    assert seen.bad() == {"backup.directory.unreadable@backup/db"}
