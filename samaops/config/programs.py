"""Run a program of this machine: within a time, with so much output, alone in its process group, knowing little of us."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress

from msgspec import Struct

# What a program gets of our environment: who and where we are, and where its own keys and agents are. Secrets that
# samaops itself was given, and what changes how a program is loaded, are not among them.
_KEPT = (
    *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "TZ"),
    *("LANG", "LANGUAGE", "LC_ALL", "LC_CTYPE", "LC_MESSAGES"),
    *("TERM", "TMPDIR", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS"),
    *("SSH_AUTH_SOCK", "GNUPGHOME", "GPG_TTY", "PASSWORD_STORE_DIR", "VAULT_ADDR", "VAULT_NAMESPACE"),
    *("DOCKER_HOST", "DOCKER_CONFIG", "DOCKER_CONTEXT"),
)


class TooMuchOutputError(Exception):
    """A program wrote more than it may."""


class Ended(Struct, frozen=True):
    """How a program ended."""

    exit_code: int
    stdout: bytes
    stderr: bytes


def environment_with(*names: str) -> dict[str, str]:
    """Return what a program gets of our environment, with these of it besides."""
    return {name: os.environ[name] for name in (*_KEPT, *names) if name in os.environ}


def run(
    arguments: Sequence[str],
    seconds: float,
    most_bytes: int,
    *,
    stdin: bytes = b"",
    locale: str | None = None,
    environment: Mapping[str, str] | None = None,
) -> Ended:
    """Run a program to its end. Nothing of it is left then, also when it has to be ended.

    ``environment`` is all that it gets, in place of the little of ours that programs get.
    Raises TimeoutError, TooMuchOutputError, OSError and ValueError when it cannot be started.
    """
    ends_at = time.monotonic() + seconds
    process = start(arguments, locale, environment)
    try:
        stdout, stderr = _exchange(process, stdin, most_bytes, ends_at)
        return Ended(process.wait(max(0.01, ends_at - time.monotonic())), stdout, stderr)
    except subprocess.TimeoutExpired:
        raise TimeoutError from None
    finally:
        end(process)


def start(
    arguments: Sequence[str], locale: str | None = None, environment: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """Start a program with pipes to all its streams; ``end`` ends it. Raises OSError, ValueError."""
    environment = environment_with() if environment is None else environment
    return subprocess.Popen(
        arguments,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment if locale is None else {**environment, "LC_ALL": locale},
        start_new_session=True,  # Ctrl-C does not reach it: it is ended here
    )


def _exchange(
    process: subprocess.Popen[bytes], stdin: bytes, most_bytes: int, ends_at: float
) -> tuple[bytes, bytes]:
    """Give a program its input and return all that it wrote."""
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    outputs = {process.stdout: bytearray(), process.stderr: bytearray()}
    with selectors.DefaultSelector() as selector:
        for stream in outputs:
            selector.register(stream, selectors.EVENT_READ)
        os.set_blocking(process.stdin.fileno(), False)
        selector.register(process.stdin, selectors.EVENT_WRITE)
        unsent = memoryview(stdin)
        while selector.get_map():
            remaining = ends_at - time.monotonic()
            if remaining <= 0:
                raise TimeoutError
            for key, _events in selector.select(remaining):
                if key.fileobj is process.stdin:
                    unsent = _send(process.stdin.fileno(), unsent)
                    if not unsent:
                        selector.unregister(process.stdin)
                        process.stdin.close()
                    continue
                read = os.read(key.fd, 65536)
                if not read:
                    selector.unregister(key.fileobj)
                outputs[key.fileobj] += read  # type: ignore[index]
            if sum(map(len, outputs.values())) > most_bytes:
                raise TooMuchOutputError
    return bytes(outputs[process.stdout]), bytes(outputs[process.stderr])


def pour(
    arguments: Sequence[str],
    seconds: float,
    source: Iterable[bytes],
    sink: Callable[[bytes], object],
    *,
    locale: str | None = None,
) -> Ended:
    """Run a program that is given ``source`` and whose output ``sink`` takes, a block at a time; nothing of it is left.

    What is returned holds the end of what it said on its standard error. Raises as ``run``, and what the two raise.
    """
    ends_at = time.monotonic() + seconds
    process = start(arguments, locale)
    try:
        errors = _pour(process, iter(source), sink, ends_at)
        return Ended(process.wait(max(0.01, ends_at - time.monotonic())), b"", errors)
    except subprocess.TimeoutExpired:
        raise TimeoutError from None
    finally:
        end(process)


def _pour(
    process: subprocess.Popen[bytes], source: Iterator[bytes], sink: Callable[[bytes], object], ends_at: float
) -> bytes:
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    errors, unsent = b"", memoryview(b"")
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        selector.register(process.stderr, selectors.EVENT_READ)
        os.set_blocking(process.stdin.fileno(), False)
        selector.register(process.stdin, selectors.EVENT_WRITE)
        while selector.get_map():
            remaining = ends_at - time.monotonic()
            if remaining <= 0:
                raise TimeoutError
            for key, _events in selector.select(remaining):
                if key.fileobj is process.stdin:
                    is_over = not unsent and not (unsent := memoryview(next(source, b"")))
                    unsent = _send(process.stdin.fileno(), unsent)
                    if is_over:
                        selector.unregister(process.stdin)
                        process.stdin.close()
                    continue
                read = os.read(key.fd, 65536)
                if not read:
                    selector.unregister(key.fileobj)
                elif key.fileobj is process.stdout:
                    sink(read)
                else:
                    errors = (errors + read)[-16384:]
    return errors


def _send(descriptor: int, unsent: memoryview) -> memoryview:
    """Write what fits; a command that does not read its input has had enough."""
    try:
        return unsent[os.write(descriptor, unsent) :] if unsent else unsent
    except BrokenPipeError:
        return unsent[:0]


def end(process: subprocess.Popen[bytes]) -> None:
    """Leave nothing of a program behind: it leads a process group of its own."""
    # Not waited for yet: its number is still its own, also when only children are left.
    if process.returncode is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None:
            with suppress(BrokenPipeError):
                stream.close()
