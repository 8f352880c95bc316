#!/usr/bin/env python3
"""Delay every packet between the lab's addresses and this machine, in a network of its own. For Linux, as root.

    delay_link.py SECONDS SUBNET

A TUN device takes what is sent to the subnet, and what is sent from there, and gives it back so much later: as
`tc netem delay` does, which not every kernel has. Says "ready"; ends, and takes all away, when stdin is closed.
"""

from __future__ import annotations

import fcntl
import os
import select
import struct
import subprocess
import sys
import time
from collections import deque
from pathlib import Path

DEVICE = "samaops-delay"
TABLE = "101"
_TUNSETIFF, _IFF_TUN_NO_PI = 0x400454CA, 0x1001
_LARGEST_PACKET = 65536


def main() -> int:
    """Set the device up, and delay until stdin ends."""
    seconds, subnet = float(sys.argv[1]), sys.argv[2]
    if len(Path("/proc/self/net/route").read_text(encoding="ascii").splitlines()) > 1:
        sys.exit("this network reaches beyond loopback: it is not delayed")
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(device, _TUNSETIFF, struct.pack("16sH22x", DEVICE.encode(), _IFF_TUN_NO_PI))
    rules = [
        ["pref", str(10 + place), "iif", "lo", side, subnet, "lookup", TABLE]
        for place, side in enumerate(("to", "from"))
    ]
    _route()
    for rule in rules:
        _ip("rule", "add", *rule)
    print("ready", flush=True)
    try:
        _relay(device, seconds)
    finally:
        for rule in rules:
            _ip("rule", "del", *rule)
    return 0


def _route() -> None:
    """Let packets that belong to loopback go out over the device, and come back in from it."""
    for name, value in (("route_localnet", "1"), ("accept_local", "1"), ("rp_filter", "0")):
        for where in ("all", DEVICE):
            Path(f"/proc/sys/net/ipv4/conf/{where}/{name}").write_text(value, encoding="ascii")
    _ip("link", "set", DEVICE, "up", "txqueuelen", "10000")
    _ip("route", "add", "default", "dev", DEVICE, "src", "127.0.0.1", "table", TABLE)
    listed = subprocess.run(["ip", "rule"], check=True, capture_output=True, text=True).stdout
    if listed.startswith("0:"):
        _ip("rule", "add", "pref", "100", "lookup", "local")
        _ip("rule", "del", "pref", "0")


def _relay(device: int, seconds: float) -> None:
    waiting: deque[tuple[float, bytes]] = deque()
    while True:
        left = max(0.0, waiting[0][0] - time.monotonic()) if waiting else None
        readable, _w, _x = select.select([device, sys.stdin], [], [], left)
        if sys.stdin in readable and not os.read(sys.stdin.fileno(), 100):
            return
        if device in readable:
            _take(device, waiting, seconds)
        while waiting and waiting[0][0] <= time.monotonic():
            os.write(device, waiting.popleft()[1])


def _take(device: int, waiting: deque[tuple[float, bytes]], seconds: float) -> None:
    due = time.monotonic() + seconds
    try:
        while True:
            waiting.append((due, os.read(device, _LARGEST_PACKET)))
    except BlockingIOError:
        return


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, timeout=10)


if __name__ == "__main__":
    sys.exit(main())
