"""What samaops reads of a server's disks and /proc, as facts of pyinfra: two commands over one connection."""

from __future__ import annotations

from collections.abc import Iterable

from pyinfra.api import FactBase


class Disks(FactBase[list[list[str]]]):
    """The file systems, as df sees them."""

    def command(self) -> str:
        return "df -B1 --output=fstype,size,used,avail,itotal,iused,target"

    def process(self, output: Iterable[str]) -> list[list[str]]:
        return [line.split(maxsplit=6) for line in output][1:]


class Proc(FactBase[dict[str, str]]):
    """Uptime, load, memory, the kernel's counters, mounts."""

    def command(self) -> str:
        return "cd /proc && cat uptime loadavg meminfo vmstat self/mountinfo; uname -r; nproc; date +%s.%N"

    def process(self, output: Iterable[str]) -> dict[str, str]:
        words = [line.split(maxsplit=1) for line in output]
        return {pair[0].rstrip(":"): pair[1] for pair in words if len(pair) == 2}
