"""Where the lab's balancer is controlled: a small HTTP service beside nginx, as the API of a real balancer is.

``GET /members`` lists the members, one JSON object a line; ``POST /members/NAME/offline`` and ``…/online`` take one out
and put it back. It answers when nginx works as it was told; requests that are under way go on in nginx's old process.
"""

from __future__ import annotations

import argparse
import json
import re
import signal
import threading
import time
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from os import kill
from pathlib import Path

from msgspec import Struct

from samaops.lab.outside import balancer

RELOAD_SECONDS = 5.0
_ORDER = re.compile(r"/members/([\w.-]+)/(offline|online)", re.ASCII)
_ESTABLISHED = "01"


class ReloadError(Exception):
    """nginx does not work as it was told: why."""


class Pool(Struct, frozen=True):
    """The balancer's directory, the address from which it calls its members, and theirs."""

    directory: Path
    address: str
    members: Mapping[str, str]


def listed(pool: Pool) -> str:
    """Return the list; nginx itself only sees that a member fails when it sends it a request."""
    offline, open_now = balancer.offline_members(pool.directory), connections(pool.address)
    lines = [
        json.dumps(
            {
                "name": name,
                "state": "offline" if name in offline else "unwatched",
                "address": address,
                "connections": open_now.count(address),
            }
        )
        for name, address in pool.members.items()
    ]
    return "".join(f"{line}\n" for line in lines)


def connections(ours: str) -> list[str]:
    """Return the far ends of all connections that are open from an address, each as host:port."""
    far_ends = []
    for line in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]:
        near, far, state = line.split()[1:4]
        if state == _ESTABLISHED and _address(near).rpartition(":")[0] == ours:
            far_ends.append(_address(far))
    return far_ends


def _address(words: str) -> str:
    host, _colon, port = words.partition(":")
    octets = reversed(bytes.fromhex(host))  # the kernel shows the number as this processor keeps it
    return ".".join(map(str, octets)) + f":{int(port, 16)}"


def change(pool: Pool, name: str, order: str) -> None:
    """Take a member out or put it back. Raises ReloadError, LookupError for one that does not exist."""
    if name not in pool.members:
        raise LookupError(name)
    offline = balancer.offline_members(pool.directory)
    wanted = offline | {name} if order == "offline" else offline - {name}
    if wanted != offline:
        balancer.write_members(pool.directory, pool.members, wanted)
        reload(pool.directory)


def reload(directory: Path) -> None:
    """Let nginx read its configuration, and wait until only new processes take requests. Raises ReloadError."""
    try:
        master = int((directory / "nginx.pid").read_text(encoding="ascii"))
        before = set(_workers(master))
        kill(master, signal.SIGHUP)
    except (OSError, ValueError) as error:
        raise ReloadError("nginx does not run") from error
    ends_at = time.monotonic() + RELOAD_SECONDS
    while True:
        serving = {pid for pid in _workers(master) if not _is_shutting_down(pid)}
        if serving and not serving & before:
            return
        if time.monotonic() > ends_at:
            raise ReloadError("nginx did not take its new configuration")
        time.sleep(0.02)


def _workers(master: int) -> list[int]:
    children = Path(f"/proc/{master}/task/{master}/children")
    return [int(word) for word in children.read_text(encoding="ascii").split()]


def _is_shutting_down(pid: int) -> bool:
    try:
        return b"shutting down" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return True


def _handler(pool: Pool) -> type[BaseHTTPRequestHandler]:
    one_at_a_time = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        timeout = 10

        def do_GET(self) -> None:
            known = self.path == "/members"
            self._answer(200 if known else 404, listed(pool) if known else "not found\n")

        def do_POST(self) -> None:
            order = _ORDER.fullmatch(self.path)
            if order is None:
                self._answer(404, "not found\n")
                return
            try:
                with one_at_a_time:
                    change(pool, order[1], order[2])
            except LookupError:
                self._answer(404, f"no member {order[1]}\n")
            except ReloadError as error:
                self._answer(503, f"{error}\n")
            else:
                self._answer(200, listed(pool))

        def _answer(self, status: int, text: str) -> None:
            body = text.encode()
            self.send_response(status)
            self.send_header("Content-Type", "text/plain")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        log_message: Callable[..., None] = staticmethod(lambda *_words: None)

    return Handler


def main() -> None:
    """Serve until ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("address")
    parser.add_argument("port", type=int)
    parser.add_argument("members", nargs="+", metavar="NAME=ADDRESS")
    arguments = parser.parse_args()
    members = dict(member.split("=", 1) for member in arguments.members)
    pool = Pool(arguments.directory, arguments.address, members)
    server = ThreadingHTTPServer((arguments.address, arguments.port), _handler(pool))
    server.daemon_threads = True
    server.serve_forever()


if __name__ == "__main__":
    main()
