"""A server that is gone without a word: its ports are there, and no connection to them ever opens."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator

FILL_SECONDS = 0.3


@contextlib.contextmanager
def silent(address: str, ports: tuple[int, ...]) -> Iterator[None]:
    """Hold ports whose queue of connections is full: the kernel drops whatever else comes, as a dead host does."""
    with contextlib.ExitStack() as stack:
        for port in ports:
            listener = stack.enter_context(socket.socket())
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((address, port))
            listener.listen(0)
            _fill(stack, address, port)
        yield


def _fill(stack: contextlib.ExitStack, address: str, port: int) -> None:
    """Connect until a connection does not open any more."""
    while True:
        filler = stack.enter_context(socket.socket())
        filler.setblocking(False)
        filler.connect_ex((address, port))
        ends_at = time.monotonic() + FILL_SECONDS
        while not _is_open(filler):
            if time.monotonic() > ends_at:
                return
            time.sleep(0.005)


def _is_open(connection: socket.socket) -> bool:
    try:
        connection.getpeername()
    except OSError:
        return False
    return True
