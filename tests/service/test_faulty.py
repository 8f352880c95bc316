"""The fault servers fail as they promise: the fault matrices of all clients stand on this."""

from __future__ import annotations

import socket
import ssl
import time

import pytest

from tests.service import faulty

pytestmark = pytest.mark.service


def test_a_refused_port_refuses() -> None:
    with faulty.refused_port() as address, pytest.raises(ConnectionRefusedError):
        socket.create_connection(address, timeout=2)


def test_a_silent_server_does_not_even_accept() -> None:
    with faulty.silent() as address, pytest.raises(TimeoutError):
        socket.create_connection(address, timeout=0.3)


def test_a_hanging_server_accepts_and_never_answers() -> None:
    with faulty.hanging() as address, socket.create_connection(address, timeout=0.3) as client:
        client.sendall(b"anybody?")
        with pytest.raises(TimeoutError):
            client.recv(1)


def test_a_dripping_server_is_never_silent_and_never_done() -> None:
    with (
        faulty.dripping(b"abc", every_seconds=0.1) as address,
        socket.create_connection(address, 2) as client,
    ):
        started, got = time.monotonic(), b""
        while len(got) < 6:
            got += client.recv(1)
        assert got == b"abcxxx"
        assert time.monotonic() - started >= 0.25


def test_a_closing_server_closes_at_once() -> None:
    with faulty.closing() as address, socket.create_connection(address, timeout=2) as client:
        assert client.recv(1) == b""


def test_garbage_comes_without_being_asked() -> None:
    with faulty.garbage(b"\x00junk") as address, socket.create_connection(address, timeout=2) as client:
        assert client.recv(5) == b"\x00junk"


def test_an_answering_server_waits_for_the_question() -> None:
    with faulty.answering(b"42") as address, socket.create_connection(address, timeout=2) as client:
        client.sendall(b"?")
        assert client.recv(2) == b"42"


def test_its_tls_is_trusted_by_nobody() -> None:
    context = ssl.create_default_context()
    with faulty.garbage(b"x", tls=True) as address, socket.create_connection(address, timeout=2) as client:
        with pytest.raises(ssl.SSLCertVerificationError) as refused:
            context.wrap_socket(client, server_hostname=faulty.LOOPBACK)
        assert "self-signed" in str(refused.value) or "self signed" in str(refused.value)
