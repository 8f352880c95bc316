"""What a look shows is up, degraded or down; what could not be looked at is none of them."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import pytest
from msgspec.structs import replace

from samaops.config.settings import Settings
from samaops.facts.api import ApiFacts
from samaops.facts.health import HealthAnswer
from samaops.facts.loadbalancer import VipFacts
from samaops.facts.observation import Observation, Snapshot
from samaops.facts.pgbouncer import Console, PgBouncerFacts, PooledQuery, PooledSession
from samaops.facts.rabbitmq import BrokerQueue, QueueHistory
from samaops.facts.sample import DEGRADED, DOWN, UNOBSERVED, UP, WHOLE, Sample
from samaops.model.failure import Failure, FailureKind
from samaops.site.site import Site
from samaops.workflows.reports import sampling

AT = datetime(2026, 11, 1, 12, 10, tzinfo=timezone.utc)
SITE = Site(
    Settings.model_validate(
        {
            "servers": {"api": {"address": "10.0.0.1"}, "db": {"address": "10.0.0.2"}},
            "api": {
                "instances": [
                    {"name": name, "server": "api", "url": f"http://10.0.0.1:{port}"}
                    for name, port in (("api1", 8001), ("api2", 8002))
                ]
            },
            "pgbouncer": {"server": "db"},
            "rabbitmq": {"server": "api", "queues": {"normal": 5, "urgent": 9}},
        }
    )
)
ANSWER = HealthAnswer(
    "http://x/health", 200, "uvicorn", "application/json", "running", "2", "", 1.0, 5.0, (12.0, 4.0)
)
QUEUE = BrokerQueue("normal", "running", 1, 0, 0, 0, True, False, 0.0, 0.0, 0.0, 0.0, None, None)
SESSION = PooledSession("app", "samaconso", 0.0, in_recovery=False, is_read_only=False, search_path="public")


def observed(
    subject: str, facts: Any = None, kind: FailureKind | None = None, type_: str = ""
) -> Observation:
    failure = Failure(kind, "why", "connect") if kind else None
    return Observation(
        subject.partition("/")[0], subject, "api", type_ or type(facts).__name__, facts, failure
    )


def samples_of(*observations: Observation) -> dict[str, Sample]:
    return {each.subject: each for each in sampling.samples_of(Snapshot(AT, observations), SITE)}


def vip(kind: FailureKind | None = None, **changes: Any) -> Observation:
    facts = None if kind else VipFacts(replace(ANSWER, **changes))
    return observed("loadbalancer/vip", facts, kind, "VipFacts")


def member(name: str, kind: FailureKind | None = None, **changes: Any) -> Observation:
    return observed(
        f"api/{name}", None if kind else ApiFacts(name, replace(ANSWER, **changes)), kind, "ApiFacts"
    )


@pytest.mark.parametrize(
    ("observation", "state", "value"),
    [
        (vip(), UP, 12.0),
        (vip(samples_ms=(650.0,)), DEGRADED, 650.0),
        (vip(status=502), DOWN, None),
        (vip(body_status="starting"), DOWN, None),
        (vip(FailureKind.REFUSED), DOWN, None),
        (vip(FailureKind.NO_ANSWER), DOWN, None),
        (vip(FailureKind.DEADLINE), UNOBSERVED, None),
        (vip(FailureKind.NAME), UNOBSERVED, None),
    ],
)
def test_the_service_is_what_customers_get(observation: Observation, state: str, value: float | None) -> None:
    seen = samples_of(observation, member("api1"))[WHOLE]
    assert (seen.state, seen.value) == (state, value)


def test_without_a_balancer_the_service_is_there_while_a_member_is() -> None:
    assert samples_of(member("api1", FailureKind.REFUSED), member("api2"))[WHOLE].state == UP
    assert samples_of(member("api1", status=500), member("api2", status=500))[WHOLE].state == DOWN
    assert (
        samples_of(member("api1", status=500), member("api2", FailureKind.DEADLINE))[WHOLE].state
        == UNOBSERVED
    )


def test_when_nobody_answers_it_is_this_machine_that_cannot_look() -> None:
    seen = samples_of(
        vip(FailureKind.SILENT), member("api1", FailureKind.SILENT), member("api2", FailureKind.REFUSED)
    )
    assert {each.state for each in seen.values()} == {UNOBSERVED}
    seen = samples_of(vip(FailureKind.SILENT), member("api1", FailureKind.SILENT), member("api2"))
    assert [each.state for each in seen.values()] == [DOWN, DOWN, UP]


def pool(
    query: PooledQuery | None, console: Console | None = None, kind: FailureKind | None = None
) -> Observation:
    facts = None if kind else PgBouncerFacts("console", "1.18", console=console, query=query)
    return observed("pgbouncer/db", facts, kind, "PgBouncerFacts")


@pytest.mark.parametrize(
    ("query", "state"),
    [
        (PooledQuery(3.0, session=SESSION), UP),
        (PooledQuery(120.0, session=SESSION), DEGRADED),
        (PooledQuery(3.0, session=replace(SESSION, is_read_only=True)), DEGRADED),
        (PooledQuery(None, "server login failed", "unavailable"), DOWN),
        (PooledQuery(None, "password authentication failed", "authentication"), UNOBSERVED),
        (None, UNOBSERVED),
    ],
)
def test_the_database_is_what_the_application_gets(query: PooledQuery | None, state: str) -> None:
    console = Console({"max_client_conn": "1000"}, (), (), (), 850)
    seen = samples_of(member("api1"), pool(query, console))
    assert seen["database/application"].state == state
    assert (seen["pool/clients"].state, seen["pool/clients"].value) == (DEGRADED, 850.0)
    assert seen["pool/limit"].value == 1000.0


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({}, UP),
        ({"ready": 40, "consumers": 0}, DOWN),
        ({"consumers": 0}, DEGRADED),
        ({"ready": 1000}, DEGRADED),
        ({"ready": 3, "history": QueueHistory(600, 3, 0, 600, None, 0)}, DEGRADED),
        ({"state": "crashed"}, DOWN),
        ({"ready": None}, UNOBSERVED),
    ],
)
def test_a_queue_serves_while_somebody_takes_what_waits(changes: dict[str, Any], state: str) -> None:
    assert sampling._queue("queue/normal", replace(QUEUE, **changes)).state == state


def test_disks_are_looked_at_every_tenth_minute() -> None:
    assert "servers.disk.inodes" in sampling.codes_of(SITE, AT)
    assert "servers.disk.inodes" not in sampling.codes_of(SITE, AT.replace(minute=11))
