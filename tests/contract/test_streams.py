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


@pytest.mark.parametrize(
    "words", [("diagnose", "--only", "redis"), ("diagnose", "--only", "redis", "-o", "json")]
)
@pytest.mark.parametrize("stream", ["1</dev/null", ">/dev/full"])
def test_an_answer_that_cannot_be_written_is_one_line_and_70(
    samaops: Samaops, refused: Address, stream: str, words: tuple[str, ...]
) -> None:
    config = samaops.configure(redis_at(refused))
    done = shell(samaops, f"{shlex.join(samaops.command('--config', config, *words))} {stream}")
    assert done.returncode == 70
    assert done.stderr.splitlines()[-1].startswith("samaops: the answer could not be written: ")
    assert "bug" not in done.stderr


def test_people_who_read_no_further_change_no_exit_code(samaops: Samaops, refused: Address) -> None:
    config = samaops.configure(redis_at(refused))
    command = shlex.join(samaops.command("--config", config, "diagnose", "--only", "redis"))
    done = shell(samaops, f"{command} | true; echo ${{PIPESTATUS[0]}}")
    assert done.stdout == "69\n"


def test_words_that_nobody_takes_cost_no_answer(samaops: Samaops, refused: Address) -> None:
    config = samaops.configure(redis_at(refused))
    command = shlex.join(samaops.command("--config", config, "troubleshoot", "notifications"))
    whole, without = shell(samaops, command), shell(samaops, f"{command} 2>/dev/full")
    assert (without.returncode, "bug" in without.stdout) == (whole.returncode, False)
    assert without.stdout.splitlines()[:1] == whole.stdout.splitlines()[:1]


def test_a_watch_ends_when_nobody_reads_any_more(samaops: Samaops, refused: Address) -> None:
    config = samaops.configure(redis_at(refused))
    command = shlex.join(samaops.command("--config", config, "diagnose", "--only", "redis", "--watch", "0.1"))
    done = shell(samaops, f"{command} | head -n 1; echo ${{PIPESTATUS[0]}}")
    assert done.stdout.splitlines()[-1] == "0"
