"""A clean root file system of this machine's own Debian, in which commands run without a network."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

PACKAGES = "python3,python3-venv,tzdata"
_MAKE_SECONDS, _RUN_SECONDS = 600, 300
# A root of its own network, mounts and processes, which ends with its command.
_APART = ("unshare", "--mount", "--net", "--pid", "--fork", "--kill-child")
_ENTER = 'mount -t proc proc "$0/proc" && exec chroot "$0" "$@"'


class CleanRoot:
    """The file system at ``path``."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __call__(self, *words: str, user: str = "root", **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a command in it, as root or as another user, and return how it ended."""
        home = {"HOME": "/root" if user == "root" else f"/var/lib/{user}/home"}
        become = () if user == "root" else ("setpriv", "--reuid", user, "--regid", user, "--init-groups")
        own = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8", **home, **variables}
        alone = ("env", "-i", *(f"{name}={value}" for name, value in own.items()))
        return subprocess.run(
            [*_APART, "sh", "-c", _ENTER, str(self.path), *alone, *become, *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_RUN_SECONDS,
            check=False,
            env={"PATH": os.environ["PATH"]},
        )

    def inside(self, place: str) -> Path:
        """Return where a file of it lies, seen from here."""
        return self.path / place.lstrip("/")


def require_possible() -> None:
    """Skip where no such root can be made here."""
    if not shutil.which("mmdebstrap"):
        pytest.skip("mmdebstrap is not installed (apt-get install mmdebstrap)")
    if subprocess.run([*_APART, "true"], check=False, capture_output=True).returncode:
        pytest.skip("only root may make a clean root file system")


def make(path: Path) -> CleanRoot:
    """Make it from the archive that this machine's apt asks."""
    suite = _release()["VERSION_CODENAME"]
    quick = ("--dpkgopt=force-unsafe-io", "--dpkgopt=path-exclude=/usr/share/locale/*")
    lean = ("--variant=apt", f"--include={PACKAGES}", '--aptopt=Acquire::Languages "none"')
    words = ("mmdebstrap", "--quiet", "--format=directory", *lean, *quick, suite, str(path), _source(suite))
    done = subprocess.run(words, capture_output=True, text=True, timeout=_MAKE_SECONDS, check=False)
    assert done.returncode == 0, done.stderr
    return CleanRoot(path)


def _release() -> Mapping[str, str]:
    lines = Path("/etc/os-release").read_text().splitlines()
    return {name: value.strip('"') for name, _, value in (line.partition("=") for line in lines)}


def _source(suite: str) -> str:
    form = "$(REPO_URI) $(RELEASE) $(COMPONENT)"
    asked = ("apt-get", "indextargets", "--format", form, "Created-By: Packages")
    listed = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.split("\n")
    (uri, *_rest) = next(line.split() for line in listed if line.endswith(f" {suite} main"))
    return f"deb {uri} {suite} main"
