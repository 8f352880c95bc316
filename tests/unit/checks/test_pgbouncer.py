"""Each judgement of PgBouncer, as data."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import pytest
from msgspec.structs import replace

from samaops.checks import engine
from samaops.checks.registry import rules
from samaops.config.settings import Settings
from samaops.facts.log import LogLine
from samaops.facts.observation import Observation, Snapshot
from samaops.facts.pgbouncer import (
    Console,
    PgBouncerFacts,
    Pool,
    PooledDatabase,
    PooledQuery,
    PooledSession,
    Sequence,
    Traffic,
)
from samaops.facts.postgresql import Connections, Setting
from samaops.facts.servers import ServiceLog, ServiceLogs
from samaops.model.failure import Failure, FailureKind
from samaops.model.finding import Finding
from samaops.model.status import Status
from samaops.site.site import Site
from tests.unit.checks.test_postgresql import APPLICATION
from tests.unit.checks.test_postgresql import HEALTHY as POSTGRESQL

OK, WARNING, CRITICAL, UNKNOWN, SKIPPED = (
    Status.OK,
    Status.WARNING,
    Status.CRITICAL,
    Status.UNKNOWN,
    Status.SKIPPED,
)
SETTINGS = Settings.model_validate(
    {
        "servers": {"db": {"address": "127.0.0.1"}},
        "postgresql": {},
        "pgbouncer": {"expected_settings": {"pool_mode": "transaction", "max_client_conn": "100"}},
    }
)
DATABASE = PooledDatabase("samaconso", "127.0.0.1", 20, 5, None, None, 10, False, False)
POOL = Pool("samaconso", "samaconso_user", 10, 0, 5, 5, 0, 0.0, "transaction")
CONSOLE = Console(
    {"pool_mode": "transaction", "max_client_conn": "100"},
    (DATABASE,),
    (POOL,),
    (Traffic("samaconso", 1, 1, 1, 1),),
    10,
)
SESSION = PooledSession("samaconso_user", "samaconso", 1.0, False, False, "public")
SEQUENCE = Sequence("users_id_seq", "users.id", 20_000, 2_147_483_647, 0.0)
QUERY = PooledQuery(1.0, session=SESSION, sequences=(SEQUENCE,))
HEALTHY = PgBouncerFacts("console", "1.18.0", CONSOLE, QUERY)


def judge(
    facts: PgBouncerFacts | None,
    failure: Failure | None = None,
    beside: ServiceLogs | None = None,
    **missing: Failure,
) -> dict[str, Finding]:
    pool = Observation("pgbouncer", "pgbouncer/db", "db", "PgBouncerFacts", facts, failure, missing)
    ssl = Setting("off", "off", None, "default", False)
    behind = replace(
        POSTGRESQL,
        started_at=1.0,
        settings={**(POSTGRESQL.settings or {}), "ssl": ssl},
        application=replace(APPLICATION, user="samaconso_user"),
    )
    server = Observation("postgresql", "postgresql/db", "db", "PostgresFacts", behind)
    logs = Observation("servers", "servers/db", "db", "ServiceLogs", beside)
    looks = (pool, server) if beside is None else (pool, server, logs)
    snapshot = Snapshot(datetime(2026, 1, 1, tzinfo=timezone.utc), looks)
    return {one.code: one for one in engine.judge(snapshot, Site(SETTINGS)) if one.system == "pgbouncer"}


def pool(**changes: Any) -> dict[str, Any]:
    return {"pools": (replace(POOL, **changes),)}


def database(**changes: Any) -> dict[str, Any]:
    return {"databases": (replace(DATABASE, **changes),)}


CASES: list[tuple[str, dict[str, Any], Status]] = [
    ("pgbouncer.service.unreachable", {}, OK),
    ("pgbouncer.pool.paused", {}, OK),
    ("pgbouncer.pool.paused", database(is_paused=True), CRITICAL),
    ("pgbouncer.pool.paused", {"is_held": True}, CRITICAL),
    ("pgbouncer.pool.paused", {"is_held": False}, OK),
    (
        "pgbouncer.pool.paused",
        pool(servers_busy=0, servers_free=0, clients_waiting=1, maxwait_seconds=5.0),
        CRITICAL,
    ),
    ("pgbouncer.database.disabled", {}, OK),
    ("pgbouncer.database.disabled", database(is_disabled=True), CRITICAL),
    ("pgbouncer.pool.waiting", {}, OK),
    ("pgbouncer.pool.waiting", pool(clients_waiting=3, maxwait_seconds=0.9), OK),
    ("pgbouncer.pool.waiting", pool(clients_waiting=3, maxwait_seconds=1.0), WARNING),
    ("pgbouncer.pool.waiting", pool(clients_waiting=3, maxwait_seconds=10.0), CRITICAL),
    ("pgbouncer.pool.saturated", {}, OK),
    ("pgbouncer.pool.saturated", {"pools": ()}, OK),
    ("pgbouncer.pool.saturated", pool(servers_busy=20), WARNING),
    ("pgbouncer.pool.saturated", pool(servers_busy=20, clients_waiting=1, maxwait_seconds=2.0), CRITICAL),
    ("pgbouncer.login.stuck", {}, OK),
    (
        "pgbouncer.login.stuck",
        pool(servers_busy=1, servers_free=0, clients_waiting=1, maxwait_seconds=5.0),
        OK,
    ),
    (
        "pgbouncer.login.stuck",
        pool(servers_busy=0, servers_free=0, servers_login=1, clients_waiting=1, maxwait_seconds=5.0),
        CRITICAL,
    ),
    (
        "pgbouncer.login.stuck",
        {
            **pool(servers_busy=0, servers_free=0, clients_waiting=1, maxwait_seconds=5.0),
            **database(is_paused=True),
        },
        OK,
    ),
    ("pgbouncer.settings.different", {}, OK),
    (
        "pgbouncer.settings.different",
        {"settings": {"pool_mode": "session", "max_client_conn": "100"}},
        WARNING,
    ),
    ("pgbouncer.settings.different", database(pool_mode="session"), WARNING),
    ("pgbouncer.clients.high", {}, OK),
    ("pgbouncer.clients.high", {"clients": 80}, WARNING),
    ("pgbouncer.clients.high", {"clients": 95}, CRITICAL),
    ("pgbouncer.limit.reached", {}, OK),
    ("pgbouncer.limit.reached", database(max_connections=10), WARNING),
    ("pgbouncer.limit.reached", {**database(max_connections=10), **pool(clients_waiting=1)}, CRITICAL),
    (
        "pgbouncer.limit.reached",
        {"settings": {"pool_mode": "transaction", "max_client_conn": "100", "max_user_connections": "10"}},
        WARNING,
    ),
    ("pgbouncer.pool.bypassed", {}, OK),
    ("pgbouncer.pool.bypassed", {"pools": ()}, WARNING),
    ("pgbouncer.pool.oversized", {}, OK),
    ("pgbouncer.pool.oversized", database(pool_size=95), OK),  # 95 + 5 of 100
    ("pgbouncer.pool.oversized", database(pool_size=96), WARNING),
    ("pgbouncer.pool.oversized", database(pool_size=200, max_connections=50), OK),
]


@pytest.mark.parametrize(("code", "changes", "expected"), CASES)
def test_each_check_judges_what_was_observed(code: str, changes: dict[str, Any], expected: Status) -> None:
    finding = judge(replace(HEALTHY, console=replace(CONSOLE, **changes)))[code]

    assert finding.status is expected, finding.title
    assert finding.subject == "pgbouncer/db"


QUERIES = [
    (PooledQuery(1.0), OK),
    (PooledQuery(101.0), WARNING),
    (PooledQuery(501.0), CRITICAL),
    (PooledQuery(None, "no answer", "no_answer", "query"), CRITICAL),
    (PooledQuery(None, "server login has been failing", "dependency", "query"), CRITICAL),
    (PooledQuery(None, "permission denied", "permission", "query"), UNKNOWN),
    (None, SKIPPED),
]


@pytest.mark.parametrize(("query", "expected"), QUERIES)
def test_a_query_through_the_pool_is_judged_when_it_was_sent(
    query: PooledQuery | None, expected: Status
) -> None:
    assert judge(PgBouncerFacts("pool", None, None, query))["pgbouncer.query.failed"].status is expected


SESSIONS: list[tuple[str, PooledQuery | None, Status]] = [
    ("pgbouncer.write.refused", QUERY, OK),
    ("pgbouncer.write.refused", replace(QUERY, session=replace(SESSION, is_read_only=True)), CRITICAL),
    ("pgbouncer.write.refused", replace(QUERY, session=replace(SESSION, in_recovery=True)), CRITICAL),
    ("pgbouncer.write.refused", PooledQuery(None, "no answer", "no_answer", "query"), SKIPPED),
    ("pgbouncer.write.refused", None, SKIPPED),
    ("pgbouncer.route.different", QUERY, OK),
    ("pgbouncer.route.different", replace(QUERY, session=replace(SESSION, database="other")), CRITICAL),
    ("pgbouncer.route.different", replace(QUERY, session=replace(SESSION, user="other")), CRITICAL),
    ("pgbouncer.route.different", replace(QUERY, session=replace(SESSION, server_started_at=2.0)), CRITICAL),
    ("pgbouncer.route.different", replace(QUERY, session=replace(SESSION, led_past=("public",))), CRITICAL),
    ("pgbouncer.route.different", None, SKIPPED),
    ("pgbouncer.sequence.exhausted", QUERY, OK),
    ("pgbouncer.sequence.exhausted", replace(QUERY, sequences=()), OK),
    ("pgbouncer.sequence.exhausted", replace(QUERY, sequences=(replace(SEQUENCE, percent=80.0),)), WARNING),
    ("pgbouncer.sequence.exhausted", replace(QUERY, sequences=(replace(SEQUENCE, percent=99.0),)), CRITICAL),
    ("pgbouncer.sequence.exhausted", replace(QUERY, sequences=None), SKIPPED),
    ("pgbouncer.sequence.exhausted", replace(QUERY, sequences_not_asked=1), UNKNOWN),
    ("pgbouncer.sequence.exhausted", replace(QUERY, sequences=(), sequences_not_asked=1), UNKNOWN),
    (
        "pgbouncer.sequence.exhausted",
        replace(QUERY, sequences=(replace(SEQUENCE, percent=99.0),), sequences_not_asked=1),
        CRITICAL,
    ),
]


@pytest.mark.parametrize(("code", "query", "expected"), SESSIONS)
def test_the_session_that_the_application_gets_is_judged(
    code: str, query: PooledQuery | None, expected: Status
) -> None:
    assert judge(replace(HEALTHY, query=query))[code].status is expected


def test_a_pool_of_one_is_not_as_the_guide_wants_it() -> None:
    settings = SETTINGS.model_copy(
        update={"pgbouncer": SETTINGS.pgbouncer and SETTINGS.pgbouncer.model_copy(
            update={"expected_settings": {"default_pool_size": "20"}})}
    )  # fmt: skip
    small = replace(CONSOLE, settings={"default_pool_size": "20"}, **database(pool_size=1))
    pool = Observation("pgbouncer", "pgbouncer/db", "db", "PgBouncerFacts", replace(HEALTHY, console=small))
    snapshot = Snapshot(datetime(2026, 1, 1, tzinfo=timezone.utc), (pool,))
    found = {finding.code: finding for finding in engine.judge(snapshot, Site(settings))}
    different = found["pgbouncer.settings.different"].evidence["different"]
    assert different == {"samaconso.pool_size": {"expected": "20", "actual": "1"}}


def test_without_the_console_what_only_it_knows_is_unknown() -> None:
    reason = Failure(FailureKind.MISSING, "admin_password is not configured", "console")
    found = judge(PgBouncerFacts("pool", None, None, PooledQuery(1.0)), console=reason)
    needing = {rule.code for rule in rules(("pgbouncer",)) if "console" in rule.needs}

    assert {code for code, finding in found.items() if finding.status is UNKNOWN} == needing
    assert found["pgbouncer.service.unreachable"].status is OK


@pytest.mark.parametrize(
    ("kind", "expected"), [(FailureKind.REFUSED, CRITICAL), (FailureKind.AUTHENTICATION, UNKNOWN)]
)
def test_an_unreachable_pool_is_said_once_and_the_rest_is_skipped(
    kind: FailureKind, expected: Status
) -> None:
    found = judge(None, Failure(kind, "words", "connect"))

    assert found.pop("pgbouncer.service.unreachable").status is expected
    assert {finding.status for finding in found.values()} == {SKIPPED}


def test_every_check_of_the_console_has_a_case_that_is_bad() -> None:
    bad = {code for code, _changes, status in CASES if status in (WARNING, CRITICAL)}
    registered = {rule.code for rule in rules(("pgbouncer",)) if rule.needs == ("console",)}

    assert registered == bad


def test_pools_are_not_called_too_big_when_nobody_knows_the_limit() -> None:
    observation = Observation("pgbouncer", "pgbouncer/db", "db", "PgBouncerFacts", HEALTHY)
    snapshot = Snapshot(datetime(2026, 1, 1, tzinfo=timezone.utc), (observation,))
    found = {one.code: one for one in engine.judge(snapshot, Site(SETTINGS))}

    assert found["pgbouncer.pool.oversized"].status is SKIPPED


def test_the_configured_database_is_named_first_among_the_paused() -> None:
    two = (replace(DATABASE, name="aaa", is_paused=True), replace(DATABASE, is_paused=True))
    finding = judge(replace(HEALTHY, console=replace(CONSOLE, databases=two)))["pgbouncer.pool.paused"]

    assert finding.evidence["database"] == "samaconso"
    assert finding.evidence["databases"] == ["samaconso", "aaa"]


def test_one_paused_database_with_clients_is_not_taken_for_a_pause_of_everything() -> None:
    waiting = pool(servers_busy=0, servers_free=0, servers_login=0, clients_waiting=2, maxwait_seconds=5.0)
    changed = replace(CONSOLE, **waiting, **database(is_paused=True))
    finding = judge(replace(HEALTHY, console=changed))["pgbouncer.pool.paused"]

    assert finding.title == "PgBouncer is paused for samaconso: 2 clients wait until RESUME"
    assert (finding.evidence["all"], finding.evidence["inferred"]) == (False, False)


STUCK = pool(servers_busy=0, servers_free=0, clients_waiting=1, maxwait_seconds=5.0)
NO_LOGIN = PooledQuery(
    None, "server login has been failing, try again later (server_login_retry)", "dependency", "query"
)
SILENT = PooledQuery(None, "no answer within 2.0 s", "no_answer", "query")
HBA = (
    'ERROR S: login failed: FATAL: pg_hba.conf rejects connection for host "127.0.0.1", user "samaconso_user"'
)
PASSWORD = 'WARNING server login failed: FATAL password authentication failed for user "samaconso_user"'
RESUME = "LOG RESUME 'samaconso' command issued"
RARE = {"settings": {"server_login_retry": "30"}}
NO_TLS = "LOG S-0x55: samaconso/samaconso_user@127.0.0.1:5432 closing because: server refused SSL (age=0s)"
NO_HOST = "LOG S-0x55: samaconso/samaconso_user@127.0.0.9:5432 closing because: connect failed (age=3s)"
TLS = {"settings": {"server_tls_sslmode": "require"}}
OLD_ADDRESS = database(host="127.0.0.9", port=5432)
# What the console shows, what SELECT 1 got, the last line of the log and its age: paused, stuck (with the reason), elsewhere.
LOGINS: list[tuple[str, dict[str, Any], PooledQuery, str, float, tuple[Status, Status, Status], str]] = [
    ("a pause", STUCK, SILENT, "", 0.0, (CRITICAL, OK, SKIPPED), ""),
    ("a pause after a failure that is over", STUCK, SILENT, HBA, 30.0, (CRITICAL, OK, SKIPPED), ""),
    ("who comes between two tries is kept waiting", STUCK, SILENT, HBA, 15.0, (OK, CRITICAL, SKIPPED), "rejected"),
    ("the same, and no other waits", {}, SILENT, PASSWORD, 9.0, (OK, CRITICAL, SKIPPED), "login"),
    ("resumed a moment ago", STUCK, SILENT, RESUME, 5.0, (OK, WARNING, SKIPPED), ""),
    ("resumed a moment ago, and it says so", {}, NO_LOGIN, RESUME, 5.0, (OK, WARNING, SKIPPED), ""),
    ("resumed long ago", STUCK, SILENT, RESUME, 30.0, (CRITICAL, OK, SKIPPED), ""),
    ("tries that are rarer", {**STUCK, **RARE}, SILENT, HBA, 30.0, (OK, CRITICAL, SKIPPED), "rejected"),
    ("told by SELECT 1 alone", STUCK, NO_LOGIN, "", 0.0, (OK, CRITICAL, SKIPPED), ""),
    ("rejected", STUCK, NO_LOGIN, HBA, 5.0, (OK, CRITICAL, SKIPPED), "rejected"),
    ("rejected, nobody waits", {}, NO_LOGIN, HBA, 5.0, (OK, CRITICAL, SKIPPED), "rejected"),
    ("paused by name, besides", {**STUCK, **database(is_paused=True)}, SILENT, HBA, 5.0, (CRITICAL, OK, SKIPPED), ""),
    ("no TLS", {}, SILENT, NO_TLS, 5.0, (OK, CRITICAL, SKIPPED), "tls"),
    ("no TLS, and the log is silent", TLS, SILENT, "", 0.0, (OK, CRITICAL, SKIPPED), "tls"),
    ("TLS, and SELECT 1 works", TLS, QUERY, "", 0.0, (OK, OK, OK), ""),
    ("an old address, and the log is silent", OLD_ADDRESS, SILENT, "", 0.0, (OK, OK, CRITICAL), ""),
    ("at home by another name", database(host="127.0.0.1", port=5432), SILENT, "", 0.0, (OK, OK, SKIPPED), ""),
    ("an old address", OLD_ADDRESS, SILENT, NO_HOST, 5.0, (OK, CRITICAL, CRITICAL), "refused"),
    ("refused at another address", OLD_ADDRESS, NO_LOGIN, HBA, 5.0, (OK, CRITICAL, SKIPPED), "rejected"),
    ("a name", database(host="db.lan", port=5432), SILENT, NO_HOST, 5.0, (OK, CRITICAL, SKIPPED), "refused"),
    ("another port", database(port=5433), SILENT, NO_HOST, 5.0, (OK, CRITICAL, CRITICAL), "refused"),
    ("a line of a client", STUCK, SILENT, f"WARNING C-0x1: {HBA}", 5.0, (CRITICAL, OK, SKIPPED), ""),
    ("a full pool, and the log is old", pool(servers_busy=20), SILENT, PASSWORD, 5.0, (OK, OK, SKIPPED), ""),
    ("the log is old, SELECT 1 works", OLD_ADDRESS, QUERY, NO_HOST, 5.0, (OK, OK, OK), ""),
]  # fmt: skip


@pytest.mark.parametrize("case", LOGINS, ids=lambda case: case[0])
def test_a_login_that_fails_is_no_pause(
    case: tuple[str, dict[str, Any], PooledQuery, str, float, tuple[Status, Status, Status], str],
) -> None:
    _name, changes, query, text, age, expected, reason = case
    lines = (LogLine(1000.0 - age, text),) if text else ()
    found = judge(
        replace(HEALTHY, console=replace(CONSOLE, **changes), query=query),
        beside=ServiceLogs(1000.0, (ServiceLog("pgbouncer", "pgbouncer.log", lines),)),
    )
    stuck = found["pgbouncer.login.stuck"]
    codes = ("pgbouncer.pool.paused", "pgbouncer.login.stuck", "pgbouncer.route.different")

    assert tuple(found[code].status for code in codes) == expected
    assert stuck.evidence.get("reason", "") == reason
    assert not reason or stuck.evidence["line"] in stuck.title


@pytest.mark.parametrize(("sessions", "expected"), [(19, OK), (20, WARNING), (0, OK)])
def test_sessions_of_the_application_that_the_pool_does_not_know_go_past_it(
    sessions: int, expected: Status
) -> None:
    server = replace(
        POSTGRESQL,
        application=replace(APPLICATION, user="samaconso_user", role_sessions=sessions),
        connections=Connections(20, {}, {"samaconso_user/bi/10.0.0.9": 12, "samaops/samaops": 1}, 0),
    )
    pool = Observation("pgbouncer", "pgbouncer/db", "db", "PgBouncerFacts", replace(HEALTHY, console=CONSOLE))
    seen = Observation("postgresql", "postgresql/db", "db", "PostgresFacts", server)
    snapshot = Snapshot(datetime(2026, 1, 1, tzinfo=timezone.utc), (pool, seen))
    found = {finding.code: finding for finding in engine.judge(snapshot, Site(SETTINGS))}

    finding = found["pgbouncer.pool.bypassed"]
    assert (finding.status, finding.value) == (expected, max(0, sessions - 10))
    assert finding.evidence["by_client"] == {"samaconso_user/bi/10.0.0.9": 12}
