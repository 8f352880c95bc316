"""One change at a time on one machine: between processes, named, and free again when the owner dies."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from samaops.errors import LockedError, RefusedError
from samaops.journal import lock
from samaops.journal.lock import ChangeLock

ROOT = Path(__file__).parents[2]
PROGRAM = """
import sys
from pathlib import Path
from samaops.journal.lock import ChangeLock
with ChangeLock(Path(sys.argv[1]), sys.argv[2]):
    print("locked", flush=True)
    sys.stdin.read()
"""


@contextmanager
def another_process(place: Path, site: str = "dakar") -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(place), site], stdin=-1, stdout=-1, text=True, cwd=ROOT
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "locked\n"
        yield process
    finally:
        process.kill()
        process.wait(10)


def test_a_second_process_is_refused_and_told_who_has_it(tmp_path: Path) -> None:
    with another_process(tmp_path) as other:
        with pytest.raises(LockedError) as refused:
            ChangeLock(tmp_path, "dakar").take()
        assert f"process {other.pid}" in refused.value.message
        assert os.uname().nodename in refused.value.message
        assert refused.value.exit_code == 75
        holder = ChangeLock(tmp_path, "dakar").holder()
        assert holder is not None
        assert holder.pid == other.pid


def test_it_is_free_as_soon_as_the_owner_is_killed(tmp_path: Path) -> None:
    with another_process(tmp_path) as other:
        other.kill()
        other.wait(10)
        assert ChangeLock(tmp_path, "dakar").holder() is None
        with ChangeLock(tmp_path, "dakar"):
            pass


def test_it_is_free_after_its_owner_gave_it_back(tmp_path: Path) -> None:
    with ChangeLock(tmp_path, "dakar") as held:
        held.check()
    assert ChangeLock(tmp_path, "dakar").holder() is None
    with ChangeLock(tmp_path, "dakar"):
        pass


@pytest.mark.parametrize("other", ["thies", "Dakar", "dakar/1"])
def test_sites_do_not_lock_each_other(tmp_path: Path, other: str) -> None:
    with another_process(tmp_path), ChangeLock(tmp_path, other):
        pass


def test_asking_who_has_it_does_not_take_it_away(tmp_path: Path) -> None:
    with another_process(tmp_path):
        for _time in range(20):
            assert ChangeLock(tmp_path, "dakar").holder() is not None
    for _time in range(5):
        assert ChangeLock(tmp_path, "dakar").holder() is None


def test_every_user_of_the_machine_may_use_the_file_and_a_link_is_not_followed(tmp_path: Path) -> None:
    with ChangeLock(tmp_path, "dakar"):
        (file,) = tmp_path.iterdir()
        assert stat.S_IMODE(file.stat().st_mode) == 0o666
    content = tmp_path / "important"
    content.write_text("mine")
    file.unlink()
    file.symlink_to(content)
    with pytest.raises(RefusedError, match="nothing was changed"):
        ChangeLock(tmp_path, "dakar").take()
    assert content.read_text() == "mine"


def test_without_a_directory_the_change_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RefusedError, match="nothing was changed"):
        ChangeLock(tmp_path / "file" / "below", "dakar").take()


def test_what_somebody_wrote_into_the_file_does_no_harm(tmp_path: Path) -> None:
    with another_process(tmp_path):
        (file,) = tmp_path.iterdir()
        file.write_text('["not an owner"]')
        with pytest.raises(LockedError, match="Another change is being made"):
            ChangeLock(tmp_path, "dakar").take()


def test_the_directory_is_the_configured_one_or_that_of_all_users(tmp_path: Path) -> None:
    assert lock.directory(tmp_path) == tmp_path
    assert lock.directory(None) == Path("/run/lock") or not Path("/run/lock").is_dir()
