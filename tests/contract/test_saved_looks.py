"""A look that was saved is judged offline with the same result."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.contract.conftest import Samaops, redis_at

Address = tuple[str, int]
ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("kind", ["redis_server", "refused"])
def test_a_saved_look_gives_the_same_report(
    samaops: Samaops, request: pytest.FixtureRequest, kind: str
) -> None:
    config = samaops.configure(redis_at(request.getfixturevalue(kind)))
    saved = samaops.home / "look.json"
    live = samaops("--config", config, "diagnose", "--only", "redis", "-o", "json", "--save", saved)
    config.unlink()
    offline = samaops("diagnose", "--from", saved, "-o", "json")
    assert offline.json() == live.json()
    assert offline.code == live.code
    assert saved.stat().st_mode & 0o777 == 0o600


def test_a_saved_look_can_be_narrowed_and_judged_with_other_limits(
    samaops: Samaops, redis_server: Address
) -> None:
    saved = samaops.home / "look.json"
    config = samaops.configure(redis_at(redis_server))
    samaops("--config", config, "diagnose", "--only", "redis", "--save", saved)
    narrowed: Any = samaops("diagnose", "--from", saved, "--only", "redis.memory.high", "-o", "json").json()
    assert [one["code"] for one in narrowed["findings"]] == ["redis.memory.high"]
    assert narrowed["status"] == "ok"
    config = samaops.configure(redis_at(redis_server, '[thresholds."redis.memory.high"]\ncritical = 0\n'))
    strict = samaops("--config", config, "diagnose", "--from", saved, "--only", "redis.memory.high")
    assert strict.code == 2


def test_a_look_that_cannot_be_written_is_told(samaops: Samaops, redis_server: Address) -> None:
    config = samaops.configure(redis_at(redis_server))
    done = samaops(
        "--config", config, "diagnose", "--only", "redis", "--save", samaops.home / "no" / "x", "-o", "json"
    )
    assert done.code == 64
    assert "cannot be written" in json.loads(done.stdout)["errors"][0]["message"]


def test_a_look_without_what_is_asked_for_is_unknown_and_never_well(
    samaops: Samaops, redis_server: Address
) -> None:
    saved = samaops.home / "look.json"
    config = samaops.configure(redis_at(redis_server))
    samaops("--config", config, "diagnose", "--only", "redis", "--save", saved)
    done = samaops("diagnose", "--from", saved, "--only", "postgresql")
    assert done.code == 3
    assert "Nothing was looked at" in done.stdout
    assert "OK" not in done.stdout


@pytest.mark.timeout(60)
def test_an_endless_file_is_no_look(samaops: Samaops) -> None:
    done = samaops("diagnose", "--from", "/dev/zero")
    assert done.code == 64
    assert "not a regular file" in done.stderr


def test_a_file_that_is_too_large_is_no_look(samaops: Samaops) -> None:
    path = samaops.home / "look.json"
    with path.open("wb") as file:
        file.truncate(100 * 1024 * 1024)  # a hole: it takes no place
    done = samaops("diagnose", "--from", path)
    assert done.code == 64
    assert "too large" in done.stderr


def test_a_saved_look_is_taken_from_standard_input(tmp_path: Path) -> None:
    look = gzip.decompress((ROOT / "tests" / "data" / "looks" / "four-faults.json.gz").read_bytes())
    command = [sys.executable, "-m", "samaops", "diagnose", "--from", "-", "-o", "json"]
    environment = {**os.environ, "HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, input=look, capture_output=True, timeout=60, check=False, env=environment)
    assert (done.returncode, json.loads(done.stdout)["status"]) == (2, "critical")
