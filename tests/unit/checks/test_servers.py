"""The judgement of servers, on data alone."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from samaops.checks.registry import rules
from samaops.facts.log import LogLine
from samaops.facts.pgbouncer import PgBouncerFacts, PooledQuery
from samaops.facts.servers import (
    DeletedFile,
    FileSystem,
    KernelLog,
    OomKill,
    Quota,
    Quotas,
    QuotaUse,
    ReachFacts,
    ReadOnlyMount,
    ServerFacts,
    ServiceLog,
    ServiceLogs,
)
from samaops.model.failure import Failure, FailureKind
from tests.unit.checks.judging import NOT_ALLOWED, REFUSED, failed, findings, seen, statuses

GB = 1024**3
NOW = 1_770_000_000.0
ROOT = FileSystem("/", "ext4", 100 * GB, 20 * GB, 80 * GB, 1000, 100, True)
HEALTHY = ServerFacts(
    kernel="6.1.0",
    boot_id="b",
    uptime_seconds=864000.0,
    epoch=NOW,
    processors=4,
    load_1=0.5,
    load_5=0.5,
    load_15=0.5,
    memory_total=8 * GB,
    memory_available=4 * GB,
    swap_total=2 * GB,
    swap_free=2 * GB,
    clock_low=-0.05,
    clock_high=0.05,
    file_systems=(ROOT,),
    remote_file_systems_hang=False,
    read_only=(),
    missing_mounts=(),
    oom_kills_since_boot=0,
    kernel_log=KernelLog("dmesg", NOW - 864000, ()),
    deleted=(),
    biggest=(),
)
REACHED = ReachFacts("10.0.0.1", 22, True, 0.4, "", None, None, "")


def disk(percent: float, mount: str = "/data", **changes: object) -> ServerFacts:
    used = int(percent * GB)
    one = FileSystem(mount, "ext4", 100 * GB, used, 100 * GB - used, 1000, int(percent * 10), True)
    return replace(HEALTHY, file_systems=(one,), **changes)


UNLIMITED = QuotaUse(0, 0, 0)


def quota(space: QuotaUse, files: QuotaUse = UNLIMITED, unseen: str = "") -> ServerFacts:
    one = Quota("/data", "user", 106, "postgres", space, files)
    return replace(HEALTHY, quotas=(Quotas("/data", "user", 3, () if unseen else (one,), unseen),))


def oom(*kills: OomKill) -> ServerFacts:
    return replace(HEALTHY, kernel_log=KernelLog("dmesg", None, kills), oom_kills_since_boot=len(kills))


POOL = PgBouncerFacts("pool", "1.18.0", None, None)
DENIED = "ERROR:  permission denied for table bills"


def service_log(*texts: str) -> ServiceLogs:
    lines = tuple(LogLine(NOW - 5, text) for text in texts)
    return ServiceLogs(NOW, (ServiceLog("postgresql", "/var/log/postgresql/postgresql-15-main.log", lines),))


HOST_KILL = OomKill(NOW - 3600, 12, "postgres", False, None)
CASES: list[tuple[str, object, str, str]] = [
    ("servers.host.unreachable", REACHED, "", "ok"),
    ("servers.host.unreachable", replace(REACHED, ping_ms=None, tcp="open", tcp_ms=1.0), "", "ok"),
    ("servers.host.unreachable", replace(REACHED, ping_ms=None, tcp="refused", tcp_ms=1.0), "", "ok"),
    ("servers.host.unreachable", replace(REACHED, ping_ms=None, tcp="silent"), "", "critical"),
    (
        "servers.host.unreachable",
        replace(REACHED, ping_ms=None, ping_allowed=False, tcp="silent"),
        "",
        "critical",
    ),
    ("servers.host.unreachable", replace(REACHED, ping_ms=None, ping_allowed=False), "", "unknown"),
    ("servers.ssh.unreachable", HEALTHY, "", "ok"),
    ("servers.load.high", replace(HEALTHY, load_5=5.9), "", "ok"),
    ("servers.load.high", replace(HEALTHY, load_5=6.0), "", "warning"),
    ("servers.load.high", replace(HEALTHY, load_5=12.0), "", "critical"),
    ("servers.memory.low", HEALTHY, "", "ok"),
    ("servers.memory.low", replace(HEALTHY, memory_available=int(0.07 * 8 * GB)), "", "warning"),
    ("servers.memory.low", replace(HEALTHY, memory_available=int(0.03 * 8 * GB)), "", "critical"),
    ("servers.swap.used", HEALTHY, "", "ok"),
    ("servers.swap.used", replace(HEALTHY, swap_total=0, swap_free=0), "", "ok"),
    ("servers.swap.used", replace(HEALTHY, swap_free=GB), "", "warning"),
    ("servers.disk.full", disk(79.9), ":/data", "ok"),
    ("servers.disk.full", disk(80), ":/data", "warning"),
    ("servers.disk.full", disk(90), ":/data", "critical"),
    ("servers.disk.inodes", disk(50), ":/data", "ok"),
    ("servers.disk.inodes", disk(85), ":/data", "warning"),
    ("servers.disk.inodes", disk(95), ":/data", "critical"),
    ("servers.disk.quota", HEALTHY, "", "skipped"),
    ("servers.disk.quota", replace(HEALTHY, quotas=()), "", "ok"),
    ("servers.disk.quota", quota(QuotaUse(5 * GB, 0, 10 * GB)), ":/data", "ok"),
    ("servers.disk.quota", quota(QuotaUse(9 * GB, 0, 10 * GB)), ":/data", "warning"),
    ("servers.disk.quota", quota(QuotaUse(10 * GB - 4096, 0, 10 * GB)), ":/data", "warning"),
    ("servers.disk.quota", quota(QuotaUse(10 * GB, 0, 10 * GB)), ":/data", "critical"),
    ("servers.disk.quota", quota(QuotaUse(6 * GB, 5 * GB, 10 * GB)), ":/data", "ok"),
    ("servers.disk.quota", quota(QuotaUse(6 * GB, 5 * GB, 10 * GB, is_over=True)), ":/data", "critical"),
    ("servers.disk.quota", quota(QuotaUse(0, 0, 0), files=QuotaUse(1000, 0, 1000)), ":/data", "critical"),
    ("servers.disk.quota", quota(QuotaUse(0, 0, 0), unseen="no tool"), ":/data", "unknown"),
    ("servers.disk.readonly", HEALTHY, "", "ok"),
    (
        "servers.disk.readonly",
        replace(HEALTHY, read_only=(ReadOnlyMount("/data", "ext4", "/dev/sdb", True),)),
        ":/data",
        "critical",
    ),
    ("servers.mount.missing", HEALTHY, "", "ok"),
    ("servers.mount.missing", replace(HEALTHY, missing_mounts=("/data",)), ":/data", "critical"),
    ("servers.mount.missing", replace(HEALTHY, remote_file_systems_hang=True), "", "warning"),
    ("servers.oom.killed", HEALTHY, "", "ok"),
    ("servers.oom.killed", oom(HOST_KILL), "", "warning"),
    ("servers.oom.killed", oom(replace(HOST_KILL, at=NOW - 90000)), "", "ok"),
    ("servers.oom.killed", oom(replace(HOST_KILL, by_limit=True, container="c" * 64)), "", "ok"),
    ("servers.oom.killed", replace(HEALTHY, kernel_log=None), "", "ok"),
    ("servers.oom.killed", replace(HEALTHY, kernel_log=None, oom_kills_since_boot=2), "", "unknown"),
    ("servers.oom.killed", replace(HEALTHY, kernel_log=None, oom_kills_since_boot=None), "", "unknown"),
    ("servers.disk.deleted_open", HEALTHY, "", "ok"),
    (
        "servers.disk.deleted_open",
        disk(85, deleted=(DeletedFile("/data", "/data/x.log", 6 * GB, 7, "app"),)),
        ":/data",
        "warning",
    ),
    (
        "servers.disk.deleted_open",
        disk(85, deleted=(DeletedFile("/data", "/data/x.log", GB // 2, 7, "app"),)),
        ":/data",
        "ok",
    ),
    ("servers.log.trouble", service_log("LOG:  checkpoint starting"), "postgresql/db", "ok"),
    ("servers.log.trouble", service_log(*[DENIED] * 2), "postgresql/db", "warning"),
    (
        "servers.log.trouble",
        service_log(*['FATAL:  too many connections for role "u"'] * 2),
        "postgresql/db",
        "ok",
    ),
    ("servers.log.trouble", ServiceLogs(NOW, ()), "", "skipped"),
    (
        "servers.log.trouble",
        ServiceLogs(NOW, (ServiceLog("pgbouncer", "/l", None),)),
        "pgbouncer/db",
        "unknown",
    ),
    ("servers.clock.skewed", HEALTHY, "", "ok"),
    ("servers.clock.skewed", replace(HEALTHY, clock_low=1.5, clock_high=1.6), "", "warning"),
    ("servers.clock.skewed", replace(HEALTHY, clock_low=-600.1, clock_high=-600.0), "", "critical"),
    ("servers.clock.skewed", replace(HEALTHY, clock_low=-9.0, clock_high=0.2), "", "ok"),
    # our own clock was set by an hour while the server answered, forward and backward
    ("servers.clock.skewed", replace(HEALTHY, clock_low=-3600.1, clock_high=0.1), "", "unknown"),
    ("servers.clock.skewed", replace(HEALTHY, clock_low=3599.9, clock_high=0.1), "", "unknown"),
]


@pytest.mark.parametrize(("code", "facts", "ending", "status"), CASES)
def test_a_reading_is_judged(code: str, facts: object, ending: str, status: str) -> None:
    subject = ending if "/" in ending and not ending.startswith(":") else f"servers/db{ending}"
    assert statuses(code, seen("servers/db", facts, "db"))[subject] == status


@pytest.mark.parametrize(("milliseconds", "status"), [(None, "warning"), (1.5, "ok")])
def test_a_refused_session_is_over_where_the_application_gets_one(
    milliseconds: float | None, status: str
) -> None:
    refused = seen("servers/db", service_log(*['FATAL:  database "samaconso" does not exist'] * 2), "db")
    pool = replace(POOL, query=PooledQuery(milliseconds))
    assert (
        statuses("servers.log.trouble", refused, seen("pgbouncer/db", pool, "db"))["postgresql/db"] == status
    )


def test_every_rule_of_servers_has_a_case() -> None:
    assert {rule.code for rule in rules(("servers",))} == {case[0] for case in CASES}


def test_without_ssh_one_finding_speaks_and_the_others_are_skipped() -> None:
    observation = failed("servers/db", ServerFacts, REFUSED, "db")
    codes = [rule.code for rule in rules(("servers",)) if rule.facts not in (ReachFacts, ServiceLogs)]
    found = {code: statuses(code, observation)["servers/db"] for code in codes}
    assert found.pop("servers.ssh.unreachable") == "critical"
    assert set(found.values()) == {"skipped"}


@pytest.mark.parametrize("kind", [FailureKind.HOST_KEY, FailureKind.AUTHENTICATION, FailureKind.MISSING])
def test_what_only_keeps_us_out_is_unknown(kind: FailureKind) -> None:
    observation = failed("servers/db", ServerFacts, Failure(kind, "why"), "db")
    assert statuses("servers.ssh.unreachable", observation) == {"servers/db": "unknown"}


def test_a_name_that_does_not_resolve_is_unknown() -> None:
    observation = failed(
        "servers/db", ReachFacts, Failure(FailureKind.NAME, "Name or service not known"), "db"
    )
    assert statuses("servers.host.unreachable", observation) == {"servers/db": "unknown"}


def test_deleted_files_that_nobody_may_see_are_unknown() -> None:
    observation = seen("servers/db", replace(HEALTHY, deleted=None), "db", {"deleted": NOT_ALLOWED})
    assert statuses("servers.disk.deleted_open", observation) == {"servers/db": "unknown"}


def test_a_quota_that_refuses_is_named_beside_one_that_could_not_be_read() -> None:
    refusing = quota(QuotaUse(10 * GB, 0, 10 * GB)).quotas or ()
    unread = Quotas("/data", "project", unseen="no answer in time")
    facts = replace(HEALTHY, quotas=(*refusing, unread))
    found = findings("servers.disk.quota", seen("servers/db", facts, "db"))["servers/db:/data"]
    assert found.title == (
        "The quota of user postgres on /data refuses more: 10.0 GB of 10.0 GB, whatever the disk has left"
    )
    assert found.evidence["quota_name"] == "postgres"
    warned = replace(HEALTHY, quotas=(*(quota(QuotaUse(9 * GB, 0, 10 * GB)).quotas or ()), unread))
    assert statuses("servers.disk.quota", seen("servers/db", warned, "db")) == {"servers/db:/data": "unknown"}


def clock(name: str, offset: float) -> object:
    return seen(f"servers/{name}", replace(HEALTHY, clock_low=offset - 0.05, clock_high=offset + 0.05), name)


def test_the_clock_that_differs_from_the_others_is_named() -> None:
    found = statuses("servers.clock.skewed", clock("db", 0), clock("api", 300), clock("workers", 0.1))  # type: ignore[arg-type]
    assert found == {"servers/db": "ok", "servers/api": "critical", "servers/workers": "ok"}


def test_when_the_servers_agree_this_machine_is_the_one_that_is_wrong() -> None:
    found = statuses("servers.clock.skewed", clock("db", 300), clock("api", 300.1), clock("workers", 299.9))  # type: ignore[arg-type]
    assert found.pop("servers/this-machine") == "warning"
    assert set(found.values()) == {"ok"}


def test_slow_answers_do_not_make_clocks_look_wrong() -> None:
    wide = replace(HEALTHY, clock_low=-3.0, clock_high=0.1)
    readings = [seen(f"servers/{name}", wide, name) for name in ("db", "api")]
    readings.append(seen("servers/workers", HEALTHY, "workers"))
    assert set(statuses("servers.clock.skewed", *readings).values()) == {"ok"}


def test_a_warning_names_the_next_command_and_an_ok_does_not() -> None:
    bad = findings("servers.disk.full", seen("servers/db", disk(95), "db"))["servers/db:/data"]
    good = findings("servers.disk.full", seen("servers/db", disk(5), "db"))["servers/db:/data"]
    assert bad.hint is not None
    assert bad.hint == "samaops disk usage --server db"
    assert good.hint is None


def test_kills_at_a_containers_limit_are_kept_as_evidence() -> None:
    kill = OomKill(NOW - 60, 9, "perl", True, "c" * 64)
    found = findings("servers.oom.killed", seen("servers/db", oom(kill), "db"))["servers/db"]
    assert found.evidence["kills_by_container_limit"] == [
        {"at": NOW - 60, "ago_seconds": 60.0, "pid": 9, "command": "perl", "container": "c" * 64}
    ]
