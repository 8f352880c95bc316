"""The judgement of containers, on data alone."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest
from msgspec.structs import replace

from samaops.checks.registry import rules
from samaops.config.settings import Api, ApiInstance, Docker, Settings
from samaops.facts.docker import Container, DiskUse, DockerFacts, Way
from samaops.facts.log import LogLine
from samaops.facts.observation import Snapshot
from samaops.facts.servers import KernelLog, OomKill
from samaops.model.failure import Failure, FailureKind
from samaops.site.commands import on_server
from samaops.site.site import Site
from tests.unit.checks.judged import of_files
from tests.unit.checks.judging import NOT_ALLOWED, WAY_BROKEN, failed, findings, seen, statuses
from tests.unit.checks.test_servers import HEALTHY as SERVER
from tests.unit.checks.test_servers import NOW

GB = 1024**3
NAME = "samaconso_api_1"
RUNNING = Container(
    name=NAME,
    id="a" * 64,
    image="samaconso_api:2",
    image_id="sha256:" + "1" * 64,
    state="running",
    health="healthy",
    health_log="",
    restart_count=0,
    restart_policy="always",
    oom_killed=False,
    exit_code=0,
    error="",
    pid=123,
    started_at=NOW - 86400,
    finished_at=None,
    memory_limit=2 * GB,
    log_path="/var/lib/docker/containers/a/a-json.log",
    log_bytes=1000,
    log_max_size=None,
    project="samaconso",
    service="api_1",
)
SETTINGS = Settings(
    docker=Docker(containers={"api": (NAME, "samaconso_api_2")}),
    api=Api(
        instances=(
            ApiInstance(name="api_1", url="http://x:8001", container=NAME),
            ApiInstance(name="api_2", url="http://x:8002", container="samaconso_api_2"),
        )
    ),
)


def engine(*containers: Container, disk: tuple[DiskUse, ...] | None = ()) -> DockerFacts:
    return DockerFacts(NOW, 8 * GB, (NAME,), containers, True, disk)


def one(**changes: object) -> DockerFacts:
    return engine(replace(RUNNING, **changes))


def use(kind: str, gigabytes: int) -> DockerFacts:
    return engine(RUNNING, disk=(DiskUse(kind, 3, 1, gigabytes * 10**9, gigabytes * 10**9),))


def trouble(seconds_ago: float, *texts: str) -> DockerFacts:
    return one(log=tuple(LogLine(NOW - seconds_ago, text) for text in texts))


def reaching(*ways: Way) -> DockerFacts:
    return one(ways=ways)


MINE, ALL = f"docker/{NAME}", "docker/api"
DENIED = "PermissionError: [Errno 13] Permission denied: '/app/uploaded_files/a'"
SECOND = replace(RUNNING, name="samaconso_api_2", id="b" * 64)
PREFIXED = replace(RUNNING, name=f"3f9a1c0be2d4_{NAME}", id="c" * 64)
CASES: list[tuple[str, DockerFacts, str, str]] = [
    ("docker.engine.unreachable", one(), ALL, "ok"),
    ("docker.container.missing", one(), MINE, "ok"),
    ("docker.container.missing", engine(), MINE, "critical"),
    ("docker.container.missing", one(name=f"3f9a1c0be2d4_{NAME}"), MINE, "ok"),
    ("docker.container.missing", one(name="samaconso-api-run-1a2b", is_oneoff=True), MINE, "critical"),
    ("docker.container.missing", one(name="other", service="api_2"), MINE, "critical"),
    ("docker.container.missing", one(name="other", project="staging"), MINE, "critical"),
    ("docker.container.missing", one(name="other", project="", service=""), MINE, "critical"),  # docker run
    ("docker.container.missing", one(name="other", service="api", number="2"), MINE, "critical"),
    ("docker.container.renamed", one(), ALL, "ok"),
    ("docker.container.renamed", one(project="", service=""), ALL, "ok"),
    ("docker.container.renamed", one(name=f"3f9a1c0be2d4_{NAME}"), MINE, "warning"),
    ("docker.container.renamed", one(name=f"3f9a1c0be2d4_{NAME}", project="", service=""), MINE, "warning"),
    ("docker.container.renamed", one(name="api_old"), MINE, "warning"),
    ("docker.container.renamed", one(name="samaconso-api-1", service="api", number="1"), MINE, "ok"),
    (
        "docker.container.renamed",
        one(name="samaconso_api_1_0a1b2c", service="api", number="1"),
        MINE,
        "warning",
    ),
    ("docker.container.renamed", one(name=f"{NAME}.1.{'x1' * 12}y", service=""), MINE, "warning"),
    ("docker.container.renamed", engine(PREFIXED, replace(RUNNING, state="created")), MINE, "warning"),
    ("docker.container.renamed", engine(replace(PREFIXED, state="exited"), RUNNING), ALL, "ok"),
    ("docker.container.renamed", engine(PREFIXED, RUNNING), ALL, "ok"),
    ("docker.container.stopped", one(), MINE, "ok"),
    ("docker.container.stopped", engine(PREFIXED, replace(RUNNING, state="created")), MINE, "ok"),
    ("docker.container.unhealthy", engine(replace(PREFIXED, health="unhealthy"), RUNNING), MINE, "ok"),
    ("docker.container.stopped", one(state="exited", exit_code=1, finished_at=NOW - 60), MINE, "critical"),
    ("docker.container.stopped", one(state="created", started_at=None), MINE, "critical"),
    ("docker.container.oom_killed", one(), MINE, "ok"),
    ("docker.container.oom_killed", one(oom_killed=True), MINE, "warning"),
    ("docker.container.oom_killed", one(oom_killed=True, state="exited", exit_code=137), MINE, "critical"),
    ("docker.container.unhealthy", one(), MINE, "ok"),
    ("docker.container.unhealthy", one(health="starting"), MINE, "ok"),
    ("docker.container.unhealthy", one(health="unhealthy", health_log="[red]no"), MINE, "critical"),
    ("docker.container.restarting", one(), MINE, "ok"),
    ("docker.container.restarting", one(restart_count=9), MINE, "ok"),
    ("docker.container.restarting", one(restart_count=2, started_at=NOW - 30), MINE, "warning"),
    ("docker.container.restarting", one(restart_count=10, started_at=NOW - 20_000), MINE, "warning"),
    ("docker.container.restarting", one(restart_count=3, started_at=NOW - 20_000), MINE, "warning"),
    ("docker.container.restarting", one(restart_count=2, started_at=NOW - 20_000), MINE, "ok"),
    (
        "docker.container.restarting",
        one(restart_count=3, started_at=NOW - 20_000, created_at=NOW - 90_000),
        MINE,
        "warning",
    ),
    (
        "docker.container.restarting",
        one(restart_count=3, started_at=NOW - 20_000, created_at=NOW - 90 * 86_400),
        MINE,
        "ok",
    ),
    ("docker.container.restarting", one(restart_count=50, started_at=NOW - 86_400), MINE, "ok"),  # it is over
    ("docker.container.restarting", one(state="restarting", restart_count=7, exit_code=1), MINE, "critical"),
    ("docker.container.paused", one(), ALL, "ok"),
    ("docker.container.paused", one(state="paused"), MINE, "critical"),
    ("docker.disk.reclaimable", use("Images", 2), ALL, "ok"),
    ("docker.disk.reclaimable", use("Images", 12), ALL, "warning"),
    ("docker.disk.reclaimable", use("Local Volumes", 500), ALL, "ok"),
    ("docker.log.large", one(), ALL, "ok"),
    ("docker.log.large", one(log_bytes=2 * GB), MINE, "warning"),
    ("docker.log.trouble", trouble(5), MINE, "ok"),
    ("docker.log.trouble", trouble(5, DENIED, DENIED), MINE, "warning"),
    ("docker.log.trouble", trouble(500, DENIED, DENIED), MINE, "ok"),
    ("docker.container.reach", reaching(Way("10.0.0.1", 6432, "open")), MINE, "ok"),
    ("docker.container.reach", reaching(Way("10.0.0.1", 6432, "no answer")), MINE, "critical"),
    ("docker.container.environment", one(environment=()), MINE, "ok"),
    ("docker.container.environment", one(environment=(), absent_files=("SSL_CERT_FILE",)), MINE, "warning"),
    ("docker.memory.overcommitted", one(), ALL, "ok"),
    ("docker.memory.overcommitted", one(memory_limit=9 * GB), ALL, "warning"),
    ("docker.memory.overcommitted", one(memory_limit=9 * GB, state="exited"), ALL, "ok"),
    ("docker.image.differs", engine(RUNNING, SECOND), "docker/api-members", "ok"),
    (
        "docker.image.differs",
        engine(RUNNING, replace(SECOND, image_id="sha256:2")),
        "docker/api-members",
        "warning",
    ),
]


@pytest.mark.parametrize(("code", "facts", "subject", "status"), CASES)
def test_a_reading_is_judged(code: str, facts: DockerFacts, subject: str, status: str) -> None:
    assert statuses(code, seen(ALL, facts, "api"), settings=SETTINGS)[subject] == status


def test_every_rule_of_docker_has_a_case() -> None:
    assert {rule.code for rule in rules(("docker",))} == of_files("docker").keys() | {
        case[0] for case in CASES
    }


@pytest.mark.parametrize(
    ("failure", "status"),
    [
        (Failure(FailureKind.UNAVAILABLE, "Cannot connect to the Docker daemon"), "critical"),
        (Failure(FailureKind.NO_ANSWER, "docker ps did not answer"), "critical"),
        (Failure(FailureKind.PERMISSION, "permission denied"), "unknown"),
        (Failure(FailureKind.MISSING, "docker: command not found"), "unknown"),
        (Failure(FailureKind.ABSENT, "the services run without containers: not root"), "unknown"),
        (WAY_BROKEN, "unknown"),
    ],
)
def test_an_engine_that_cannot_be_looked_at_is_one_finding(failure: Failure, status: str) -> None:
    observation = failed(ALL, DockerFacts, failure, "api")
    found = {rule.code: statuses(rule.code, observation, settings=SETTINGS) for rule in rules(("docker",))}
    assert found.pop("docker.engine.unreachable") == {ALL: status}
    assert found.pop("docker.image.differs") == {}
    assert found.pop("docker.evidence.backlog") == {}, "it judges what was kept of a container"
    assert all(set(one.values()) == {"skipped"} for one in found.values())


@pytest.mark.parametrize(
    ("part", "code"), [("logs", "docker.log.large"), ("disk", "docker.disk.reclaimable")]
)
def test_a_part_that_only_root_may_see_is_unknown(part: str, code: str) -> None:
    observation = seen(ALL, one(), "api", {part: NOT_ALLOWED})
    assert statuses(code, observation, settings=SETTINGS) == {ALL: "unknown"}


def test_a_container_that_nobody_expects_may_be_stopped() -> None:
    other = replace(RUNNING, name="old_test", state="exited", exit_code=1)
    assert MINE in statuses("docker.container.stopped", seen(ALL, engine(RUNNING, other), "api"))
    assert len(statuses("docker.container.stopped", seen(ALL, engine(RUNNING, other), "api"))) == 1


def test_one_name_on_two_servers_gives_two_subjects() -> None:
    looks = [seen(f"docker/{name}", one(state="paused"), name) for name in ("api", "workers")]
    assert set(statuses("docker.container.paused", *looks)) == {
        f"docker/{name}:{NAME}" for name in ("api", "workers")
    }


@pytest.mark.parametrize(
    ("killed_at", "changes", "status"),
    [
        (NOW - 3600, {"restart_count": 1, "started_at": NOW - 3500}, "warning"),
        (NOW - 3600, {"started_at": NOW - 7200}, "warning"),
        (NOW - 3600, {"started_at": NOW - 60}, "ok"),  # started by hand since: whoever did it knew
        (NOW - 100000, {"started_at": NOW - 200000}, "ok"),
    ],
)
def test_kills_that_docker_has_forgotten_are_known_to_the_kernel(
    killed_at: float, changes: dict[str, object], status: str
) -> None:
    kills = (OomKill(killed_at, 5, "python", True, RUNNING.id),)
    server = seen("servers/api", replace(SERVER, kernel_log=KernelLog("dmesg", None, kills)), "api")
    assert statuses("docker.container.oom_killed", seen(ALL, one(**changes), "api"), server) == {MINE: status}


def test_how_a_container_ended_is_evidence() -> None:
    facts = one(state="exited", exit_code=137, oom_killed=True, finished_at=NOW - 60)
    found = findings("docker.container.stopped", seen(ALL, facts, "api"))[MINE]
    assert (found.evidence["exit_code"], found.evidence["oom_killed"], found.evidence["finished_at"]) == (
        137,
        True,
        NOW - 60,
    )


def test_each_replica_is_known_by_its_number() -> None:
    containers = [
        replace(RUNNING, name=f"samaconso-api-{number}", id=number * 64, service="api", number=number)
        for number in "12"
    ]
    facts = DockerFacts(NOW, GB, ("samaconso_api_1", "samaconso_api_2"), tuple(containers), True, ())
    assert {name: container.id[0] for name, container in facts.working.items()} == {
        "samaconso_api_1": "1",
        "samaconso_api_2": "2",
    }


def test_commands_name_a_container_as_it_is_called_now() -> None:
    facts = engine(replace(PREFIXED, health="unhealthy"))
    finding = findings("docker.container.unhealthy", seen(ALL, facts, "api"), settings=SETTINGS)[MINE]
    assert finding.title == f"Container {NAME} runs, but its health check fails"
    assert finding.hint is not None
    assert f"docker logs --tail 100 {PREFIXED.name}" in finding.hint
    site = Site(SETTINGS).seen_in(Snapshot(datetime.now(timezone.utc), (seen(ALL, facts, "api"),)))
    assert on_server(site, "api", f"docker exec {NAME} date").endswith(f"'docker exec {PREFIXED.name} date'")
    assert on_server(site, "workers", f"docker exec {NAME} date").endswith(f"'docker exec {NAME} date'")
    assert on_server(site, "api", f"docker exec {NAME}0 date").endswith(f"'docker exec {NAME}0 date'")


def test_a_container_that_never_started_is_said_to_be_so() -> None:
    facts = one(state="created", started_at=None)
    assert findings("docker.container.stopped", seen(ALL, facts, "api"))[MINE].title == (
        f"Container {NAME} was made and never started"
    )
