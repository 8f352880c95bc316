"""Space is given back on a real file system: compressed, emptied under its writer, held deleted; a reserve made and given up."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from samaops.config.settings import Settings
from samaops.model.plan import ActionStatus
from samaops.model.report import Report
from samaops.site.site import Site
from samaops.workflows import change, disk, history

pytestmark = pytest.mark.service
MB = 1024**2
LINE = b"2026-01-31 INFO une ligne du journal de facturation\n"


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 MB of its own."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    place = tmp_path / "data"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=256m", "samaops-test", str(place)]
    subprocess.run(command, check=True, timeout=10)
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True, timeout=10)


@pytest.fixture
def site(mount: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    (mount / "logs").mkdir()
    return Site(
        Settings.model_validate(
            {
                "site": "disks",
                "servers": {"db": {"address": "127.0.0.1", "ssh": "local", "mounts": [str(mount)]}},
                "maintenance": {"log_directory": str(mount / "logs")},
                "safety": {"lock_directory": str(tmp_path)},
            }
        )
    )


def made(site: Site, verb: str, *arguments: str) -> Report:
    return change.apply(site, change.prepare(site, verb, arguments), 20.0)


def statuses(report: Report) -> list[ActionStatus]:
    return [action.status for action in report.actions]


@contextmanager
def held(path: Path, *, deleted: bool = False) -> Iterator[int]:
    """Let another process add to a file, as a logger does."""
    program = f"f = open({str(path)!r}, 'ab', buffering=0); print('held', flush=True)\nfor line in iter(input, ''): f.write(line.encode())"
    holder = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        if deleted:
            path.unlink()
        yield holder.pid
    finally:
        holder.communicate(b"\n", timeout=10)


def used_bytes(mount: Path) -> int:
    seen = os.statvfs(mount)
    return (seen.f_blocks - seen.f_bfree) * seen.f_frsize


def test_a_rotated_log_is_compressed_and_comes_back_as_it_was(site: Site, mount: Path) -> None:
    rotated, writing = mount / "logs" / "api 2026.log.1", mount / "logs" / "api.log.2"
    for path in (rotated, writing):
        path.write_bytes(LINE * (20 * MB // len(LINE)))
    content = rotated.read_bytes()
    rotated.chmod(0o640)
    with held(writing):
        report = made(site, "disk clean", "db", "rotated")
        assert writing.exists()
        # Where this machine has rotated logs of its own, there is a step for each of their disks.
        assert set(statuses(report)) == {ActionStatus.VERIFIED}, report.errors
        assert sum(str(mount) in action.title for action in report.actions) == 1
    assert not rotated.exists()
    assert gzip.decompress((mount / "logs" / "api 2026.log.1.gz").read_bytes()) == content
    assert "freed" in report.actions[0].result

    (journal,) = {action.journal for action in report.actions if action.journal}
    undone = change.apply(site, history.undo(site, str(journal)), 20.0)
    assert set(statuses(undone)) == {ActionStatus.VERIFIED}, undone.errors
    assert rotated.read_bytes() == content
    assert rotated.stat().st_mode & 0o777 == 0o640


def test_a_log_is_emptied_under_its_writer_and_its_end_stays(site: Site, mount: Path) -> None:
    growing = mount / "logs" / "facturation.log"
    growing.write_bytes(LINE * (60 * MB // len(LINE)) + b"la toute derniere\n")
    before = used_bytes(mount)
    with held(growing):
        report = made(site, "disk clean", "db", "logs")
        assert statuses(report) == [ActionStatus.VERIFIED], report.errors
    assert used_bytes(mount) < before - 50 * MB
    (kept,) = growing.parent.glob("facturation.log.*.gz")
    assert gzip.decompress(kept.read_bytes()).endswith(b"la toute derniere\n")


def test_a_deleted_log_that_is_open_gives_its_space_back(site: Site, mount: Path) -> None:
    lost = mount / "logs" / "sms.log"
    lost.write_bytes(LINE * (220 * MB // len(LINE)))  # nearly full: only then deleted files are looked for
    with held(lost, deleted=True):
        assert used_bytes(mount) > 200 * MB
        report = made(site, "disk clean", "db", "deleted")
        assert statuses(report) == [ActionStatus.VERIFIED], report.errors
        assert used_bytes(mount) < MB


def test_a_reserve_takes_real_space_and_gives_it_at_once(site: Site, mount: Path) -> None:
    report = made(site, "disk reserve", "db", str(mount), "50M")
    assert statuses(report) == [ActionStatus.VERIFIED], report.errors
    assert used_bytes(mount) >= 50 * MB
    assert change.prepare(site, "disk reserve", ("db", str(mount), "50M")).nothing_to_do
    report = made(site, "disk reserve", "db", str(mount), "--give-up")
    assert statuses(report) == [ActionStatus.VERIFIED], report.errors
    assert used_bytes(mount) < MB


def test_what_lies_below_a_directory_is_listed_with_whose_it_is(site: Site, mount: Path) -> None:
    (mount / "logs" / "a.log").write_bytes(b"x" * 5 * MB)
    (mount / "big").write_bytes(b"x" * 9 * MB)
    table = disk.usage(site, "db", str(mount), 10)
    assert [(row["path"], row["owner"]) for row in table.rows] == [
        (str(mount / "big"), ""),
        (str(mount / "logs" / "a.log"), "logs"),
    ]
    assert table.is_whole
