"""The streams a caller closes or stops reading cost words, never the truth of the exit code, and no traceback."""

from __future__ import annotations

import shlex
import subprocess

import pytest

from tests.contract.conftest import Samaops, redis_at

Address = tuple[str, int]


def shell(samaops: Samaops, script: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", script],
        env=samaops.environment(),
        cwd=samaops.home,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_closed_stream_changes_no_exit_code(samaops: Samaops, refused: Address, closed: str) -> None:
    config = samaops.configure(redis_at(refused))
    command = shlex.join(samaops.command("--config", config, "diagnose", "--only", "redis"))
    done = shell(
        samaops,
        f"{command} {closed}; echo code $? >&2"
        if "2>" not in closed
        else f"{command} {closed}; echo code $?",
    )
    assert "code 69" in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert ">" in closed or "Redis" in done.stdout


def test_a_reader_that_has_gone_does_not_turn_a_fault_into_success(
    samaops: Samaops, refused: Address
) -> None:
    config = samaops.configure(redis_at(refused))
    command = shlex.join(samaops.command("--config", config, "diagnose", "--only", "redis", "-o", "json"))
    done = shell(samaops, f"{command} | true; echo ${{PIPESTATUS[0]}}")
    assert done.stdout == "69\n"
    assert done.stderr == ""
