"""What only the benchmark needs: one Debian package, and pyinfra in an environment of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CHECK_PGACTIVITY = Path("/usr/lib/nagios/plugins/check_pgactivity")
PYINFRA_VERSION = "3.10.0"
PYINFRA = ROOT / ".venv-benchmark" / "bin" / "pyinfra"
SECONDS = 300


def install_tools() -> None:
    """Install Debian's check-pgactivity unless it is there."""
    if not CHECK_PGACTIVITY.exists():
        words = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", "check-pgactivity"]
        _run(words if os.geteuid() == 0 else ["sudo", *words])


def install_pyinfra() -> None:
    """Install pyinfra for the Python that runs this, unless it is there."""
    directory = PYINFRA.parent.parent
    stamp, wanted = directory / "installed", f"{PYINFRA_VERSION} {sys.version}"
    if stamp.exists() and stamp.read_text(encoding="utf-8") == wanted:
        return
    python = getattr(sys, "_base_executable", sys.executable)
    _run([python, "-m", "venv", "--clear", str(directory)])
    pip = [str(directory / "bin" / "python"), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    _run([*pip, f"pyinfra=={PYINFRA_VERSION}"])
    stamp.write_text(wanted, encoding="utf-8")


def _run(words: list[str]) -> None:
    subprocess.run(words, check=True, stdout=sys.stderr, timeout=SECONDS)
