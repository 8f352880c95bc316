"""What is outside our sight: recorded looks in which our side is well and another's is not, and such in which ours is not."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from samaops.causes import graph
from samaops.collect import store
from samaops.collect.store import Saved
from samaops.config import playbooks
from samaops.config.settings import Settings
from samaops.facts.observation import Observation
from samaops.model.cause import Verdict
from samaops.model.failure import Failure, FailureKind
from samaops.model.finding import Finding
from samaops.model.received import decode
from samaops.model.report import Report
from samaops.model.status import Status
from samaops.render import json as as_json
from samaops.render import words
from samaops.site.site import Site
from samaops.workflows import diagnose

LOOK = Path(__file__).parents[2] / "data" / "golden" / "look.healthy.json.gz"
OUTSIDE = ("balancer", "sqlserver", "network", "application", "names", "service", "task-code")


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Saved:
    path = tmp_path_factory.mktemp("look") / "look.json"
    path.write_bytes(gzip.decompress(LOOK.read_bytes()))
    return store.load(path)


Change = Callable[[Observation], Observation]


def judged(saved: Saved, *changes: Change) -> Report:
    observations = saved.snapshot.observations
    for change in changes:
        observations = tuple(map(change, observations))
    return diagnose.judge(replace(saved.snapshot, observations=observations), saved.site, saved.selection)


def answers_late(subject: str, connect_ms: float, first_byte_ms: float) -> Change:
    times = {"connect_ms": connect_ms, "first_byte_ms": first_byte_ms, "samples_ms": (first_byte_ms,) * 3}

    def change(seen: Observation) -> Observation:
        if seen.subject != subject:
            return seen
        return replace(seen, facts=replace(seen.facts, answer=replace(seen.facts.answer, **times)))

    return change


def with_facts(subject: str, **values: Any) -> Change:
    def change(seen: Observation) -> Observation:
        is_it = seen.subject == subject and all(hasattr(seen.facts, name) for name in values)
        return replace(seen, facts=replace(seen.facts, **values)) if is_it else seen

    return change


def tasks_fail(exception: str) -> Change:
    def change(seen: Observation) -> Observation:
        if seen.facts_type != "CeleryFacts":
            return seen
        recent = replace(
            seen.facts.recent,
            outcomes=(False,) * 20 + (True,) * 20,
            exception=exception,
            exception_count=20,
            exception_of=20,
            failing_names={"pay_bill": 20},
            reasons=(),
        )
        return replace(seen, facts=replace(seen.facts, recent=recent))

    return change


def unresolved(*subjects: str) -> Change:
    def change(seen: Observation) -> Observation:
        if seen.subject not in subjects:
            return seen
        host = f"{seen.subject.replace('/', '.')}.example.sn"
        failure = Failure(FailureKind.NAME, f"{host}: Temporary failure in name resolution", "name")
        return replace(seen, facts=None, failure=failure)

    return change


PROVIDER = (
    "ConnectTimeout(MaxRetryError(\"HTTPSConnectionPool(host='api.paydunya.com', port=443): Max retries exceeded with "
    'url: /v1/charge (Caused by ConnectTimeoutError)"))'
)
# The server of the members was busy in the moment of the recorded look.
AT_REST = with_facts("servers/api", load_1=0.5)
SLOW_SERVER = {"port_ms": 3.0, "query_ms": 1800.0}


@pytest.mark.parametrize(
    ("changes", "cause_id", "subject", "says"),
    [
        ((answers_late("loadbalancer/vip", 0.8, 2400.0),), "outside-balancer", "loadbalancer/vip", "each member answers well"),
        ((with_facts("sqlserver/sic", **SLOW_SERVER),), "outside-sqlserver", "sqlserver/sic", "slow itself"),
        ((with_facts("sqlserver/sic", port_ms=1500.0, query_ms=1600.0),), "outside-network", "sqlserver/sic", "The way to sic"),
        ((answers_late("api/api_2", 0.4, 3100.0), AT_REST), "outside-application", "api/api_2", "its own code"),
        ((answers_late("api/api_2", 2900.0, 3100.0), AT_REST), "outside-network", "api/api_2", "The way to api_2"),
        ((unresolved("sqlserver/sic", "minio/db"),), "outside-names", "minio/db", "Names are not resolved"),
        ((tasks_fail(PROVIDER),), "outside-service", "celery/tasks", "api.paydunya.com"),
        ((tasks_fail("TypeError(\"unsupported operand type(s) for +: 'int' and 'str'\")"),), "outside-task-code", "celery/tasks", "own code"),
    ],
    ids=lambda value: value if isinstance(value, str) and value.startswith("outside") else None,
)  # fmt: skip
def test_where_our_side_is_well_the_verdict_is_outside_and_the_request_is_offered(
    saved: Saved, changes: tuple[Change, ...], cause_id: str, subject: str, says: str
) -> None:
    report = judged(saved, *changes)
    (cause,) = report.causes
    assert (cause.id, cause.verdict, cause.subject) == (cause_id, Verdict.OUTSIDE, subject)
    assert says in cause.title
    assert len(cause.speaks_for) >= 2, "what was seen to be well on our side is said"
    (fix,) = cause.fixes
    assert "troubleshoot" in fix.commands[0]
    request = requests()[cause_id]
    assert request.startswith("To: ")
    assert "{evidence}" in request


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ((answers_late("loadbalancer/vip", 0.8, 2400.0), answers_late("api/api_1", 0.4, 700.0)), "a member is slow too"),
        ((with_facts("sqlserver/sic", **SLOW_SERVER), with_facts("postgresql/db", ping_ms=900.0)), "our database is slow"),
        ((answers_late("api/api_2", 0.4, 3100.0), with_facts("servers/api", load_1=400.0)), "its server is busy"),
        ((unresolved("minio/db"),), "one name alone may be wrong in our configuration"),
        ((tasks_fail(PROVIDER.replace("api.paydunya.com", "10.101.0.9")),), "a private address may be ours"),
        ((tasks_fail(PROVIDER.replace("api.paydunya.com", "fcm.googleapis.com")),), "Google is looked at"),
        ((tasks_fail("ProxyError('Tunnel connection failed: https://api.paydunya.com/ 403')"),), "the proxy said it"),
        ((tasks_fail(PROVIDER), unresolved("proxy/127.101.0.10:3128")), "nobody knows whether the way out is well"),
        ((tasks_fail("KeyError('FCM_PROJECT_ID')"),), "a setting is missing"),
        ((tasks_fail("TypeError('send() missing 1 required positional argument')"),), "two releases"),
        ((tasks_fail("ValueError('x')"),), "it may be our data or settings"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)  # fmt: skip
def test_where_our_side_is_not_seen_to_be_well_nobody_else_is_blamed(
    saved: Saved, changes: tuple[Change, ...], why: str
) -> None:
    report = judged(saved, *changes)
    assert [cause.id for cause in report.causes if cause.verdict is Verdict.OUTSIDE] == [], why


def test_a_deployment_or_a_memory_kill_lately_is_not_blamed_for_what_is_outside(saved: Saved) -> None:
    taken = saved.snapshot.taken_at.timestamp()

    def lately(seen: Observation) -> Observation:
        if seen.facts_type != "DockerFacts":
            return seen
        containers = tuple(replace(each, started_at=taken - 400) for each in seen.facts.containers)
        return replace(seen, facts=replace(seen.facts, containers=containers))

    report = judged(saved, tasks_fail(PROVIDER), lately)
    assert [cause.id for cause in report.causes] == ["outside-service"]
    document = as_json.render(report)
    (cause,) = json.loads(document)["causes"]
    assert (cause["verdict"], cause["outside"]) == ("inconclusive", True)  # machines know three verdicts
    assert decode(document).causes[0].verdict is Verdict.OUTSIDE


def test_what_is_nearer_explains_it(saved: Saved) -> None:
    def paused(seen: Observation) -> Observation:
        if seen.facts_type != "PgBouncerFacts":
            return seen
        console = seen.facts.console
        databases = tuple(replace(each, is_paused=True) for each in console.databases)
        return replace(seen, facts=replace(seen.facts, console=replace(console, databases=databases)))

    report = judged(saved, paused, answers_late("api/api_2", 0.4, 3100.0))
    assert [cause.id for cause in report.causes] == ["pgbouncer-paused"]


def test_a_machine_without_time_blames_nobody_for_the_time_that_went_by() -> None:
    slow = Finding(
        "sqlserver.latency.high",
        Status.CRITICAL,
        "sqlserver/sic",
        "",
        evidence={"port_ms": 3.0, "query_ms": 1800.0},
    )
    codes = ("postgresql.service.unreachable", "postgresql.latency.high")
    well = [Finding(code, Status.OK, "postgresql/db", code) for code in codes]
    for load, verdict in ((1.0, Verdict.OUTSIDE), (None, Verdict.OUTSIDE), (7.0, Verdict.INCONCLUSIVE)):
        _findings, (cause,) = graph.explain((slow, *well), Site(Settings()), load)
        assert (cause.id, cause.verdict) == ("outside-sqlserver", verdict)


def test_each_has_one_request_and_a_word_for_people() -> None:
    declared = {name for each in graph.DECLARATIONS for name in each.ids if name.startswith("outside-")}
    assert declared == {f"outside-{each}" for each in OUTSIDE}
    assert requests().keys() == declared
    assert len(set(requests().values())) == len(declared)
    assert words.verdict(Verdict.OUTSIDE) == "outside our sight"


def requests() -> Mapping[str, str]:
    known = playbooks.all_of(Settings())
    found = {}
    for playbook in known.values():
        for name, described in playbook.causes.items():
            if name.startswith("outside-"):
                (fix,) = described.fixes
                found[name] = str(playbook.fixes[fix].text)
    return found
