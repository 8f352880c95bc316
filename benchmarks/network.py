"""A network of its own for what needs fixed addresses or a delay: nothing else of the machine is in it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

_MARK = "SAMAOPS_BENCHMARK_NETWORK"


def is_own() -> bool:
    """Return whether nothing but loopback can be reached from here."""
    routes = Path("/proc/self/net/route").read_text(encoding="ascii").splitlines()
    return len(routes) <= 1


def can_have_own() -> bool:
    """Return whether this user may make a network."""
    programs = all(shutil.which(name) for name in ("unshare", "ip"))
    if os.geteuid() != 0 or not programs:
        return False
    return subprocess.run(["unshare", "-n", "true"], check=False, capture_output=True).returncode == 0


def enter_own() -> None:
    """Begin this program anew in a network of its own, unless it is in one."""
    if os.environ.get(_MARK) or is_own():
        return
    os.environ[_MARK] = "yes"
    begin = 'ip link set lo up && exec "$@"'
    os.execvp("unshare", ["unshare", "-n", "--", "sh", "-c", begin, "sh", sys.executable, *sys.argv])
