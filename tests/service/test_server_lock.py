"""A lock held on a real server over SSH: named, kept up, and free again however its owner ends."""

from __future__ import annotations

import getpass
import json
import os
import shlex
import shutil
import signal
import stat
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from msgspec.structs import asdict

from samaops.clients import server_lock, ssh
from samaops.clients.errors import ClientError
from samaops.clients.server_lock import Rhythm, ServerLock, TakenError
from samaops.clients.ssh import SshShell
from samaops.journal.lock import this_process_now
from samaops.journal.owner import Owner, read_owner
from samaops.model.failure import FailureKind
from tests.service.ssh_server import SshServer, running_sshd

pytestmark = pytest.mark.service
OWNER = json.dumps(asdict(this_process_now()))
# Nobody says that he is there: as when his machine has lost its power, and the connection still stands.
MUTE = Rhythm(beat_seconds=600, answer_seconds=2, silence_seconds=1)


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshServer]:
    with running_sshd(tmp_path_factory.mktemp("sshd")) as server:
        yield server


@pytest.fixture
def connect(sshd: SshServer) -> Iterator[Callable[[], SshShell]]:
    opened: list[SshShell] = []

    def one() -> SshShell:
        opened.append(ssh.connect(sshd.address, sshd.settings()))
        return opened[-1]

    yield one
    for shell in opened:
        shell.close()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "samaops-dakar-db.lock"


def take(shell: SshShell, file: Path, rhythm: Rhythm | None = None) -> ServerLock:
    return server_lock.take(shell, str(file), OWNER, 10, rhythm)


def until_free(shell: SshShell, file: Path, seconds: float) -> float:
    """Take the lock as soon as it can be had, give it back, and return how long that was."""
    started = time.monotonic()
    while True:
        try:
            take(shell, file).release()
        except TakenError:
            assert time.monotonic() - started < seconds, "the lock is still held"
        else:
            return time.monotonic() - started


def pid_of_holder(file: Path) -> int:
    """Return the process that has the file open; the shell moves its descriptor away for a while."""
    for process in Path("/proc").glob("[0-9]*"):
        for number in ("9", "10"):
            with suppress(OSError):  # ended meanwhile, or not ours
                if (process / "fd" / number).samefile(file):
                    return int(process.name)
    raise AssertionError("nobody has it open")


def look(shell: SshShell, file: Path) -> None:
    server_lock.look(shell, str(file), 10)


def test_the_second_is_refused_and_reads_who_has_it_and_the_file_is_empty_afterwards(
    connect: Callable[[], SshShell], file: Path
) -> None:
    held = take(connect(), file)
    held.check()
    for ask in (take, look):
        with pytest.raises(TakenError) as taken:
            ask(connect(), file)
        assert taken.value.text == OWNER
    held.release()
    assert file.read_bytes() == b""
    look(connect(), file)
    take(connect(), file).release()


def test_a_look_writes_nothing(connect: Callable[[], SshShell], file: Path) -> None:
    look(connect(), file)
    assert list(file.parent.iterdir()) == []


def test_it_is_free_at_once_when_the_connection_ends(connect: Callable[[], SshShell], file: Path) -> None:
    owner = connect()
    held = take(owner, file)
    owner.close()
    assert until_free(connect(), file, 10) < 5
    with pytest.raises(ClientError):
        held.check()


def test_silence_releases_it_within_its_bound_and_the_owner_is_told(
    connect: Callable[[], SshShell], file: Path
) -> None:
    held = take(connect(), file, MUTE)
    until_free(connect(), file, MUTE.silence_seconds + 10)
    for _time in range(2):
        with pytest.raises(ClientError) as lost:
            held.check()
        assert lost.value.kind is FailureKind.CLOSED
    assert file.read_bytes() == b""


def test_a_beating_heart_keeps_it_beyond_the_bound(connect: Callable[[], SshShell], file: Path) -> None:
    held = take(connect(), file, Rhythm(beat_seconds=0.2, answer_seconds=2, silence_seconds=1))
    other, ends_at = connect(), time.monotonic() + 2.5
    while time.monotonic() < ends_at:
        with pytest.raises(TakenError):
            look(other, file)
    held.check()


def test_a_holder_that_is_killed_leaves_nothing_that_holds_it(
    connect: Callable[[], SshShell], file: Path
) -> None:
    held = take(connect(), file)
    os.kill(pid_of_holder(file), signal.SIGKILL)
    until_free(connect(), file, 5)
    with pytest.raises(ClientError, match="closed"):
        held.check()


def test_a_file_that_was_removed_is_a_lost_lock(connect: Callable[[], SshShell], file: Path) -> None:
    held = take(connect(), file)
    file.unlink()
    with pytest.raises(ClientError):
        held.check()
    assert not file.exists(), "what lies there now may be another's"


@pytest.mark.parametrize(
    "content", [b"[1, 2]", b"\x1b[31m\x00\xff\n\nheld\n", b"A" * 100_000, b"$(touch owned) `touch owned`\n"]
)
def test_what_somebody_wrote_into_the_file_is_only_text(
    connect: Callable[[], SshShell], file: Path, content: bytes
) -> None:
    held = take(connect(), file)
    file.write_bytes(content)
    for ask in (take, look):
        with pytest.raises(TakenError) as taken:
            ask(connect(), file)
        assert len(taken.value.text) <= 4 * 4000
        assert "\n" not in taken.value.text
    held.release()


def test_a_full_disk_leaves_it_without_a_name(connect: Callable[[], SshShell], file: Path) -> None:
    shell = connect()
    private(shell, "ulimit -f 0; trap '' XFSZ; {}")
    held = take(shell, file)
    assert file.read_bytes() == b""
    with pytest.raises(TakenError):
        take(connect(), file)
    held.release()


def test_a_holder_that_wrote_no_name_is_named_by_the_kernel(
    connect: Callable[[], SshShell], file: Path
) -> None:
    held = take(connect(), file)
    file.write_bytes(b"")
    with pytest.raises(TakenError) as taken:
        take(connect(), file)
    owner = read_owner(taken.value.text)
    assert owner is not None
    assert (owner.user, owner.host) == (getpass.getuser(), os.uname().nodename)
    assert owner.pid == pid_of_holder(file)
    held.release()
    file.write_bytes(b"")
    with subprocess.Popen(["flock", str(file), "sleep", "60"]) as foreign:
        ends_at = time.monotonic() + 10
        while (owner := holder(connect(), file)) is None or owner.pid != foreign.pid:
            assert time.monotonic() < ends_at, owner
        foreign.terminate()


def holder(shell: SshShell, file: Path) -> Owner | None:
    try:
        take(shell, file).release()
    except TakenError as taken:
        return read_owner(taken.text)
    return None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a directory away")
@pytest.mark.parametrize(
    ("mode", "owner", "group", "said"),
    [
        (0o1777, 0, 0, "everybody may write to it"),
        (0o770, 0, 54321, "which is not ours"),
        (0o700, 54321, 0, "belongs to another user"),
    ],
)
def test_a_place_where_others_could_hold_it_is_refused(
    connect: Callable[[], SshShell], file: Path, mode: int, owner: int, group: int, said: str
) -> None:
    os.chown(file.parent, owner, group)
    file.parent.chmod(mode)
    try:
        assert all(said in words for words in cannot(connect(), file))
        assert not file.exists()
    finally:
        os.chown(file.parent, 0, 0)


def test_the_file_is_for_the_group_alone(connect: Callable[[], SshShell], file: Path) -> None:
    take(connect(), file).release()
    assert stat.S_IMODE(file.stat().st_mode) == 0o660
    file.chmod(0o666)
    take(connect(), file).release()
    assert stat.S_IMODE(file.stat().st_mode) == 0o660


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount")
@pytest.mark.parametrize("user", ["root", "nobody"])
def test_where_the_usual_place_is_missing_root_makes_it_and_others_lock_under_their_home(
    connect: Callable[[], SshShell], tmp_path: Path, user: str
) -> None:
    shell, place = connect(), tmp_path / "home"
    place.mkdir()
    shutil.chown(place, user)
    for above in (
        tmp_path,
        *(parent for parent in tmp_path.parents if parent.name.startswith(("pytest", "popen"))),
    ):
        above.chmod(0o755)
    become = f"setpriv --reuid={user} --clear-groups" if user != "root" else "env"
    private(
        shell, f"unshare -m sh -c 'mount -t tmpfs none /run && HOME={place} exec {become} \"$@\"' sh {{}}"
    )
    usual = Path("/run/samaops/samaops-dakar-db.lock")
    look(shell, usual)
    assert list(place.iterdir()) == []
    held = take(shell, usual)
    held.check()
    assert [path.name for path in place.rglob("*.lock")] == [usual.name][: user != "root"]
    held.release()


def private(shell: SshShell, around: str) -> None:
    """Let this connection's commands run inside other words."""
    converse, run = shell.converse, shell.run
    shell.converse = lambda command, timeout: converse(around.format(command), timeout)  # type: ignore[method-assign]
    shell.run = lambda command, timeout, stdin=b"": run(around.format(command), timeout, stdin)  # type: ignore[method-assign]


def cannot(shell: SshShell, file: Path) -> list[str]:
    """Return why the lock cannot be taken, for one who tries and for one who looks."""
    said = []
    for ask in (take, look):
        with pytest.raises(ClientError) as refused:
            ask(shell, file)
        assert (refused.value.kind, refused.value.stage) == (FailureKind.MISSING, server_lock.STAGE)
        said.append(refused.value.message)
    return said


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount")
def test_a_read_only_place_is_said(connect: Callable[[], SshShell], file: Path) -> None:
    shell = connect()
    mount = f"mount -t tmpfs -o ro,mode=700 none {shlex.quote(str(file.parent))}"
    private(shell, f"unshare -m sh -c '{mount} && exec \"$@\"' sh {{}}")
    tried, looked = cannot(shell, file)
    assert tried == f"{file}: Read-only file system"
    assert looked == f"{file.parent}: not writable"


def test_a_server_without_flock_is_said(connect: Callable[[], SshShell], file: Path, tmp_path: Path) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("env", "sh", "head", "tr", "timeout", "dd", "stat", "id"):
        (programs / name).symlink_to(str(shutil.which(name)))
    shell = connect()
    private(shell, f"PATH={programs} {{}}")
    assert cannot(shell, file) == ["flock: not found"] * 2


def test_links_pipes_and_directories_are_not_touched(connect: Callable[[], SshShell], file: Path) -> None:
    precious = file.with_name("precious")
    precious.write_text("mine")
    file.symlink_to(precious)
    assert cannot(connect(), file) == [f"{file}: a link"] * 2
    file.unlink()
    os.mkfifo(file)
    assert cannot(connect(), file) == [f"{file}: not a file"] * 2
    file.unlink()
    file.mkdir()
    assert cannot(connect(), file) == [f"{file}: not a file"] * 2
    assert precious.read_text() == "mine"
    assert cannot(connect(), file / "missing" / "x.lock")[1] == f"{file}/missing: not writable"


def test_what_a_login_prints_of_its_own_is_no_answer(connect: Callable[[], SshShell], file: Path) -> None:
    shell = connect()
    private(shell, "printf 'Welcome\\nheld\\n'; {}")
    look(shell, file)
    held = take(shell, file)
    held.check()
    for ask in (take, look):
        with pytest.raises(TakenError) as taken:
            ask(shell, file)
        assert taken.value.text == OWNER
    held.release()


def test_an_account_that_may_run_nothing_is_said_in_its_own_words(
    connect: Callable[[], SshShell], file: Path
) -> None:
    shell = connect()
    private(shell, "echo This account is not available; exit 1; {}")
    for ask in (take, look):
        with pytest.raises(ClientError, match="This account is not available"):
            ask(shell, file)


def test_a_server_that_never_answers_does_not_hold_us_up(connect: Callable[[], SshShell], file: Path) -> None:
    shell = connect()
    private(shell, "exec sleep 20; {}")
    started = time.monotonic()
    with pytest.raises(ClientError) as refused:
        server_lock.take(shell, str(file), OWNER, 0.5)
    assert refused.value.kind is FailureKind.NO_ANSWER
    assert time.monotonic() - started < 5
