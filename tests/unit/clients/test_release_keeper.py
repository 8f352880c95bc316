"""Why a release could not be kept or made to run on a server: said in the language in use. The program itself is run."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from samaops import i18n
from samaops.clients import release_keeper
from samaops.clients.errors import ClientError
from samaops.clients.local import LocalShell
from samaops.clients.release_keeper import Composed, Kept, ReleaseKeeper
from samaops.clients.shell import program

# Its images are the files beside it; it loads one that is another, and compose is not reached.
DOCKER = """#!/bin/sh
case "$*" in
  'image inspect --format'*) echo 900000000000000000 ;;
  'image inspect'*) [ -e "$0.has" ] ;;
  save*) exit 1 ;;
  compose*) [ "$2" = version ] ;;
esac
"""
SUDO = """#!/bin/sh
while [ "${1#-}" != "$1" ]; do shift; done
exec "$@"
"""


@pytest.fixture
def keeper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ReleaseKeeper]:
    for name, text in (("docker", DOCKER), ("sudo", SUDO)):
        (tmp_path / name).write_text(text, encoding="utf-8")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(
        release_keeper, "program", lambda file: program(file).replace("/run/samaops", f"{tmp_path}/samaops")
    )
    yield ReleaseKeeper(LocalShell())
    i18n.use_language("en")


def kept(directory: Path) -> Kept:
    return Kept("sha256:0123456789abcdef", "app", str(directory / "re leases"))


def recreate(keeper: ReleaseKeeper, directory: Path) -> None:
    # One that is stopped within -60 s: the lock is waited for until now.
    keeper.recreate(kept(directory), Composed("p", str(directory), ("compose.yml",), "api"), -60, 10.0)


def test_another_compose_at_work_is_said_in_the_language_in_use(
    keeper: ReleaseKeeper, tmp_path: Path
) -> None:
    (tmp_path / "docker.has").touch()
    with Path(tmp_path / "samaops-release.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(ClientError, match=r"^another docker compose still replaces a container$"):
            recreate(keeper, tmp_path)
        i18n.use_language("fr")
        with pytest.raises(ClientError, match=r"^un autre docker compose remplace encore un conteneur$"):
            recreate(keeper, tmp_path)
    assert not list(tmp_path.glob("samaops-release.*[!k]")), "nothing of it is left"


def test_an_image_that_cannot_be_brought_back_is_named(keeper: ReleaseKeeper, tmp_path: Path) -> None:
    file = Path(kept(tmp_path).file)
    with pytest.raises(ClientError, match=rf"^the image 0123456789ab is gone, and there is no {file}$"):
        recreate(keeper, tmp_path)
    file.parent.mkdir()
    file.write_bytes(b"x")
    with pytest.raises(ClientError, match=rf"^{file} holds another image than 0123456789ab$"):
        recreate(keeper, tmp_path)
    i18n.use_language("fr")
    with pytest.raises(ClientError, match=rf"^{file} contient une autre image que 0123456789ab$"):
        recreate(keeper, tmp_path)


def test_the_room_that_a_file_needs_is_said(keeper: ReleaseKeeper, tmp_path: Path) -> None:
    (tmp_path / "docker.has").touch()
    with pytest.raises(ClientError, match=r"re leases: .* are free, and the image has 818545 TB"):
        keeper.write(kept(tmp_path), b"{}", 10.0, runs=False)
    docker = tmp_path / "docker"
    docker.write_text(DOCKER.replace("900000000000000000", "1"), encoding="utf-8")
    with pytest.raises(
        ClientError, match=r"has not written the image samaops.keep/app:0123456789ab to its end"
    ):
        keeper.write(kept(tmp_path), b"{}", 10.0, runs=False)
    assert not list(Path(kept(tmp_path).directory).glob("*.tar"))
