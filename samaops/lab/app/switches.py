"""Faults that can be asked for on purpose, only when SAMACONSO_LAB=1: the same faults real code has.

- ``hang-<INSTANCE_ID>`` in SAMACONSO_LAB_DIRECTORY: the API's event loop is blocked by synchronous code
  (connections are accepted by the kernel, no byte is ever answered) from the next request until it is gone.
  A process that was started after the file was made does not hang: a restart cures it, as it cures real code.
- ``clock-offset-<INSTANCE_ID>`` in the same directory holds seconds: how far off the process believes its
  clock to be (WORKER_ID for a worker).
- ``source-stopped-<INSTANCE_ID>`` in the same directory: the API's task that publishes what is due rests, without
  a word, as one that nobody watches. A restart cures it too.
- ``errors-<INSTANCE_ID>`` in the same directory: the API answers every request with 500, and the health check too.
- the message ``lab:hang``: the task waits for ever in ``recv`` on an established, silent TCP connection.
- the message ``lab:poison``: the task kills its own pool child with SIGKILL; the broker delivers it again.
- the variable ``SAMACONSO_RELEASE_FAULT=errors``, which the image of a bad release brings with it: the API answers
  every request with 500, and the health check too. Only another image cures it.
- ``POST /lab/allocate?megabytes=N`` keeps N more megabytes for the life of the process.

What needs no switch: SIGSTOP on the process also makes an API that accepts and never answers; SIGSTOP on a
worker's main process makes a worker that is up and no longer consumes.
"""

from __future__ import annotations

import os
import signal
import socket
import time
from pathlib import Path

from .environment import Environment

HANG_MESSAGE = "lab:hang"
POISON_MESSAGE = "lab:poison"
LONGEST_ALLOCATION_MEGABYTES = 16_384
_POLL_SECONDS = 0.2
_POISON_DELAY_SECONDS = 1.0
_MEGABYTE = 1024 * 1024

_held: list[bytearray] = []
_started_at = time.time()


def enabled() -> bool:
    """Tell whether this process runs in the lab."""
    return os.environ.get("SAMACONSO_LAB") == "1"


def switch_file(name: str, instance_id: str) -> Path | None:
    """Return the file that switches one fault of one process on, or None outside the lab."""
    directory = os.environ.get("SAMACONSO_LAB_DIRECTORY")
    return Path(directory) / f"{name}-{instance_id}" if directory and enabled() else None


def block_while_asked(instance_id: str) -> None:
    """Block the calling thread (the event loop's) for as long as there is a hang file younger than this process."""
    path = switch_file("hang", instance_id)
    while path is not None and _is_for_this_process(path):
        time.sleep(_POLL_SECONDS)


def source_is_stopped(instance_id: str) -> bool:
    """Tell whether this process was told to publish nothing of what is due; a restart cures it."""
    path = switch_file("source-stopped", instance_id)
    return path is not None and _is_for_this_process(path)


def _is_for_this_process(path: Path) -> bool:
    try:
        return path.stat().st_mtime >= _started_at
    except FileNotFoundError:
        return False


def answers_errors(instance_id: str) -> bool:
    """Tell whether this release, or this process, is one that answers every request with an error."""
    path = switch_file("errors", instance_id)
    is_told = path is not None and path.exists()
    return is_told or (enabled() and os.environ.get("SAMACONSO_RELEASE_FAULT") == "errors")


def now() -> float:
    """Return the time of day as this process believes it, in seconds since the epoch."""
    path = switch_file("clock-offset", Environment.read().instance_id)
    if path is None or not path.exists():
        return time.time()
    return time.time() + float(path.read_text(encoding="ascii"))


def obey_message(message: str) -> None:
    """Hang or die when a message of the lab asks for it."""
    if not enabled():
        return
    if message == HANG_MESSAGE:
        wait_on_a_silent_socket()
    elif message == POISON_MESSAGE:
        time.sleep(_POISON_DELAY_SECONDS)  # the broker redelivers at once: do not spin a whole core
        os.kill(os.getpid(), signal.SIGKILL)


def wait_on_a_silent_socket() -> None:
    """Wait for ever for a byte from a peer that never sends one."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = socket.create_connection(server.getsockname())
        peer, _address = server.accept()
        with client, peer:
            client.recv(1)


def allocate(megabytes: int) -> int:
    """Keep ``megabytes`` more of memory, really touched; return how many this process holds."""
    for _number in range(megabytes):
        _held.append(bytearray(os.urandom(1)) * _MEGABYTE)
    return len(_held)
