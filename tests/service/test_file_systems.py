"""Which file systems of a server are looked at, left out, or do not answer; ``df`` is a stand-in that says so."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from samaops.collect.servers import reading
from samaops.config.settings import Server, Settings
from samaops.facts.servers import ServerFacts
from samaops.model.status import Status
from tests.service.looking import Look, look

pytestmark = pytest.mark.service

SHOWN = """\
ext4 100000000000 20000000000 80000000000 1000 100 /
fuseblk 500000000000 499000000000 1000000000 1000000 1200 /mnt/usb_backup
fuse.glusterfs 4000000000000 3992000000000 8000000000 9000000 8000 /srv/gluster/documents
fuse.s3fs 1000000000 10 999999990 - - /mnt/s3
nfs4 1000000000 950000000 50000000 100 10 /mnt/nas d\u00e9cembre
btrfs 1000000000 990000000 10000000 0 0 /srv/btrfs
zfs 1000000000 1000 999999000 100 99 tank
overlay 1000000000 980000000 20000000 100 10 /srv/data
tmpfs 1000000 990000 10000 100 10 /run
squashfs 67108864 67108864 0 700 700 /snap/core22/1380
fuse.snapfuse 67108864 67108864 0 700 700 /snap/core20/1
iso9660 67108864 67108864 0 - - /media/cdrom
overlay 100000000000 99000000000 1000000000 10 1 /var/lib/docker/overlay2/abc/merged
tmpfs 1000000 1000000 0 100 10 /run/user/1000
xfs 1000000000 - - 100 10 /mnt/strange
"""
FAILURES = "df: /mnt/dead: Transport endpoint is not connected\ndf: /run/user/1000/doc: Permission denied\n"
PLAIN = 'cat "$here/shown"; cat "$here/failures" >&2; exit 1'
# The NAS hangs, and with it every df that meets it.
HUNG = 'case "$*" in *" -- "*nas*) sleep 5 ;; *" -- "*) grep -- " ${*##* }\\$" "$here/shown" ;; *) sleep 5 ;; esac'


@pytest.fixture
def seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Look]:
    def seen_with(script: str, *mounts: str, shown: str = SHOWN) -> Look:
        (tmp_path / "shown").write_text(shown, encoding="utf-8")
        (tmp_path / "failures").write_text(FAILURES, encoding="utf-8")
        stub = tmp_path / "df"
        stub.write_text(f"#!/bin/sh\nhere={tmp_path}\n{script}\n")
        stub.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
        server = Server(address="127.0.0.1", ssh="local", mounts=mounts or ("/",))
        return look(Settings(servers={"db": server}), "servers.disk", "servers.mount")

    return seen_with


def facts_of(seen: Look) -> ServerFacts:
    return next(facts for _observation, facts in seen.snapshot.facts_of(ServerFacts))


def test_every_file_system_that_somebody_fills_is_judged_and_the_others_are_named(
    seen: Callable[..., Look],
) -> None:
    judged = seen(PLAIN)
    full = {
        finding.subject.partition(":")[2]
        for finding in judged.findings
        if finding.code == "servers.disk.full"
    }
    assert full == {
        "/", "/mnt/usb_backup", "/srv/gluster/documents", "/mnt/s3", "/mnt/nas d\u00e9cembre", "/srv/btrfs", "/srv/data",
        "/run",
    }  # fmt: skip
    assert judged.status("servers.disk.full", "servers/db:/mnt/usb_backup") is Status.CRITICAL
    assert judged.status("servers.disk.full", "servers/db:/srv/data") is Status.CRITICAL
    with_inodes = {finding.subject for finding in judged.findings if finding.code == "servers.disk.inodes"}
    assert "servers/db:/srv/btrfs" not in with_inodes
    assert dict(facts_of(judged).left_out) == {
        "/snap/core22/1380": "squashfs",
        "/snap/core20/1": "fuse.snapfuse",
        "/media/cdrom": "iso9660",
        "/var/lib/docker/overlay2/abc/merged": "overlay",
        "/run/user/1000": "tmpfs",
        "/mnt/strange": "xfs",
        "/run/user/1000/doc": "Permission denied",
    }


def test_a_mount_that_does_not_answer_is_named(seen: Callable[..., Look]) -> None:
    finding = seen(PLAIN).one("servers.mount.missing")
    assert finding.status is Status.WARNING
    assert finding.title == (
        "The file system at /mnt/dead does not answer: Transport endpoint is not connected"
    )


def test_a_file_system_that_hangs_costs_its_time_and_hides_no_other(seen: Callable[..., Look]) -> None:
    points = {line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()}
    shown = "".join(f"ext4 1000 950 50 100 10 {point}\n" for point in points)
    judged = seen(HUNG, shown=shown)
    assert judged.status("servers.disk.full", "servers/db:/") is Status.CRITICAL
    assert judged.status("servers.mount.missing") is Status.WARNING


def test_a_configured_path_that_is_a_link_is_mounted_where_it_leads(
    seen: Callable[..., Look], tmp_path: Path
) -> None:
    dangling, plain, into = tmp_path / "dangling", tmp_path / "plain", tmp_path / "into"
    dangling.symlink_to(tmp_path / "gone")
    plain.symlink_to(tmp_path)
    into.symlink_to("/dev/shm")
    judged = seen(PLAIN, str(dangling), str(plain), str(into))
    titles = {
        finding.subject.partition(":")[2]: finding.title
        for finding in judged.findings
        if finding.code == "servers.mount.missing"
    }
    assert titles[str(dangling)] == f"{dangling} is not mounted: it is a link to {tmp_path / 'gone'}"
    assert titles[str(plain)] == f"{plain} is not mounted: it is a link to {tmp_path}"
    assert str(into) not in titles
    assert dict(facts_of(judged).links)[str(into)] == "/dev/shm"


def test_what_hangs_is_named_whatever_its_name() -> None:
    mountinfo = [
        "1 0 8:1 / / rw - ext4 /dev/sda1 rw",
        "2 1 0:40 / /mnt/nas\\040d\u00e9cembre rw - nfs4 nas:/x rw",
        "3 1 0:41 / /mnt/a\\012b rw - fuse.sshfs u@h:/ rw",
        "4 1 0:42 / /mnt/well rw - cifs //h/x rw",
        "5 1 0:43 / /run/user/1/doc rw - fuse.portal portal rw",
    ]
    lines = ["hung", "ext4 100 20 80 10 1 /", "cifs 100 20 80 - - /mnt/well"]
    listed, left_out, unanswered = reading._file_systems(lines, reading._mounts(mountinfo), set())
    assert [file_system.mount for file_system in listed] == ["/", "/mnt/well"]
    assert left_out == {}
    assert set(unanswered) == {"/mnt/nas d\u00e9cembre", "/mnt/a\nb"}
    seen = reading._file_systems(["fuse.sshfs 100 95 5 10 1 /mnt/a?b"], reading._mounts(mountinfo), set())[0]
    assert [file_system.mount for file_system in seen] == ["/mnt/a\nb"]
