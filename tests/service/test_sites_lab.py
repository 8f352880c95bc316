"""Two sites that stand behind one real proxy: the lab under two configurations."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.answers import validated
from tests.service.lab_fixture import RunningLab

pytestmark = [pytest.mark.service, pytest.mark.lab, pytest.mark.timeout(300), pytest.mark.xdist_group("lab")]
ROOT = Path(__file__).parents[2]
PROXY = "proxy/127.101.0.10:3128"
SITES = ("dakar", "thies")


@pytest.fixture
def variables(whole_lab: RunningLab, tmp_path: Path) -> dict[str, str]:
    """Return the environment of a control machine that has the lab as two sites."""
    text = Path(whole_lab.calm[1]).read_text(encoding="utf-8")
    for name in SITES:
        path = tmp_path / f"{name}.toml"
        path.touch(mode=0o600)
        path.write_text(re.sub("(?m)^site = .*$", f'site = "{name}"', text), encoding="utf-8")
    return {
        **os.environ,
        "SAMAOPS_SITES": str(tmp_path),
        "XDG_STATE_HOME": str(tmp_path / "state"),
        "PYTHONPATH": str(ROOT),
        "ODBCSYSINI": str(whole_lab.layout.odbc),
    }


@pytest.fixture
def dead_proxy(whole_lab: RunningLab) -> Iterator[None]:
    try:
        whole_lab.samaops("lab", "break", "proxy-down", expected=0)
        yield
    finally:
        whole_lab.samaops("lab", "heal", "proxy-down", expected=0)


def looked_at(lab: RunningLab, variables: dict[str, str]) -> dict[str, Any]:
    words = ["diagnose", "--sites", "all", "--only", "proxy,firebase,redis", "-o", "json"]
    done = subprocess.run(
        [*lab.network, sys.executable, "-m", "samaops", "--lang", "en", *words],
        env=variables, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.stdout, done.stderr
    report: dict[str, Any] = validated(json.loads(done.stdout))
    return report


def test_one_dead_proxy_is_one_root_for_both_sites(
    whole_lab: RunningLab, variables: dict[str, str], dead_proxy: None
) -> None:
    report = looked_at(whole_lab, variables)
    (root,) = report["causes"]
    assert (root["id"], root["subject"], root["sites"]) == ("proxy-down", PROXY, list(SITES))
    explained = {key.partition("@")[2] for key in root["explains"]}
    assert {f"{name}/firebase/fcm.googleapis.com" for name in SITES} <= explained
    well = [finding for finding in report["findings"] if finding["code"] == "redis.service.unreachable"]
    assert [(finding["site"], finding["status"]) for finding in well] == [(name, "ok") for name in SITES]
