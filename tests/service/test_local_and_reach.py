"""Commands on this machine, echoes and connections."""

from __future__ import annotations

import time

import pytest

from samaops.clients import reach
from samaops.clients.errors import ClientError
from samaops.clients.local import LocalShell
from samaops.clients.shell import MAX_OUTPUT_BYTES
from samaops.model.failure import FailureKind
from tests.service import faulty

pytestmark = pytest.mark.service


def test_a_local_command_has_the_face_of_a_remote_one() -> None:
    done = LocalShell().run("cat; printf '%s' \"$LC_ALL\"; printf 'a\\377' >&2; exit 4", 5, stdin=b"in ")
    assert (done.exit_code, done.stdout, done.stderr) == (4, "in C", "a\\xff")


def test_a_local_command_that_hangs_is_ended_with_its_children() -> None:
    started = time.monotonic()
    with pytest.raises(ClientError) as caught:
        LocalShell().run("sleep 986.5 & sleep 986.5", 0.3)
    assert caught.value.kind is FailureKind.NO_ANSWER
    assert time.monotonic() - started < 2
    ends_at = time.monotonic() + 5
    while LocalShell().run("pgrep -f '[s]leep 986.5'", 5).exit_code == 0:
        assert time.monotonic() < ends_at, "a child is left"
        time.sleep(0.05)


def test_endless_local_output_is_cut() -> None:
    with pytest.raises(ClientError, match=str(MAX_OUTPUT_BYTES)):
        LocalShell().run("yes", 20)


def test_a_command_that_does_not_read_its_input_ends_well() -> None:
    assert LocalShell().run("exec <&-; true", 5, stdin=b"x" * 1_000_000).exit_code == 0


def test_this_machine_answers_an_echo_or_says_that_it_is_not_allowed() -> None:
    echo = reach.ping("127.0.0.1", 1)
    assert echo.milliseconds is not None or not echo.allowed


def test_a_name_that_does_not_resolve_is_a_name_failure() -> None:
    with pytest.raises(ClientError) as caught:
        reach.ping("no-such-host.invalid", 1)
    assert caught.value.kind is FailureKind.NAME


def test_an_open_port_a_closed_one_and_silence_are_told_apart() -> None:
    with faulty.hanging() as (host, port):
        opened = reach.connect(host, port, 1)
    with faulty.refused_port() as (host, port):
        refused = reach.connect(host, port, 1)
    with faulty.silent() as (host, port):
        silent = reach.connect(host, port, 0.5)
    assert (opened.failure, refused.failure, silent.failure) == (
        None,
        FailureKind.REFUSED,
        FailureKind.SILENT,
    )
    assert (opened.is_answered, refused.is_answered, silent.is_answered) == (True, True, False)
