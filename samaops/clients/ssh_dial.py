"""Connect to an SSH server for ``ssh``, without Nagle's algorithm: run as its ``ProxyCommand`` (ProxyUseFdpass).

ssh writes small packets one after the other and waits for the answer to the last. With Nagle's algorithm the second
waits for the acknowledgement of the first, and the server delays that by 40 ms (RFC 1122, 4.2.3.2): twice in each
log-in and once in the first command. ssh has no option against it for sessions without a terminal.

Stands alone: it starts in 10 ms only with neither samaops nor ``site`` nor ``socket`` imported. What it writes are
the words that ssh writes when it connects by itself, for whoever reads its log.
"""

from __future__ import annotations

import _socket
import os
import sys
from time import monotonic

Address = tuple[str, int] | tuple[str, int, int, int]


def main(host: str, port: str, seconds: str) -> int:
    """Hand the connection to ssh, which is at the other end of standard output; return the exit code."""
    ends_at = monotonic() + float(seconds)
    try:
        found = _socket.getaddrinfo(host, int(port), 0, _socket.SOCK_STREAM)
    except OSError as error:
        _say(f"ssh: Could not resolve hostname {host}: {error.args[-1]}")
        return 1
    for family, kind, protocol, _name, address in found:
        connection = _socket.socket(family, kind, protocol)
        try:
            _say(f"debug1: Connecting to {host} [{address[0]}] port {port}.")
            connection.settimeout(max(0.001, ends_at - monotonic()))
            connection.connect(address)
        except OSError as error:
            # A timeout of ours has no number.
            reason = os.strerror(error.errno) if error.errno else "Connection timed out"
            _say(f"ssh: connect to host {host} port {port}: {reason}")
            connection.close()
            continue
        _say("debug1: Connection established.")
        _hand_over(connection)
        return 0
    return 1


def _hand_over(connection: _socket.socket) -> None:
    connection.settimeout(None)
    connection.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_NODELAY, 1)
    descriptor = connection.fileno().to_bytes(4, sys.byteorder)  # an int of C
    with_ssh = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM, 0, sys.stdout.fileno())
    with_ssh.sendmsg([b"\0"], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, descriptor)])


def _say(words: str) -> None:
    os.write(2, f"{words}\r\n".encode(errors="replace"))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
