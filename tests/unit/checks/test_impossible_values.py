"""Values that no system has, as a spoiled look may hold them, are unknown or shown as they can be; no check fails."""

from __future__ import annotations

import gzip
import json
import logging
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from samaops.checks import engine
from samaops.collect import store
from samaops.collect.store import Saved
from samaops.errors import UsageError
from samaops.facts.observation import Observation
from samaops.model.status import Status
from samaops.portraits import portrait
from samaops.portraits.systems import LAST_MOMENT

LOOK = Path(__file__).parents[2] / "data" / "golden" / "look.healthy.json.gz"


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Saved:
    path = tmp_path_factory.mktemp("look") / "look.json"
    path.write_bytes(gzip.decompress(LOOK.read_bytes()))
    return store.load(path)


def changed(saved: Saved, facts_type: str, **values: Any) -> tuple[Observation, ...]:
    return tuple(
        replace(seen, facts=replace(seen.facts, **values)) if seen.facts_type == facts_type else seen
        for seen in saved.snapshot.observations
    )


@pytest.mark.parametrize(
    ("code", "status", "facts_type", "values"),
    [
        ("certificates.expiry.near", Status.OK, "CertificateFacts", {"valid_until": 1.8e12}),
        ("certificates.expiry.near", Status.CRITICAL, "CertificateFacts", {"valid_from": 1.8e12}),
        ("certificates.expiry.near", Status.CRITICAL, "CertificateFacts", {"valid_until": -1.8e12}),
        ("docker.memory.overcommitted", Status.UNKNOWN, "DockerFacts", {"memory_total": 0}),
        ("servers.memory.low", Status.UNKNOWN, "ServerFacts", {"memory_total": 0}),
        ("servers.load.high", Status.UNKNOWN, "ServerFacts", {"processors": 0}),
        ("postgresql.service.unreachable", Status.OK, "PostgresFacts", {"version": ""}),
    ],
)
def test_no_check_fails(
    saved: Saved,
    caplog: pytest.LogCaptureFixture,
    code: str,
    status: Status,
    facts_type: str,
    values: dict[str, Any],
) -> None:
    snapshot = replace(saved.snapshot, observations=changed(saved, facts_type, **values))
    findings = [
        finding for finding in engine.judge(snapshot, saved.site, saved.selection) if finding.code == code
    ]
    assert {finding.status for finding in findings} == {status}
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


def test_no_portrait_fails(saved: Saved, caplog: pytest.LogCaptureFixture) -> None:
    docker = next(seen for seen in saved.snapshot.observations if seen.facts_type == "DockerFacts")
    containers = tuple(
        replace(container, started_at=LAST_MOMENT * 1e9) for container in docker.facts.containers
    )
    facts = replace(docker.facts, containers=containers)
    snapshot = replace(saved.snapshot, observations=(replace(docker, facts=facts),))
    assert portrait.portrait_of(snapshot)
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


def test_a_line_of_a_hosts_file_without_a_word_is_passed_over(
    saved: Saved, caplog: pytest.LogCaptureFixture
) -> None:
    def spoiled(seen: Observation) -> Observation:
        if seen.facts_type != "DockerFacts":
            return seen
        containers = tuple(replace(container, hosts=("", " ")) for container in seen.facts.containers)
        return replace(seen, facts=replace(seen.facts, containers=containers))

    observations = tuple(map(spoiled, saved.snapshot.observations))
    assert engine.judge(replace(saved.snapshot, observations=observations), saved.site, saved.selection)
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


def test_a_health_path_of_which_no_answer_was_timed_is_no_look(tmp_path: Path) -> None:
    look = json.loads(gzip.decompress(LOOK.read_bytes()))
    number, seen = next(
        (number, seen)
        for number, seen in enumerate(look["snapshot"]["observations"])
        if seen["facts_type"] == "ApiFacts"
    )
    seen["facts"]["answer"]["samples_ms"] = []
    path = tmp_path / "look.json"
    path.write_text(json.dumps(look))
    with pytest.raises(UsageError, match=rf"observations\[{number}\]\.facts\.answer\.samples_ms"):
        store.load(path)
