"""How a migration tool is asked for SQL: in a container that reaches nothing, of whose environment nothing is left."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from samaops.clients.errors import ClientError
from samaops.clients.local import LocalShell
from samaops.clients.migration_tool import MigrationTool

# What it is called with goes to a file; of `run`, what the environment file holds, and how it ends as it is told.
DOCKER = """#!/bin/sh
echo "$*" >>"$0.calls"
case "$*" in
  *Config.Env*) echo 'SECRET=of the application' ;;
  *WorkingDir*) echo /app ;;
  run*)
    while [ "$1" != --env-file ]; do shift; done
    echo "$2" >"$0.file"; cat "$2" >"$0.environment"
    [ ! -e "$0.fails" ] || { echo 'Traceback' >&2; echo 'FAILED: no way down' >&2; exit 1; }
    echo 'ALTER TABLE t DROP COLUMN c;' ;;
esac
"""


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    program = tmp_path / "docker"
    program.write_text(DOCKER, encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return program


def asked() -> str:
    return MigrationTool(LocalShell(), "a1", "sha256:1", "python -m alembic").written(
        "downgrade", "bbb", "aaa"
    )


def test_it_reaches_nothing_and_of_its_environment_nothing_is_left(docker: Path) -> None:
    assert asked() == "ALTER TABLE t DROP COLUMN c;\n"
    calls = Path(f"{docker}.calls").read_text(encoding="utf-8").splitlines()
    (run,) = [call for call in calls if call.startswith("run")]
    for words in ("--rm", "--network none", "--volumes-from a1:ro", "--workdir /app"):
        assert words in run
    assert run.endswith(" sha256:1 python -m alembic downgrade bbb:aaa --sql")
    assert calls[-1].startswith("rm -f samaops-migration-"), "also where it did not end by itself"
    assert Path(f"{docker}.environment").read_text(encoding="utf-8") == "SECRET=of the application\n"
    assert not Path(Path(f"{docker}.file").read_text(encoding="utf-8").strip()).exists()


def test_a_tool_that_writes_none_says_why(docker: Path) -> None:
    Path(f"{docker}.fails").touch()
    with pytest.raises(ClientError, match="writes no SQL of the downgrade: FAILED: no way down"):
        asked()
    assert not Path(Path(f"{docker}.file").read_text(encoding="utf-8").strip()).exists()
