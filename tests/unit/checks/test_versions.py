"""Which services get no fixes any more: judged over all that was observed, by the day of the look."""

from __future__ import annotations

from datetime import datetime, timezone

from msgspec.structs import replace

from samaops.checks.engine import judge
from samaops.config.settings import Settings
from samaops.facts.maintenance_month import ContainerSafety, SafetyFacts
from samaops.facts.observation import Observation, Snapshot
from samaops.facts.selection import Selection
from samaops.model.finding import Finding
from samaops.site.site import Site
from tests.unit.checks import test_postgresql
from tests.unit.checks.judging import seen

CODE = "maintenance.safety.versions"
NOW = datetime(2026, 6, 1, tzinfo=timezone.utc)


def server(*images: str) -> Observation:
    containers = tuple(ContainerSafety(name, "app", False, (), name) for name in images)
    facts = SafetyFacts((), False, (), containers, ())
    return Observation("maintenance", "safety/db", "db", "SafetyFacts", facts)


def judged(*observations: Observation, at: datetime = NOW) -> list[Finding]:
    found = judge(Snapshot(at, observations), Site(Settings()), Selection(only=(CODE,)))
    return [each for each in found if each.code == CODE]


def test_minio_before_its_last_fix_has_a_known_hole() -> None:
    (old,) = judged(server("quay.io/minio/minio:RELEASE.2024-01-16T16-07-38Z"))
    assert (old.status, old.title) == ("warning", "MinIO of 2024-01-16 has a known hole (CVE-2025-62506)")
    (last,) = judged(server("minio/minio:RELEASE.2025-10-15T17-29-55Z"))
    assert last.status == "ok"


def test_postgresql_gets_fixes_until_a_day_and_no_longer() -> None:
    facts = replace(test_postgresql.HEALTHY, version="15.18", version_number=150018)
    (well,) = judged(server(), seen("postgresql/db", facts))
    assert (well.status, well.title) == ("ok", "Versions that get fixes: PostgreSQL 15.18")
    (late,) = judged(server(), seen("postgresql/db", facts), at=datetime(2027, 11, 12, tzinfo=timezone.utc))
    assert late.title == "PostgreSQL 15.18 gets no fixes since 2027-11-11"


def test_what_is_not_seen_is_not_said_to_get_fixes() -> None:
    assert judged(server("samaconso_api:2.0")) == []
