"""SSH against a real sshd, and against everything that only looks like one."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import paramiko
import pytest

from samaops.clients import footprint, ssh
from samaops.clients.errors import ClientError
from samaops.clients.shell import MAX_OUTPUT_BYTES
from samaops.clients.ssh import SshShell
from samaops.config.settings import Ssh
from samaops.model.failure import FailureKind
from tests.service import faulty
from tests.service.postgres_server import eventually
from tests.service.ssh_server import SshServer, listening, make_key, running_sshd

pytestmark = pytest.mark.service


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshServer]:
    with running_sshd(tmp_path_factory.mktemp("sshd")) as server:
        yield server


@pytest.fixture
def shell(sshd: SshServer) -> Iterator[SshShell]:
    opened = ssh.connect(sshd.address, sshd.settings())
    yield opened
    opened.close()


def failure_of(address: str, settings: Ssh) -> ClientError:
    with pytest.raises(ClientError) as caught:
        ssh.connect(address, settings)
    return caught.value


def test_a_command_runs_under_the_c_locale_and_tells_how_it_ended(shell: SshShell) -> None:
    done = shell.run("printf '%s' \"$LC_ALL\"; echo oops >&2; exit 3", 5)
    assert (done.exit_code, done.stdout, done.stderr) == (3, "C", "oops\n")


def test_a_script_on_standard_input_runs(shell: SshShell) -> None:
    done = shell.run("sh -s -- one", 5, stdin=b'echo "got $1"\n')
    assert done.stdout == "got one\n"


def test_output_that_is_not_utf8_is_escaped(shell: SshShell) -> None:
    assert shell.run(r"printf 'a\377b'", 5).stdout == "a\\xffb"


def test_many_commands_share_one_connection_side_by_side(shell: SshShell) -> None:
    started = time.monotonic()
    with ThreadPoolExecutor(12) as threads:
        ended = list(threads.map(lambda number: shell.run(f"sleep 1; echo {number}", 20), range(12)))
    assert [one.stdout for one in ended] == [f"{number}\n" for number in range(12)]
    assert time.monotonic() - started < 12 * 1


def test_a_command_that_does_not_end_is_cut_and_gone_from_the_server(shell: SshShell) -> None:
    started = time.monotonic()
    with pytest.raises(ClientError) as caught:
        shell.run("exec sleep 987.25", 0.5)
    assert caught.value.kind is FailureKind.NO_ANSWER
    assert time.monotonic() - started < 1.5
    assert shell.run("echo still here", 5).stdout == "still here\n"
    ends_at = time.monotonic() + 10
    while shell.run("pgrep -f '[s]leep 987.25'", 5).exit_code == 0:
        assert time.monotonic() < ends_at, "the command still runs on the server"
        time.sleep(0.1)


def test_endless_output_is_cut(shell: SshShell) -> None:
    with pytest.raises(ClientError, match=str(MAX_OUTPUT_BYTES)):
        shell.run("yes", 20)


def test_a_flood_on_standard_error_does_not_block_the_command(shell: SshShell) -> None:
    done = shell.run("head -c 3000000 /dev/zero >&2; echo done", 20)
    assert (done.stdout, len(done.stderr)) == ("done\n", 3000000)


def test_a_server_that_freezes_after_the_log_in_costs_the_timeout_only(tmp_path: Path) -> None:
    with running_sshd(tmp_path) as server:
        opened = ssh.connect(server.address, server.settings())
        session_pid = int(opened.run('cut -d " " -f 4 /proc/$PPID/stat; :', 5).stdout)
        pids = [session_pid, *_ancestors(session_pid, server.process.pid)]
        for pid in pids:
            _signal(pid, signal.SIGSTOP)
        try:
            started = time.monotonic()
            with pytest.raises(ClientError) as caught:
                opened.run("echo never", 1)
            assert caught.value.kind is FailureKind.NO_ANSWER
            assert time.monotonic() - started < 2
        finally:
            for pid in pids:
                _signal(pid, signal.SIGCONT)
            opened.close()


def _signal(pid: int, number: signal.Signals) -> None:

    os.kill(pid, number)


def _ancestors(pid: int, until: int) -> Iterator[int]:
    while True:
        pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        if pid in (until, 1, 0):
            return
        yield pid


def test_a_connection_that_breaks_says_closed(sshd: SshServer) -> None:
    opened = ssh.connect(sshd.address, sshd.settings())
    opened.close()
    with pytest.raises(ClientError) as caught:
        opened.run("true", 2)
    assert caught.value.kind is FailureKind.CLOSED


def test_a_connection_that_breaks_says_closed_though_its_thread_is_slow_to_see_it(
    sshd: SshServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = vars(paramiko.Transport)["_log"]

    def slowly(transport: paramiko.Transport, *words: Any) -> None:
        time.sleep(0.1 if threading.current_thread() is transport else 0)
        real(transport, *words)

    opened = ssh.connect(sshd.address, sshd.settings())
    monkeypatch.setattr(paramiko.Transport, "_log", slowly)
    opened.close()
    with pytest.raises(ClientError) as caught:
        opened.run("true", 2)
    assert caught.value.kind is FailureKind.CLOSED


def test_the_footprint_counts_connection_commands_and_bytes(sshd: SshServer) -> None:
    tally = footprint.open_tally()
    opened = ssh.connect(sshd.address, sshd.settings())
    opened.run("printf 12345", 5)
    opened.close()
    counted = tally.footprint()
    assert (counted.connections, counted.commands, counted.bytes_read) == (1, 1, 5)


def test_an_unknown_host_key_is_refused_and_the_message_says_how_to_check_it(
    sshd: SshServer, tmp_path: Path
) -> None:
    known_hosts = tmp_path / "none"
    error = failure_of(sshd.address, sshd.settings(known_hosts=known_hosts))
    assert error.kind is FailureKind.HOST_KEY
    for words in ("SHA256:", "ssh-keyscan", "ssh-keygen -lf", str(sshd.port), str(known_hosts)):
        assert words in error.message
    assert not known_hosts.exists()


def test_a_changed_host_key_is_refused(sshd: SshServer, tmp_path: Path) -> None:
    make_key(tmp_path / "other")
    kind, key, *_comment = (tmp_path / "other.pub").read_text().split()
    known_hosts = tmp_path / "known_hosts"
    known_hosts.write_text(f"[127.0.0.1]:{sshd.port} {kind} {key}\n")
    error = failure_of(sshd.address, sshd.settings(known_hosts=known_hosts))
    assert error.kind is FailureKind.HOST_KEY
    assert "another machine" in error.message


def test_a_machine_that_takes_the_place_of_a_server_during_a_run_is_asked_nothing(tmp_path: Path) -> None:
    with running_sshd(tmp_path) as server:
        shell = ssh.connect(server.address, server.settings())
        assert shell.run("echo $PPID", 5).exit_code == 0
        session = int(shell.run("ps -o ppid= -p $PPID", 5).stdout)
    for name in ("host", "host.pub"):
        (tmp_path / name).unlink()
    make_key(tmp_path / "host")
    with listening(tmp_path, server.port) as other:
        os.kill(session, signal.SIGTERM)  # what was opened before ends with its server
        with pytest.raises(ClientError) as caught:
            shell.run("echo done by the wrong machine", 5)
        assert caught.value.kind in (FailureKind.CLOSED, FailureKind.NO_ANSWER)
        assert failure_of(other.address, other.settings()).kind is FailureKind.HOST_KEY
    shell.close()


def test_a_hashed_known_hosts_entry_is_found(sshd: SshServer, tmp_path: Path) -> None:
    known_hosts = tmp_path / "known_hosts"
    known_hosts.write_bytes((sshd.directory / "known_hosts").read_bytes())
    subprocess.run(
        ["ssh-keygen", "-q", "-H", "-f", str(known_hosts)], check=True, capture_output=True, timeout=30
    )
    assert known_hosts.read_bytes().startswith(b"|1|")
    ssh.connect(sshd.address, sshd.settings(known_hosts=known_hosts)).close()


def test_a_missing_key_file_is_named(sshd: SshServer, tmp_path: Path) -> None:
    error = failure_of(sshd.address, sshd.settings(key_file=tmp_path / "nowhere"))
    assert error.kind is FailureKind.MISSING
    assert str(tmp_path / "nowhere") in error.message


@pytest.mark.parametrize(
    "content", [b"", b"not a key", b"-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n", b"\xff\xfe"]
)
def test_a_file_that_is_no_key_is_named(sshd: SshServer, tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "key"
    file.write_bytes(content)
    error = failure_of(sshd.address, sshd.settings(key_file=file))
    assert error.kind is FailureKind.MISSING
    assert str(file) in error.message


def test_a_key_with_a_passphrase_is_said_to_need_it(sshd: SshServer, tmp_path: Path) -> None:
    make_key(tmp_path / "locked", "-N", "very secret")
    error = failure_of(sshd.address, sshd.settings(key_file=tmp_path / "locked"))
    assert error.kind is FailureKind.MISSING
    assert "passphrase" in error.message


def test_a_key_that_the_server_does_not_know_is_an_authentication_failure(
    sshd: SshServer, tmp_path: Path
) -> None:
    make_key(tmp_path / "stranger")
    error = failure_of(sshd.address, sshd.settings(key_file=tmp_path / "stranger"))
    assert error.kind is FailureKind.AUTHENTICATION


def test_a_closed_port_is_refused() -> None:
    with faulty.refused_port() as (host, port):
        assert failure_of(host, Ssh(port=port, timeout=2)).kind is FailureKind.REFUSED


def test_a_dropped_connection_is_silence() -> None:
    with faulty.silent() as (host, port):
        started = time.monotonic()
        assert failure_of(host, Ssh(port=port, timeout=1)).kind is FailureKind.SILENT
        assert time.monotonic() - started < 2


def test_a_server_that_accepts_and_says_nothing_is_hung() -> None:
    with faulty.hanging() as (host, port):
        started = time.monotonic()
        assert failure_of(host, Ssh(port=port, timeout=1)).kind is FailureKind.NO_ANSWER
        assert time.monotonic() - started < 2


def test_a_server_that_hangs_up_at_once_is_closed() -> None:
    with faulty.closing() as (host, port):
        assert failure_of(host, Ssh(port=port, timeout=2)).kind is FailureKind.CLOSED


@pytest.mark.parametrize(
    "data", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x00\xff\x01", b"[red]hello[/red]\n", b"S\n"]
)
def test_a_server_of_another_protocol_is_garbage(data: bytes) -> None:
    with faulty.garbage(data) as (host, port):
        error = failure_of(host, Ssh(port=port, timeout=2))
        assert error.kind is FailureKind.GARBAGE
        assert "\x00" not in error.message


def test_garbage_after_a_right_banner_is_not_taken_for_an_answer() -> None:
    with faulty.garbage(b"SSH-2.0-OpenSSH_9.2\r\n" + b"\xff" * 4000) as (host, port):
        error = failure_of(host, Ssh(port=port, timeout=2))
        assert error.kind in (FailureKind.GARBAGE, FailureKind.CLOSED)


@pytest.mark.parametrize("first", [b"SSH-2.0-OpenSSH_9.2\r\n", b"SSH-", b"S"])
def test_a_dripping_server_costs_no_more_than_the_timeout(first: bytes) -> None:
    with faulty.dripping(first, every_seconds=0.3) as (host, port):
        started = time.monotonic()
        error = failure_of(host, Ssh(port=port, timeout=1.5))
        assert error.kind in (FailureKind.NO_ANSWER, FailureKind.GARBAGE)
        assert time.monotonic() - started < 2.5


def test_an_sshd_with_too_many_log_ins_is_unavailable() -> None:
    with faulty.garbage(b"Exceeded MaxStartups\r\n") as (host, port):
        error = failure_of(host, Ssh(port=port, timeout=2))
        assert error.kind is FailureKind.UNAVAILABLE
        assert "MaxStartups" in error.message


def test_a_name_that_does_not_resolve_is_a_name_failure() -> None:
    assert failure_of("no-such-host.invalid", Ssh(timeout=5)).kind is FailureKind.NAME


def test_nothing_is_left_after_many_failures() -> None:
    before = threading.active_count()
    with faulty.garbage(b"SSH-2.0-x\r\n\x00\x00") as (host, port):
        for _number in range(3):
            failure_of(host, Ssh(port=port, timeout=0.3))
    ends_at = time.monotonic() + 5
    while threading.active_count() > before:
        assert time.monotonic() < ends_at, [one.name for one in threading.enumerate()]
        time.sleep(0.05)


def test_logging_in_is_quick(sshd: SshServer) -> None:
    started = time.monotonic()
    opened = ssh.connect(sshd.address, sshd.settings())
    opened.run("true", 5)
    opened.close()
    assert time.monotonic() - started < 2  # usually 0.15 s; the machine may be busy
    assert socket.getdefaulttimeout() is None


def test_an_account_that_may_not_run_commands_is_never_taken_for_an_answer(tmp_path: Path) -> None:
    with running_sshd(tmp_path, "ForceCommand echo this account is closed; exit 1") as server:
        try:
            opened = ssh.connect(server.address, server.settings())
        except ClientError as error:
            assert "this account is closed" in error.message  # noqa: PT017 - either moment is right
            return
        try:
            done = opened.run("echo 42", 5)
            assert (done.exit_code, done.stdout) == (1, "this account is closed\n")
        except ClientError as error:
            assert error.kind is FailureKind.CLOSED  # noqa: PT017
            assert "this account is closed" in error.message  # noqa: PT017
        finally:
            opened.close()


def test_words_before_the_banner_are_passed_over(sshd: SshServer) -> None:
    with forwarding(sshd, b"Welcome\r\nto this machine\r\n") as port:
        known_hosts = sshd.directory / f"known_{port}"
        kind, key, *_comment = (sshd.directory / "host.pub").read_text().split()
        known_hosts.write_text(f"[127.0.0.1]:{port} {kind} {key}\n")
        ssh.connect(sshd.address, sshd.settings(port=port, known_hosts=known_hosts)).close()


@contextmanager
def forwarding(sshd: SshServer, first: bytes) -> Iterator[int]:
    """Yield a port that says something and then hands all on to an sshd and back."""

    def pump(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while block := source.recv(65536):
                target.sendall(block)

    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            here, _address = listener.accept()
            with here, socket.create_connection((sshd.address, sshd.port)) as there:
                here.sendall(first)
                threading.Thread(target=pump, args=(here, there), daemon=True).start()
                pump(there, here)

        threading.Thread(target=serve, daemon=True).start()
        yield listener.getsockname()[1]


def test_a_server_that_floods_before_it_has_proved_who_it_is_gets_no_memory() -> None:
    flood = b"SSH-2.0-x\r\n" + b"\x00\xff\xff\xf4" + b"x" * 8_000_000
    with faulty.garbage(flood) as (host, port):
        error = failure_of(host, Ssh(port=port, timeout=5))
        assert error.kind is FailureKind.GARBAGE


def test_neither_side_waits_for_acknowledgements(shell: SshShell) -> None:
    connection = shell._transports[0].sock
    assert isinstance(connection, socket.socket)
    shell.run("true", 5)
    assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1

    def is_set() -> bool:
        shell.run("true", 5)
        return connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK) == 1

    eventually(is_set, 10)  # Linux forgets it with a packet that comes at this very moment


def test_input_that_is_larger_than_any_buffer_goes_in_while_the_output_comes_out(shell: SshShell) -> None:
    data = b"0123456789abcdef" * 200_000
    assert shell.run("cat", 20, stdin=data).stdout == data.decode()


def test_a_command_that_does_not_read_its_input_ends_well(shell: SshShell) -> None:
    assert shell.run("exec <&-; echo enough", 10, stdin=b"x" * 8_000_000).stdout == "enough\n"


def test_a_command_that_a_signal_ends_has_the_exit_code_of_ssh(shell: SshShell) -> None:
    assert shell.run("kill -KILL $$", 5).exit_code == 255
    assert shell.run("echo still here", 5).stdout == "still here\n"


@pytest.mark.parametrize("most", [1, 2, 3])
def test_a_server_with_few_sessions_gets_its_commands_one_after_the_other(tmp_path: Path, most: int) -> None:
    with running_sshd(tmp_path, f"MaxSessions {most}") as server:
        opened = ssh.connect(server.address, server.settings())
        with ThreadPoolExecutor(6) as threads:
            ended = list(threads.map(lambda number: opened.run(f"echo {number}", 30), range(6)))
        opened.close()
    assert [done.stdout for done in ended] == [f"{number}\n" for number in range(6)]


@pytest.mark.parametrize("most", [1, 2])
def test_a_conversation_that_holds_the_session_leaves_commands_another_connection(
    tmp_path: Path, most: int
) -> None:
    with running_sshd(tmp_path, f"MaxSessions {most}") as server:
        opened = ssh.connect(server.address, server.settings())
        talks = [opened.converse("cat", 10) for _number in range(most)]
        assert [opened.run(f"echo {number}", 30).stdout for number in range(2)] == ["0\n", "1\n"]
        assert [talk.ask("here", 10) for talk in talks] == ["here"] * most
        opened.close()
        assert (tmp_path / "sshd.log").read_text().count("Accepted publickey") == 2


def test_a_server_without_sessions_says_so_and_not_that_nobody_can_log_in(tmp_path: Path) -> None:
    with running_sshd(tmp_path, "MaxSessions 0") as server:
        opened = ssh.connect(server.address, server.settings())
        for ask in (lambda: opened.run("true", 2), lambda: opened.converse("cat", 2)):
            with pytest.raises(ClientError, match="MaxSessions") as caught:
                ask()
            assert (caught.value.kind, caught.value.stage) == (FailureKind.ERROR, "ssh session")
        opened.close()


def test_a_hundred_connections_are_opened_side_by_side_and_five_that_hang_delay_nobody(
    tmp_path: Path,
) -> None:
    with running_sshd(tmp_path, "MaxStartups 200:30:300") as server, faulty.hanging() as hung:
        settings = server.settings(timeout=60)

        def log_in(number: int) -> SshShell | str:
            if number % 20 == 7:
                return failure_of(hung[0], Ssh(port=hung[1], timeout=3)).kind.value
            return ssh.connect(server.address, settings)

        with ThreadPoolExecutor(100) as threads:
            opened = list(threads.map(log_in, range(100)))
            assert [number for number, shell in enumerate(opened) if shell == "no_answer"] == [
                *(7, 27, 47, 67, 87)
            ]
            for number in range(0, 100, 20):
                shell = opened[number]
                assert isinstance(shell, SshShell)
                assert shell.run(f"echo {number}", 30).stdout == f"{number}\n"
        for shell in opened:
            if isinstance(shell, SshShell):
                shell.close()


def test_a_server_that_speaks_only_what_we_do_not_says_what(tmp_path: Path) -> None:
    with running_sshd(tmp_path, "Ciphers chacha20-poly1305@openssh.com") as server:
        error = failure_of(server.address, server.settings())
    assert (error.kind, error.stage) == (FailureKind.ERROR, "ssh handshake")
    assert "cipher" in error.message


PROGRAM = """
import sys
from pathlib import Path
from samaops.clients import ssh
from samaops.config.settings import Ssh
user, port, key_file, known_hosts = sys.argv[1:]
shell = ssh.connect('127.0.0.1', Ssh(user=user, port=int(port), key_file=Path(key_file), known_hosts=Path(known_hosts)))
print(shell.run('echo $PPID', 30).stdout, flush=True)
sys.stdin.readline()
"""


@contextmanager
def program(server: SshServer) -> Iterator[subprocess.Popen[bytes]]:
    """Yield another process that has logged in, and has said which process serves it there."""
    settings = server.settings()
    words = [settings.user, str(settings.port), str(settings.key_file), str(settings.known_hosts)]
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def test_a_program_that_ends_or_is_killed_takes_its_connection_with_it_at_once(tmp_path: Path) -> None:
    with running_sshd(tmp_path) as server:
        for end in ("ends", "is killed"):
            with program(server) as process:
                assert process.stdout is not None
                process.stdout.readline()
                assert children_of(server.process.pid), "nobody serves it"
                assert children_of(process.pid) == [], "no program of ours has the key"
                started = time.monotonic()
                if end == "ends":
                    _out, errors = process.communicate(b"\n", timeout=10)
                    assert (process.returncode, errors) == (0, b"")
                else:
                    process.kill()
                    process.wait(10)
                assert time.monotonic() - started < 3
            ends_at = time.monotonic() + 10
            while children_of(server.process.pid):
                assert time.monotonic() < ends_at, "the connection outlives the program"
                time.sleep(0.05)


def children_of(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def test_nothing_is_written_of_a_failure(capfd: pytest.CaptureFixture[str]) -> None:
    with faulty.garbage(b"SSH-2.0-OpenSSH_9.2\r\n" + b"\xff" * 4000) as (host, port):
        failure_of(host, Ssh(port=port, timeout=2))
    assert capfd.readouterr() == ("", "")
