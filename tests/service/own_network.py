"""A network of its own for what needs fixed addresses, so that nothing else on the machine is in its way."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def own_network() -> Iterator[list[str]]:
    """Yield the words before a command that run it in a fresh network; none where that is not allowed."""
    programs = all(shutil.which(name) for name in ("unshare", "nsenter", "ip"))
    if os.geteuid() != 0 or not programs or subprocess.run(["unshare", "-n", "true"], check=False).returncode:
        yield []
        return
    with subprocess.Popen(
        ["unshare", "-n", "sh", "-c", "ip link set lo up; echo; exec sleep 3600"], stdout=-1
    ) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()  # the namespace is there
        try:
            yield ["nsenter", "-t", str(holder.pid), "-n"]
        finally:
            holder.kill()
