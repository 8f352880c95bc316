"""Find out whether a machine answers at all: an ICMP echo where allowed, and a TCP connection."""

from __future__ import annotations

import os
import re
import select
import shutil
import socket
import struct
import time

from msgspec import Struct

from samaops.clients import footprint
from samaops.clients.errors import ClientError, kind_of_os_error
from samaops.clients.shell import text
from samaops.config import programs
from samaops.model.failure import FailureKind

_ECHO_REQUEST = {socket.AF_INET: 8, socket.AF_INET6: 128}
_ECHO_REPLY = {socket.AF_INET: 0, socket.AF_INET6: 129}
_MOST_PING_BYTES = 64 * 1024
_PING_TIME = re.compile(r"time[=<]([\d.]+) ?ms")


class Echo(Struct, frozen=True):
    """How an ICMP echo went. ``allowed`` is False when this machine does not let us send one."""

    allowed: bool
    milliseconds: float | None = None
    reason: str = ""


class Connection(Struct, frozen=True):
    """How a TCP connection went; ``failure`` is None when it opened."""

    milliseconds: float
    failure: FailureKind | None = None
    message: str = ""

    @property
    def is_answered(self) -> bool:
        """Whether the machine said anything: a refusal is an answer too."""
        return self.failure in (None, FailureKind.REFUSED)


def ping(address: str, timeout: float) -> Echo:
    """Send one ICMP echo, with an unprivileged socket or the ``ping`` command.

    Raises ClientError (NAME) when the address does not resolve.
    """
    family, target = _resolve(address)
    try:
        return _ping_by_socket(family, target, timeout)
    except PermissionError as error:
        return _ping_by_command(target[0], timeout, str(error))
    except OSError as error:
        return Echo(allowed=True, reason=str(error))


def connect(address: str, port: int, timeout: float) -> Connection:
    """Open a TCP connection and close it again. Raises ClientError (NAME)."""
    started = time.monotonic()
    try:
        with socket.create_connection((address, port), timeout=timeout):
            footprint.count(connections=1)
            return Connection(_milliseconds_since(started))
    except socket.gaierror as error:
        raise ClientError(FailureKind.NAME, str(error), "connect") from error
    except OSError as error:
        kind = kind_of_os_error(error, connected=False)
        return Connection(_milliseconds_since(started), kind, str(error))


def addresses_of(name: str) -> tuple[str, ...]:
    """Return the addresses of a name, as this machine resolves it; nothing where there is no such name.

    Raises ClientError (NAME) where nobody could tell.
    """
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        if error.errno in (socket.EAI_NONAME, socket.EAI_NODATA):
            return ()
        raise ClientError(FailureKind.NAME, f"{name}: {error.strerror}", "name") from error
    except UnicodeError as error:  # an empty or overlong label
        raise ClientError(FailureKind.NAME, f"{name}: {error}", "name") from error
    return tuple(dict.fromkeys(str(target[0]) for *_kind, target in found))


def _resolve(address: str) -> tuple[socket.AddressFamily, tuple[str, int]]:
    try:
        addresses = socket.getaddrinfo(address, 0, type=socket.SOCK_DGRAM)
    except (socket.gaierror, UnicodeError) as error:
        raise ClientError(FailureKind.NAME, str(error), "name") from error
    family, _type, _protocol, _name, target = addresses[0]
    return family, (str(target[0]), int(target[1]))


def _ping_by_socket(family: socket.AddressFamily, target: tuple[str, int], timeout: float) -> Echo:
    protocol = socket.IPPROTO_ICMP if family == socket.AF_INET else socket.IPPROTO_ICMPV6
    token = os.urandom(16)
    with socket.socket(family, socket.SOCK_DGRAM, protocol) as icmp:
        # the kernel fills in checksum and identifier
        started = time.monotonic()
        icmp.sendto(struct.pack("!BBHHH", _ECHO_REQUEST[family], 0, 0, 0, 1) + token, target)
        while (remaining := started + timeout - time.monotonic()) > 0:
            if not select.select([icmp], [], [], remaining)[0]:
                break
            answer = icmp.recv(1024)
            if answer[:1] == bytes([_ECHO_REPLY[family]]) and answer.endswith(token):
                return Echo(allowed=True, milliseconds=_milliseconds_since(started))
    return Echo(allowed=True, reason=f"no echo within {timeout:g} s")


def _ping_by_command(address: str, timeout: float, reason: str) -> Echo:
    program = shutil.which("ping")
    if program is None:
        return Echo(allowed=False, reason=reason)
    command = [program, "-n", "-c", "1", "-W", f"{max(1, round(timeout))}", address]
    try:
        done = programs.run(command, timeout + 1, _MOST_PING_BYTES)
    except TimeoutError:
        return Echo(allowed=True, reason=f"no echo within {timeout:g} s")
    stdout, stderr = text(done.stdout), text(done.stderr)
    if done.exit_code == 0:
        match = _PING_TIME.search(stdout)
        return Echo(allowed=True, milliseconds=float(match.group(1)) if match else 0.0)
    # 1: sent, and no answer came. 2: it could not even send, also when there is no route.
    lines = [*stdout.splitlines(), *stderr.splitlines()]
    telling = [line for line in lines if "unreachable" in line.lower() or "100% packet loss" in line]
    reason = (telling or lines or [""])[-1]
    return Echo(allowed=done.exit_code == 1 or "unreachable" in reason.lower(), reason=reason)


def _milliseconds_since(started: float) -> float:
    return round((time.monotonic() - started) * 1000, 2)
