"""The dialler that connects for ssh: what it hands over, and what it says when it cannot."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from samaops.clients import ssh, ssh_dial
from tests.service import faulty
from tests.service.ssh_server import running_sshd

pytestmark = pytest.mark.service


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def dial(host: str, port: int, seconds: float = 5) -> tuple[int, str, list[int]]:
    """Return the exit code, what was said, and the descriptors that were handed over."""
    ours, theirs = socket.socketpair()
    words = [sys.executable, "-I", "-S", ssh_dial.__file__, host, str(port), str(seconds)]
    done = subprocess.run(
        words, stdout=theirs.fileno(), stderr=subprocess.PIPE, text=True, timeout=20, check=False
    )
    theirs.close()
    with ours:
        _data, descriptors, _flags, _address = socket.recv_fds(ours, 1, 4)
    return done.returncode, done.stderr, descriptors


def test_the_connection_does_not_wait_for_acknowledgements(listener: socket.socket) -> None:
    code, said, descriptors = dial(*listener.getsockname())
    assert code == 0
    assert "Connection established" in said
    (descriptor,) = descriptors
    with socket.socket(fileno=descriptor) as connection:
        assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
        assert connection.getpeername() == listener.getsockname()
        assert os.get_blocking(descriptor)


def test_the_next_address_of_a_name_is_tried(listener: socket.socket) -> None:
    addresses = {found[4][0] for found in socket.getaddrinfo("localhost", 0, type=socket.SOCK_STREAM)}
    code, said, descriptors = dial("localhost", listener.getsockname()[1])
    for descriptor in descriptors:
        os.close(descriptor)
    assert (code, len(descriptors)) == (0, 1)
    # Nobody listens on ::1, which comes first where the machine has it.
    assert ("Connection refused" in said) == (len(addresses) > 1)


def test_a_closed_port_is_said_in_the_words_of_ssh() -> None:
    with faulty.refused_port() as (host, port):
        code, said, descriptors = dial(host, port)
    assert (code, descriptors) == (1, [])
    assert f"ssh: connect to host {host} port {port}: Connection refused" in said


def test_silence_ends_at_the_limit() -> None:
    with faulty.silent() as (host, port):
        started = time.monotonic()
        code, said, _descriptors = dial(host, port, 0.3)
    assert code == 1
    assert f"ssh: connect to host {host} port {port}: Connection timed out" in said
    assert time.monotonic() - started < 5


def test_a_name_that_does_not_resolve_is_said_in_the_words_of_ssh() -> None:
    code, said, _descriptors = dial("no-such-host.invalid", 22)
    assert code == 1
    assert "ssh: Could not resolve hostname no-such-host.invalid: " in said


def test_no_word_of_a_path_is_taken_for_the_shells_or_for_sshs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hostile = tmp_path / "a b'; exit 1 %h $(exit)"
    hostile.symlink_to(sys.executable)
    with running_sshd(tmp_path) as server:
        monkeypatch.setattr(sys, "executable", str(hostile))
        shell = ssh.connect(server.address, server.settings())
        try:
            assert shell.run("echo in", 5).stdout == "in\n"
        finally:
            shell.close()
