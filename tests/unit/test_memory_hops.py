"""The hops of a write into Redis: killed, refusing or evicting are told apart; and what a fix may speak of."""

from __future__ import annotations

from datetime import datetime, timezone
from functools import partial
from typing import Any

import pytest
from msgspec.structs import replace

from samaops.config.playbooks import all_of
from samaops.config.settings import Settings
from samaops.facts.docker import Container, DockerFacts
from samaops.facts.observation import Observation, Snapshot
from samaops.facts.redis import RedisFacts
from samaops.model.cause import Cause, Verdict
from samaops.model.finding import Finding
from samaops.model.status import Status
from samaops.site.site import Site
from samaops.workflows.troubleshooting import hops, memory_counts, names
from tests.unit.changes.test_plans import CONTAINER
from tests.unit.checks.judged import with_fields
from tests.unit.checks.test_redis import EVICTING, FULL, HEALTHY, MB

SITE = Settings.model_validate({"servers": {"workers": {"address": "127.0.0.1"}}, "redis": {}})
REDIS = replace(CONTAINER, name="samaconso_redis", memory_limit=4096 * MB)


def way(redis: RedisFacts | None, container: Container = REDIS, *found: Finding) -> dict[str, Finding]:
    engine = DockerFacts(1.0, 8192 * MB, (), (container,), None, None)
    seen = (
        Observation("redis", "redis/workers", "workers", "RedisFacts", redis),
        Observation("docker", "docker/workers", "workers", "DockerFacts", engine),
    )
    count = partial(memory_counts.count, snapshot=Snapshot(datetime.now(timezone.utc), seen), site=Site(SITE))
    made = hops.findings("redis-full", hops.counted(all_of(SITE)["redis-full"].hops, found, count), {})
    return {finding.subject.partition("/")[2]: finding for finding in made}


def test_each_hop_has_the_count_of_its_own() -> None:
    facts = with_fields(HEALTHY, {**FULL, **EVICTING, "traffic.refused_writes": {"OOM": 12, "MISCONF": 0}})
    found = way(facts)
    values = {name: finding.value for name, finding in found.items()}
    assert values == {"alive": 864_000, "accepted": 12, "kept": 5000, "owned": 1_000_000, "saved": 10}
    assert found["accepted"].detail == "since its start: OOM 12"
    assert found["kept"].detail == "500/s now; 2.9 GB of 2.9 GB (allkeys-lru)"
    assert found["owned"].detail == "90 % of the sampled bytes are samaconso:consumption:*"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"oom_killed": True, "state": "exited", "exit_code": 137},
            "killed: its container reached its memory",
        ),
        ({"state": "exited", "exit_code": 1}, "its container ended with exit code 1"),
        ({"state": "exited", "exit_code": 0}, "its container was stopped (0)"),
        ({}, "it does not answer"),
    ],
)
def test_killed_is_told_from_stopped(changes: dict[str, Any], said: str) -> None:
    found = way(None, replace(REDIS, **changes))
    assert said in found["alive"].detail
    assert found["accepted"].status is Status.UNKNOWN


def test_one_that_was_killed_lately_and_runs_again_says_so() -> None:
    again = replace(REDIS, oom_killed=True)
    assert "killed" in way(with_fields(HEALTHY, {"uptime_seconds": 40}), again)["alive"].detail
    assert "killed" not in way(HEALTHY, again)["alive"].detail


def spoken(code: str, more: tuple[Finding, ...] = (), **evidence: Any) -> dict[str, str]:
    finding = Finding(code, Status.WARNING, "redis/workers", "", evidence=evidence)
    keys = (finding.key, *(each.key for each in more))
    of = Cause("x", "redis-full", Verdict.CONFIRMED, "redis/workers", "", (), (), keys, ())
    return names.of_redis(of, (finding, *more))


def test_a_fix_speaks_of_what_was_seen_and_of_nothing_else() -> None:
    assert spoken("redis.keys.no_expiry", dominant_prefix="cache:") == {"prefix": "cache:"}
    assert spoken("redis.keys.big", key="big", bytes=7) == {"key": "big"}
    different = Finding(
        "redis.policy.different", Status.WARNING, "redis/workers", "", evidence={"expected": "allkeys-lru"}
    )
    assert spoken("redis.memory.refusing_writes", (different,), maxmemory=100 * MB, reason="OOM") == {
        "policy": "allkeys-lru",
        "maxmemory": "125mb",
    }
    assert spoken("redis.memory.refusing_writes", maxmemory=100 * MB, reason="MISCONF") == {}
    over = partial(spoken, "redis.memory.over_container", maxmemory=0, limit=1000 * MB)
    assert over(used_memory=10 * MB) == {"maxmemory": "700mb"}
    assert over(used_memory=800 * MB) == {}
