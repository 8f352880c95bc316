"""Files that users and configurations name: without waiting for ever, up to a limit, and of nobody else where root trusts them."""

from __future__ import annotations

import os
import stat
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from samaops.clients import known_hosts, ssh_keys, tls
from samaops.clients.errors import ClientError
from samaops.collect import store
from samaops.config import documents, files, load, places, playbooks
from samaops.config.secrets import LARGEST_BYTES, Secret
from samaops.config.settings import Playbooks, Settings
from samaops.errors import ConfigurationError, UsageError
from samaops.journal import digests
from samaops.journal.database import HistoryError
from samaops.journal.history import Journal
from samaops.journal.lock import UNKNOWN, FileLock
from samaops.workflows.maintenance import announce

Read = Callable[[Path], object]
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="what root trusts is asked as root")


def _secret(path: Path) -> object:
    return Secret(file=path).reveal()


def _playbook(path: Path) -> object:
    return playbooks.load(path)


def _own_key(path: Path) -> object:
    return ssh_keys.own(path, time.monotonic() + 1)


# Every reader of a file that a configuration, a command line or samaops itself names, and its error.
READERS: dict[str, tuple[Read, type[Exception]]] = {
    "configuration": (load.load, ConfigurationError),
    "saved look": (store.load, UsageError),
    "secret": (_secret, ConfigurationError),
    "playbook": (_playbook, ConfigurationError),
    "key": (_own_key, ClientError),
    "authorities": (tls.verifying, ClientError),
    "the only authorities": (tls.chain_only, ClientError),
    "known hosts": (lambda path: known_hosts.read(path, "db", 22), OSError),
}


@pytest.fixture(params=READERS, ids=str)
def reader(request: pytest.FixtureRequest) -> tuple[Read, type[Exception]]:
    return READERS[request.param]


def test_a_named_pipe_without_a_writer_is_refused_at_once(
    tmp_path: Path, reader: tuple[Read, type[Exception]]
) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe, 0o600)
    with pytest.raises(reader[1], match="named pipe"):
        reader[0](pipe)


@pytest.mark.parametrize("device", ["/dev/zero", "/dev/tty", "/dev/null"])
def test_a_device_is_never_opened(device: str, reader: tuple[Read, type[Exception]]) -> None:
    with pytest.raises(reader[1], match="not a regular file"):
        reader[0](Path(device))


def test_a_file_that_is_too_large_is_refused(tmp_path: Path, reader: tuple[Read, type[Exception]]) -> None:
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.truncate(100 * 1024 * 1024)  # a hole: it takes no place
    path.chmod(0o600)
    with pytest.raises(reader[1], match="too large"):
        reader[0](path)


def test_a_directory_is_no_file(tmp_path: Path, reader: tuple[Read, type[Exception]]) -> None:
    with pytest.raises(reader[1], match="Is a directory"):
        reader[0](tmp_path)


def test_a_pipe_of_the_shell_is_read_to_its_end() -> None:
    reading, writing = os.pipe()

    def write() -> None:
        os.write(writing, b"all of it")
        os.close(writing)

    threading.Timer(0.2, write).start()
    try:
        assert files.read_trusted(Path(f"/dev/fd/{reading}"), 100) == b"all of it"
    finally:
        os.close(reading)


def test_a_pipe_of_the_shell_that_never_ends_is_not_waited_for() -> None:
    reading, writing = os.pipe()
    try:
        with pytest.raises(OSError, match="in time"):
            files.read(Path(f"/dev/fd/{reading}"), 100, seconds=0.1)
    finally:
        os.close(reading)
        os.close(writing)


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (("yes",), "more than 65536 bytes"),
        (("sh", "-c", "sleep 987.5 & echo secret"), "did not end within"),
        (("sleep", "987.5"), "did not end within"),
        (("sh", "-c", "echo secret; exit 3"), "exit code 3"),
        (("printf", r"\377"), "not text"),
        (("/no/such/program",), "No such file"),
        (("a\0b",), "ValueError"),
    ],
)
def test_a_command_that_gives_no_secret_is_ended_and_says_why(
    monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...], reason: str
) -> None:
    monkeypatch.setattr("samaops.config.secrets.COMMAND_TIMEOUT_SECONDS", 0.5)
    started = time.monotonic()
    with pytest.raises(ConfigurationError, match=reason) as caught:
        Secret(command=command).reveal()
    assert time.monotonic() - started < 4
    assert "secret)" not in str(caught.value)
    left = ["pgrep", "-f", "[s]leep 987.5"]
    ends_at = time.monotonic() + 5
    while subprocess.run(left, check=False, stdout=subprocess.DEVNULL).returncode == 0:
        assert time.monotonic() < ends_at, "a child is left"
        time.sleep(0.05)


def test_a_secret_of_the_largest_size_is_one(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_bytes(b"x" * LARGEST_BYTES)
    assert len(Secret(file=path).reveal()) == LARGEST_BYTES


def test_a_command_for_a_secret_must_have_a_word(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text("[redis]\npassword = {command = []}")
    with pytest.raises(ConfigurationError, match=r"redis\.password: a secret is"):
        load.load(path)


def test_a_command_for_a_secret_gets_a_short_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAMAOPS_REDIS__PASSWORD", "of-another-system")
    monkeypatch.setenv("LD_LIBRARY_PATH", "/tmp/of-others")
    names = {line.partition("=")[0] for line in Secret(command=("env",)).reveal().splitlines()}
    assert "PATH" in names
    assert not names & {"SAMAOPS_REDIS__PASSWORD", "LD_LIBRARY_PATH", "PYTHONPATH"}


# Where samaops writes.
def test_what_is_no_file_is_not_written_to(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe, 0o600)
    for path in (pipe, Path("/dev/null"), Path("/dev/full")):
        with pytest.raises(OSError, match="not a regular file"):
            files.open_to_append(path, 0o600)
        with pytest.raises(OSError, match="not a regular file"):
            files.write_private(path, b"look")
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)


def test_the_log_of_maintenance_waits_for_no_reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    pipe = tmp_path / "daily.log"
    os.mkfifo(pipe, 0o600)
    bulletin: Any = type("Bulletin", (), {"log": "all is well\n"})
    (note,) = announce.log(pipe, bulletin, ())
    own = tmp_path / "state" / "samaops" / "daily.log"
    assert note == f"The log {pipe} cannot be written: it is not a regular file; it is in {own}"
    assert own.read_text() == "all is well\n---\n"


@pytest.mark.parametrize("place", ["/dev/null", "/dev/zero", "pipe"])
def test_a_journal_that_would_keep_nothing_is_refused(tmp_path: Path, place: str) -> None:
    if place == "pipe":
        place = str(tmp_path / "pipe")
        os.mkfifo(place, 0o600)
    journal = Journal(f"sqlite:///{place}", "site")
    with pytest.raises(HistoryError, match="not a regular file"):
        journal.write("c", "begun", None, {})


def test_a_lock_that_somebody_replaced_by_a_pipe_is_read_without_waiting(tmp_path: Path) -> None:
    lock = FileLock(tmp_path / "lock")
    os.mkfifo(tmp_path / "lock")
    with Path(os.devnull).open("rb") as file:
        assert lock._written(file.fileno()) == UNKNOWN


def test_a_key_of_digests_that_is_no_file_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "samaops").mkdir()
    os.mkfifo(tmp_path / "samaops" / "digest.key")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert digests.of("x").startswith("#")


# What only looks like a small file.
@pytest.mark.parametrize(
    "text",
    [
        "a: &a [x,x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\n"
        "d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]",
        "a: &a [*a]",
        "id: " + "[" * 900,
        "id: " + "[" * 3000 + "]" * 3000,
        "id: 2026-13-45",
        "id: !!bool maybe",
        "id: !!timestamp x",
        "id: !!int ''",
        "id: !!python/object/apply:os.system [id]",
        "id: \ud800".encode("utf-8", "surrogatepass").decode("latin-1"),
    ],
)
def test_a_playbook_that_cannot_be_read_is_one_sentence(tmp_path: Path, text: str) -> None:
    (tmp_path / "own.yaml").write_text(text, encoding="latin-1")
    started = time.monotonic()
    (fault,) = playbooks.faults(Settings(playbooks=Playbooks(path=tmp_path)))
    assert fault.startswith(f"{tmp_path}/own.yaml: ")
    assert time.monotonic() - started < 5


def test_an_alias_that_makes_little_more_is_read(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text("id: own\ntitle: &words {en: Relay, fr: Relais}\nmeaning: *words\n")
    assert str(playbooks.load(path).meaning) == "Relay"
    assert documents._LARGEST_BYTES > 40_000  # the longest of ours


# What root trusts.
@pytest.fixture
def trusted(tmp_path: Path) -> Path:
    path = tmp_path / "etc" / "file"
    path.parent.mkdir(mode=0o755)
    path.write_text("site = 's'")
    path.chmod(0o600)
    return path


@as_root
@pytest.mark.parametrize("mode", [0o602, 0o620, 0o666])
def test_root_trusts_no_file_that_others_may_write(trusted: Path, mode: int) -> None:
    assert load.load(trusted).site == "s"
    trusted.chmod(mode)
    with pytest.raises(ConfigurationError, match=rf"others may write {trusted}; run: chmod go-w {trusted}"):
        load.load(trusted)


@as_root
def test_root_trusts_no_file_of_others(trusted: Path) -> None:
    os.chown(trusted, 1234, 0)
    with pytest.raises(ConfigurationError, match=rf"{trusted} belongs to user 1234; run: chown root"):
        load.load(trusted)


@as_root
def test_root_trusts_no_directory_where_others_can_replace_the_file(trusted: Path) -> None:
    trusted.parent.chmod(0o777)
    with pytest.raises(ConfigurationError, match=rf"others may write {trusted.parent};"):
        load.load(trusted)
    trusted.parent.chmod(0o1777)  # as /tmp
    assert load.load(trusted).site == "s"
    os.chown(trusted.parent, 1234, 0)
    with pytest.raises(ConfigurationError, match=rf"{trusted.parent} belongs to user 1234"):
        load.load(trusted)


@as_root
def test_root_trusts_no_link_that_others_can_turn(trusted: Path, tmp_path: Path) -> None:
    link = tmp_path / "shared" / "link"
    link.parent.mkdir()
    link.symlink_to("../etc/file")
    hop = tmp_path / "hop"
    hop.symlink_to(link)
    assert load.load(hop).site == "s"
    link.parent.chmod(0o777)
    with pytest.raises(ConfigurationError, match=rf"others may write {link.parent};"):
        load.load(hop)


@as_root
@pytest.mark.parametrize(
    "name", ["configuration", "secret", "authorities", "the only authorities", "known hosts"]
)
def test_root_reads_what_it_trusts_from_its_own_files_only(trusted: Path, name: str) -> None:
    read, error = READERS[name]
    trusted.chmod(0o666)
    with pytest.raises(error, match="root does not trust it"):
        read(trusted)


@as_root
def test_root_leaves_out_playbooks_that_others_may_write(tmp_path: Path) -> None:
    settings = Settings(playbooks=Playbooks(path=tmp_path / "own"))
    path = tmp_path / "own" / "own.yaml"
    path.parent.mkdir()
    path.write_text("id: own")
    assert "own" in playbooks.all_of(settings)
    path.chmod(0o666)
    assert "own" not in playbooks.all_of(settings)
    assert "others may write" in playbooks.faults(settings)[0]
    path.chmod(0o600)
    path.parent.chmod(0o777)
    assert "own" not in playbooks.all_of(settings)


@as_root
@pytest.mark.parametrize("before", [(), ("sh",)])
def test_root_runs_no_program_for_a_secret_that_others_may_write(
    tmp_path: Path, before: tuple[str, ...]
) -> None:
    program = tmp_path / "get"
    program.write_text("#!/bin/sh\necho word")
    program.chmod(0o755)
    secret = Secret(command=(*before, str(program)))
    assert secret.reveal() == "word"
    program.chmod(0o757)
    with pytest.raises(ConfigurationError, match="others may write"):
        secret.reveal()


@as_root
def test_root_undoes_nothing_from_a_journal_that_others_may_write(tmp_path: Path) -> None:
    path = tmp_path / "state" / "history.sqlite3"
    journal = Journal(f"sqlite:///{path}", "site")
    journal.prepare()
    journal.close()
    path.chmod(0o666)
    with pytest.raises(HistoryError, match="others may write"):
        Journal(f"sqlite:///{path}", "site").engine()


@pytest.mark.parametrize(
    "secret", [{"command": ("printf", r"canary\0-8812")}, {"env": "SPOILED"}], ids=["NUL", "no UTF-8"]
)
def test_a_secret_that_no_system_could_take_is_named_by_its_place_alone(
    monkeypatch: pytest.MonkeyPatch, secret: dict[str, object]
) -> None:
    monkeypatch.setitem(os.environ, "SPOILED", os.fsdecode(b"canary\xff-8812"))
    with pytest.raises(ConfigurationError, match="is not text") as caught:
        Secret.model_validate(secret).reveal()
    assert "8812" not in caught.value.message


def test_a_package_is_told_to_be_built_with_the_lab(monkeypatch: pytest.MonkeyPatch) -> None:
    assert places.how_to_add_the_lab() == "pip install 'samaops[lab]'"
    monkeypatch.setattr("sys.prefix", "/usr/lib/samaops/environments/1.0-python3.11.x")
    assert places.how_to_add_the_lab().endswith("scripts/package --extra lab")
