"""Values that no system has, as a spoiled look may hold them, are unknown or shown as they can be; no check fails."""

from __future__ import annotations

import gzip
import logging
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from samaops.checks import engine
from samaops.collect import store
from samaops.collect.store import Saved
from samaops.facts.observation import Observation
from samaops.model.status import Status
from samaops.portraits import portrait

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
    containers = tuple(replace(container, started_at=1e300) for container in docker.facts.containers)
    facts = replace(docker.facts, containers=containers)
    snapshot = replace(saved.snapshot, observations=(replace(docker, facts=facts),))
    assert portrait.portrait_of(snapshot)
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []
