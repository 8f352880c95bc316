"""Whatever stands in a saved look or a configuration, there is an answer: a report, or what is wrong and where.

Real ones are spoiled, each time in another way. ``SAMAOPS_FUZZ=5000`` tries as many of each (docs/robustness.md).
"""

from __future__ import annotations

import gzip
import io
import json
import logging
import os
import re
from pathlib import Path
from random import Random
from typing import Any

import pytest
import tomli_w
from rich.console import Console

from samaops.collect import registry
from samaops.config import load
from samaops.config.toml import tomllib
from samaops.errors import ConfigurationError, UsageError
from samaops.facts.selection import EVERYTHING
from samaops.render import faces, human
from samaops.render.faces import Output
from samaops.render.words import UNICODE
from samaops.site.site import Site
from samaops.workflows import configuration, diagnose
from tests.unit.mutations import answered_in_time, as_json, bytes_of, places, spoiled

ROOT = Path(__file__).parents[2]
DATA = ROOT / "tests" / "data"
LOOKS = [
    json.loads(gzip.decompress(path.read_bytes()))
    for path in (*sorted((DATA / "golden").glob("look.*.json.gz")), DATA / "looks" / "four-faults.json.gz")
]
PLACES = [list(places(look)) for look in LOOKS]
_BLOCK = 25
BLOCKS = range(max(1, int(os.environ.get("SAMAOPS_FUZZ", "150")) // _BLOCK))
# What is wrong is said with its place: a dotted path, or the line or character of a file that is no JSON.
_PLACE = re.compile(
    r": (settings|selection|snapshot|well|samaops)\b|line \d+, column \d+|byte \d+|its schema|is missing|right kind|no server"
)


def shown(report: Any, output: Output) -> None:
    if output is Output.HUMAN:
        Console(file=io.StringIO(), width=80).print(human.render(report, human.View(UNICODE, verbose=True)))
    else:
        faces.render(report, output).encode("utf-8", "backslashreplace")


def refusal_of(path: Path, chance: Random) -> str | None:
    """Judge a saved look and show it; return why it was refused. Anything else is raised, and fails the test."""
    try:
        with answered_in_time():
            report = diagnose.judge_saved(path, is_since_well=chance.random() < 0.3)
            shown(report, chance.choices(list(Output), (1, 3, 3, 2, 3, 3))[0])
    except UsageError as error:
        return error.message
    return None


@pytest.mark.parametrize("block", BLOCKS)
def test_any_saved_look_is_judged_or_refused_with_its_place(
    block: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "look.json"
    for number in range(block * _BLOCK, (block + 1) * _BLOCK):
        chance = Random(number)
        look, known = chance.choices(list(zip(LOOKS, PLACES, strict=True)), (2, 2, 2, 1))[0]
        path.write_bytes(bytes_of(as_json(spoiled(look, known, chance)), chance))
        refusal = refusal_of(path, chance)
        assert refusal is None or _PLACE.search(refusal.partition(path.name)[2]), (number, refusal[:500])
        failed = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
        assert failed == [], number


def without_files(value: Any) -> Any:
    """Return settings without the files of the machine that they were taken on."""
    if isinstance(value, dict):
        return {
            key: without_files(one)
            for key, one in value.items()
            if not key.endswith(("_file", "known_hosts"))
        }
    if isinstance(value, list):
        return [without_files(one) for one in value]
    return value


SECRET = "canary-8812"
CONFIGURATIONS = [
    tomllib.loads((ROOT / "config.example.toml").read_text(encoding="utf-8")),
    {
        "servers": {"workers": {"address": "10.0.0.3"}},
        "redis": {"password": SECRET},
        "thresholds": {"redis.memory.high": {"warning": 80.0, "critical": 90}},
    },
    *(without_files(look["settings"]) for look in LOOKS),
]


def problem_of(path: Path) -> str | None:
    """Read a configuration and begin to use it; return what is wrong with it. Anything else is raised."""
    try:
        with answered_in_time():
            read = load.read(path)
            registry.collectors(Site(read.settings), EVERYTHING)
            assert SECRET not in str(configuration.show(read))
    except ConfigurationError as error:
        return error.message
    return None


@pytest.mark.parametrize("block", BLOCKS)
def test_any_configuration_is_read_or_refused_with_its_place(block: int, tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    for number in range(block * _BLOCK, (block + 1) * _BLOCK):
        chance = Random(number)
        plain = CONFIGURATIONS[number % len(CONFIGURATIONS)]
        document = without_null(spoiled(plain, list(places(plain)), chance))
        path.write_bytes(bytes_of(tomli_w.dumps(document).encode("utf-8"), chance))
        path.chmod(0o600)
        problem = problem_of(path)
        assert problem is None or problem.startswith(str(path)), (number, problem[:500])


def without_null(value: Any) -> Any:
    """Return a document without what TOML cannot hold."""
    if isinstance(value, dict):
        return {str(key): without_null(one) for key, one in value.items() if one is not None}
    if isinstance(value, list):
        return [without_null(one) for one in value if one is not None]
    return value
