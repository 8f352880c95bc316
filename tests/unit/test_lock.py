"""One change at a time on one machine: between processes, named, and free again when the owner dies."""

from __future__ import annotations

import getpass
import json
import os
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path

import pytest
from msgspec.structs import asdict, replace

from samaops.clients import server_lock
from samaops.errors import LockedError, RefusedError
from samaops.journal import lock, lock_directory
from samaops.journal.lock import ChangeLock
from samaops.journal.owner import Owner
from tests.unit.mutations import answered_in_time

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


def test_the_group_may_use_the_file_and_nobody_else_and_a_link_is_not_followed(tmp_path: Path) -> None:
    with ChangeLock(tmp_path, "dakar"):
        (file,) = tmp_path.iterdir()
        assert stat.S_IMODE(file.stat().st_mode) == 0o660
    content = tmp_path / "important"
    content.write_text("mine")
    file.unlink()
    file.symlink_to(content)
    with pytest.raises(RefusedError, match="nothing was changed"):
        ChangeLock(tmp_path, "dakar").take()
    assert content.read_text() == "mine"


@pytest.mark.parametrize("kind", ["pipe", "hard link"])
def test_what_is_no_file_of_its_own_is_refused_at_once_and_stays_as_it_is(tmp_path: Path, kind: str) -> None:
    content, file = tmp_path / "content", tmp_path / lock.file_name("dakar")
    content.write_text("of somebody")
    content.chmod(0o640)
    if kind == "pipe":
        os.mkfifo(file)
    else:
        file.hardlink_to(content)
    ours = ChangeLock(tmp_path, "dakar")
    for use in (ours.holder, ours.take):
        with answered_in_time(), pytest.raises(RefusedError, match="not a regular file of its own"):
            use()
    assert (content.read_text(), stat.S_IMODE(content.stat().st_mode)) == ("of somebody", 0o640)


def test_the_program_of_a_server_opens_no_other_file_to_the_group(tmp_path: Path) -> None:
    content, file = tmp_path / "content", tmp_path / "samaops.lock"
    content.write_text("of somebody")
    content.chmod(0o640)
    file.hardlink_to(content)
    tmp_path.chmod(0o700)
    program = Path(server_lock.__file__).with_suffix(".sh")
    for use in ("look", "hold"):
        words = ["sh", str(program), use, str(file), "5"]
        done = subprocess.run(words, input="{}\n", capture_output=True, text=True, timeout=30, check=False)
        assert done.stdout == f"samaops-lock: cannot {file}: a link to another file\n"
    assert (content.read_text(), stat.S_IMODE(content.stat().st_mode)) == ("of somebody", 0o640)


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


@pytest.mark.parametrize(
    ("mode", "owner", "group", "said"),
    [
        (0o1777, 0, 0, "everybody may write"),
        (0o702, 0, 0, "everybody may write"),
        (0o770, 0, 54321, "group 54321, which is not ours"),
        (0o700, 54321, 0, "belongs to 54321"),
    ],
)
@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a directory away")
def test_a_directory_in_which_others_could_hold_a_lock_is_refused(
    tmp_path: Path, mode: int, owner: int, group: int, said: str
) -> None:
    place = tmp_path / "locks"
    place.mkdir()
    os.chown(place, owner, group)
    place.chmod(mode)
    for ask in (ChangeLock(place, "dakar").take, ChangeLock(place, "dakar").holder):
        with pytest.raises(RefusedError, match=said):
            ask()
    assert list(place.iterdir()) == []


def test_a_directory_that_is_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(RefusedError, match="is no directory"):
        ChangeLock(tmp_path / "link", "dakar").take()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may be somebody else")
def test_who_is_not_of_the_group_is_told_what_to_do_and_cannot_hold_it(tmp_path: Path) -> None:
    place = tmp_path / "locks"
    place.mkdir()
    place.chmod(0o2770)
    for above in (
        tmp_path,
        *(parent for parent in tmp_path.parents if parent.name.startswith(("pytest", "popen"))),
    ):
        above.chmod(0o755)
    with ChangeLock(place, "dakar"):
        (file,) = place.iterdir()
        assert _as_nobody(f"import os; os.open({str(file)!r}, os.O_RDONLY)").endswith("Permission denied")
    ask = (
        "from pathlib import Path; from samaops.journal.lock import ChangeLock\n"
        f"ChangeLock(Path({str(place)!r}), 'dakar').{{}}()"
    )
    for verb in ("take", "holder"):
        assert "sudo usermod -aG root nobody" in _as_nobody(ask.format(verb))


def _as_nobody(program: str) -> str:
    """Run a program as a user without rights, and return the last line of its words."""
    become = "import os; import samaops.journal.lock; os.setgroups([]); os.setgid(65534); os.setuid(65534)"
    body = program.replace("\n", "\n ")
    program = f"{become}\ntry:\n {body}\nexcept Exception as error:\n print(error.args[-1])"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=False
    )
    return (done.stdout or done.stderr).strip()


def test_a_file_that_others_may_open_is_closed_to_them(tmp_path: Path) -> None:
    with ChangeLock(tmp_path, "dakar"):
        (file,) = tmp_path.iterdir()
    file.chmod(0o666)
    with ChangeLock(tmp_path, "dakar"):
        assert stat.S_IMODE(file.stat().st_mode) == 0o660


HOLDER = "import fcntl, os, sys; file = os.open(sys.argv[1], os.O_RDONLY); fcntl.flock(file, fcntl.LOCK_EX); print(flush=True)"


@pytest.mark.parametrize("written", ["", "nobody", "stale"])
@pytest.mark.parametrize("is_inherited", [False, True])
def test_a_holder_that_wrote_no_name_is_named_by_the_kernel(
    tmp_path: Path, written: str, is_inherited: bool
) -> None:
    with ChangeLock(tmp_path, "dakar"):
        (file,) = tmp_path.iterdir()
    if written == "stale":
        written = json.dumps(asdict(replace(lock.this_process_now(), process_start="of/1")))
    file.write_text(written)
    wait = "os.fork() and os._exit(0); sys.stdin.read()" if is_inherited else "sys.stdin.read()"
    words = [
        sys.executable,
        "-c",
        f"{HOLDER}; {'os.set_inheritable(file, True); ' if is_inherited else ''}{wait}",
    ]
    with subprocess.Popen([*words, str(file)], stdin=-1, stdout=-1) as process:
        assert process.stdout is not None
        process.stdout.readline()
        if is_inherited:
            process.wait(10)
        owner = ChangeLock(tmp_path, "dakar").holder()
        assert owner is not None
        assert (owner.pid == process.pid) is not is_inherited
        assert (owner.user, owner.host) == (getpass.getuser(), os.uname().nodename)
        begun = datetime.fromisoformat(owner.since)
        assert abs((datetime.now(timezone.utc) - begun).total_seconds()) < 120
        with pytest.raises(LockedError, match=f"process {owner.pid}, since"):
            ChangeLock(tmp_path, "dakar").take()
        assert process.stdin is not None
        process.stdin.close()


def test_since_when_somebody_has_the_lock_is_told_by_the_clock_of_whoever_reads_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        owner = Owner("awa", "ops1", 42, "", "2026-11-29T01:13:32.123456+00:00")
        for error in (lock.locked(owner), lock.locked(owner, "db")):
            assert "since 2026-11-29 10:13:32 JST" in error.message
            assert error.since == owner.since  # for whoever computes with it
        assert "since yesterday" in lock.locked(replace(owner, since="yesterday")).message
    finally:
        monkeypatch.undo()
        time.tzset()


def test_the_directory_is_the_configured_one_or_that_of_its_group_or_our_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = tmp_path / "run" / "samaops"
    monkeypatch.setattr(lock_directory, "SHARED", shared)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert lock_directory.choose(tmp_path) == tmp_path
    for user, place in ((0, shared), (1000, tmp_path / ".local/state/samaops/locks")):
        monkeypatch.setattr("os.geteuid", lambda user=user: user)
        assert lock_directory.choose(None) == place
    shared.mkdir(parents=True)
    assert lock_directory.choose(None) == shared


@pytest.mark.skipif(os.geteuid() != 0, reason="root makes it")
@pytest.mark.parametrize(("group", "mode"), [("root", 0o2770), ("no-such-group", 0o700)])
def test_root_makes_the_directory_for_its_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, group: str, mode: int
) -> None:
    monkeypatch.setattr(lock_directory, "SHARED", tmp_path / "samaops")
    monkeypatch.setattr(lock_directory, "GROUP", group)
    with ChangeLock(lock_directory.choose(None), "dakar"):
        assert stat.S_IMODE((tmp_path / "samaops").stat().st_mode) == mode


def test_the_shipped_file_makes_the_directory_that_is_looked_for() -> None:
    lines = (ROOT / "packaging/tmpfiles.d/samaops.conf").read_text().splitlines()
    assert [line for line in lines if not line.startswith("#")] == [
        f"d {lock_directory.SHARED} 2770 root {lock_directory.GROUP} -"
    ]
