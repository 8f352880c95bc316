"""Up, down and status where nothing runs: what is not a lab's is never touched."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest

from samaops.config.load import load
from samaops.errors import LockedError, RefusedError
from samaops.lab import configuration, lab, ssh
from samaops.lab.compose import CONTAINERS
from samaops.lab.layout import Layout
from samaops.lab.outside.places import Places
from samaops.lab.processes import StartError
from samaops.lab.starting import Step
from samaops.lab.state import LabState


def ignore(_step: Step) -> None:
    pass


def test_a_directory_that_holds_something_else_is_refused_and_kept(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(RefusedError, match="not a lab's directory"):
        lab.up(Layout(tmp_path), ignore)
    with pytest.raises(RefusedError, match="not a lab's directory"):
        lab.down(Layout(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_taking_down_what_is_not_there_is_nothing_to_do(tmp_path: Path) -> None:
    assert lab.down(Layout(tmp_path / "lab")) is False
    assert list(tmp_path.iterdir()) == []


def test_a_lab_that_never_started_is_taken_down(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "lab")
    layout.directory.mkdir()
    layout.marker.touch()
    layout.secrets()
    assert lab.down(layout) is True
    assert list(tmp_path.iterdir()) == []


def test_a_lab_that_another_command_holds_is_refused(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    layout.marker.touch()
    descriptor = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    with pytest.raises(LockedError, match="Another command"):
        lab.down(layout)
    os.close(descriptor)
    assert lab.down(layout) is True


def test_no_lab_is_down(tmp_path: Path) -> None:
    status = lab.status(Layout(tmp_path / "lab"))
    assert (status.state, status.parts) == ("down", ())


@pytest.mark.parametrize(("mode", "engine"), [("containers", "docker"), ("processes", "none")])
def test_samaops_accepts_the_configuration_of_the_lab(tmp_path: Path, mode: str, engine: str) -> None:
    layout = Layout(tmp_path / "lab")
    for path in (ssh.files(layout).client_key, Places.of(layout).ca_bundle):
        path.parent.mkdir(parents=True)
        path.touch()
    state = LabState(mode=mode, mode_reason='said "no"\n')  # type: ignore[arg-type]
    assert configuration.write(layout, state) is True
    assert configuration.write(layout, state) is False
    assert layout.config_file.stat().st_mode & 0o777 == 0o600
    settings = load(layout.config_file)
    assert settings.docker is not None
    assert settings.docker.engine == engine
    assert settings.docker.engine_reason == 'said "no"\n'
    assert settings.docker.containers == CONTAINERS
    assert settings.host_of(settings.redis) == "127.101.0.3"  # type: ignore[arg-type]
    # Commands are not to be sent into containers that do not exist.
    workers = settings.celery.workers.values() if settings.celery else ()
    assert [worker.container is not None for worker in workers] == [mode == "containers"] * 2


def test_secrets_are_made_once_and_only_their_owner_may_read_them(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "lab")
    assert layout.secrets() == layout.secrets()
    assert layout.secrets_file.stat().st_mode & 0o777 == 0o600


def test_a_configuration_that_names_files_which_are_not_there_is_a_problem_of_that_part(
    tmp_path: Path,
) -> None:
    layout = Layout(tmp_path / "lab")
    layout.directory.mkdir()
    with pytest.raises(StartError, match="operator"):
        configuration.write(layout, LabState())
