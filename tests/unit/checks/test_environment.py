"""The application's containers compared: their environments, their hosts files, what they reach, what their logs say."""

from __future__ import annotations

import json

import pytest
from msgspec.structs import replace

from samaops.collect.docker import inside
from samaops.config.settings import Settings
from samaops.facts.docker import Container, DockerFacts, Way
from samaops.facts.log import LogLine
from samaops.facts.pgbouncer import PgBouncerFacts
from samaops.model.failure import Failure, FailureKind
from samaops.model.finding import Finding
from tests.unit.causes.test_roots import settings as guide
from tests.unit.checks.judging import failed, findings, seen
from tests.unit.checks.test_docker import RUNNING
from tests.unit.checks.test_servers import NOW

ENVIRONMENT, REACH = "docker.container.environment", "docker.container.reach"
API = {
    "DATABASE_URL": "postgresql://samaconso_user:s3cret-of-the-pool@10.101.0.1:6432/samaconso",
    "REDIS_URL": "redis://10.101.0.3:6379/0",
    "CELERY_BROKER_URL": "amqp://samaconso_admin:s3cret-of-the-broker@rabbitmq:5672/",
    "HTTPS_PROXY": "http://10.101.201.204:8080",
    "SECRET_KEY": "s3cret-of-the-tokens",
    "REQUESTS_CA_BUNDLE": "/etc/ssl/ca.pem",
}
WORKER = {
    **API,
    "REDIS_URL": "redis://redis:6379/0",
    "CELERY_BROKER_URL": API["CELERY_BROKER_URL"].replace("rabbitmq", "10.101.0.2"),
}


def container(name: str, environment: dict[str, str], **changes: object) -> Container:
    pairs = [f"{key}={value}" for key, value in environment.items()]
    known = replace(RUNNING, name=name, id=name, environment=inside.environment(pairs), hosts=())
    return replace(known, **changes)


def site(**changes: dict[str, str | None]) -> dict[str, Container]:
    """Return the guide's containers; ``changes`` are other values in one of them, None removes a variable."""
    of = {
        "samaconso_api_1": {**API, "INSTANCE_ID": "api_1"},
        "samaconso_api_2": {**API, "INSTANCE_ID": "api_2"},
        "samaconso_celery_worker_1": {**WORKER, "WORKER_ID": "worker_1"},
        "samaconso_celery_worker_2": {**WORKER, "WORKER_ID": "worker_2"},
    }
    for name, values in changes.items():
        merged = {**of[f"samaconso_{name}"], **values}
        of[f"samaconso_{name}"] = {key: value for key, value in merged.items() if value is not None}
    return {name: container(name, environment) for name, environment in of.items()}


def judged(containers: dict[str, Container], code: str = ENVIRONMENT) -> dict[str, Finding]:
    engines = []
    for server, part in (("api", "api"), ("workers", "worker")):
        here = tuple(one for name, one in containers.items() if part in name)
        facts = DockerFacts(NOW, 8 * 1024**3, tuple(one.name for one in here), here, True, ())
        engines.append(seen(f"docker/{server}", facts, server))
    return findings(code, *engines, settings=Settings.model_validate(guide().model_dump()))


def bad(containers: dict[str, Container], code: str = ENVIRONMENT) -> dict[str, str]:
    return {
        subject: one.title for subject, one in judged(containers, code).items() if one.status.value != "ok"
    }


def test_what_the_guide_sets_up_has_no_difference() -> None:
    assert bad(site()) == {}
    assert set(judged(site())) == {*(f"docker/{name}" for name in site()), "docker/application"}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"api_2": {"DATABASE_URL": API["DATABASE_URL"].replace("s3cret-of", "wr0ng-one-of")}}, "DATABASE_URL: another password"),
        ({"celery_worker_2": {"REDIS_URL": "redis://redis:6379/3"}}, "REDIS_URL: the database 3 in place of 0"),
        ({"api_1": {"DATABASE_URL": API["DATABASE_URL"].replace("0.1:6432", "0.9:6432")}}, "the host 10.101.0.9 in place of 10.101.0.1"),
        ({"api_2": {"CELERY_BROKER_URL": API["CELERY_BROKER_URL"] + "samaconso"}}, "the vhost samaconso in place of"),
        ({"api_1": {"SECRET_KEY": "s3cret-of-somebody"}}, "SECRET_KEY: another value"),
        ({"api_2": {"SQLALCHEMY_POOL_SIZE": "1"}}, "SQLALCHEMY_POOL_SIZE is set, the others have it not"),
        ({"celery_worker_1": {"HTTPS_PROXY": None}}, "HTTPS_PROXY is not set, the others have it"),
        ({"api_2": {"HTTPS_PROXY": "http://10.101.201.205:8080"}}, "the host 10.101.201.205 in place of 10.101.201.204"),
        ({"api_1": {"REQUESTS_CA_BUNDLE": "/etc/ssl/old.pem"}}, "the value /etc/ssl/old.pem in place of /etc/ssl/ca.pem"),
    ],
)  # fmt: skip
def test_the_container_that_differs_is_named_and_no_secret_is(
    changes: dict[str, dict[str, str | None]], words: str
) -> None:
    ((name, _values),) = changes.items()
    found = bad(site(**changes))
    assert set(found) == {f"docker/samaconso_{name}"}
    (title,) = found.values()
    assert words in title
    assert "s3cret" not in json.dumps([str(one) for one in judged(site(**changes)).values()])
    assert "wr0ng" not in json.dumps([str(one) for one in judged(site(**changes)).values()])


def test_where_two_peers_are_divided_and_nobody_has_an_address_each_is_told() -> None:
    def at(name: str) -> dict[str, str | None]:
        return {"DATABASE_URL": API["DATABASE_URL"].replace("10.101.0.1", name)}

    found = bad(
        site(api_1=at("db-a"), api_2=at("db-b"), celery_worker_1=at("db-a"), celery_worker_2=at("db-a"))
    )
    assert "the host db-b in place of db-a" in found["docker/samaconso_api_2"]
    assert "the host db-a in place of db-b" in found["docker/samaconso_api_1"]


def test_where_all_go_elsewhere_the_application_is_named_once() -> None:
    elsewhere = {"DATABASE_URL": API["DATABASE_URL"].replace("/samaconso", "/samaconso_test")}
    changes = {name.removeprefix("samaconso_"): elsewhere for name in site()}
    found = bad(site(**changes))  # type: ignore[arg-type]
    assert list(found) == ["docker/application"]
    assert "the database samaconso_test in place of samaconso" in found["docker/application"]


def test_another_entry_in_a_hosts_file_is_a_difference() -> None:
    containers = site()
    usual = ("127.0.0.1 localhost", "10.101.2.87 srv-asreports")
    for name in ("samaconso_api_1", "samaconso_api_2"):
        containers[name] = replace(containers[name], hosts=(*usual, f"172.18.0.3 {name}"))
    assert bad(containers) == {}
    containers["samaconso_api_2"] = replace(
        containers["samaconso_api_2"], hosts=(*usual, "10.9.9.9 fcm.googleapis.com")
    )
    found = bad(containers)
    assert list(found) == ["docker/samaconso_api_2"]
    assert "10.9.9.9 fcm.googleapis.com" in found["docker/samaconso_api_2"]


def test_one_that_does_not_reach_what_its_peer_reaches_is_cut_off() -> None:
    containers = site()
    for name, answer in (("samaconso_api_1", "open"), ("samaconso_api_2", "no answer")):
        containers[name] = replace(containers[name], ways=(Way("10.101.0.1", 6432, answer),))
    assert bad(containers, REACH) == {
        "docker/samaconso_api_2": "Container samaconso_api_2 does not reach pgbouncer 10.101.0.1:6432 (no answer)"
    }


def test_where_nobody_reaches_it_the_place_is_wrong_and_not_the_way() -> None:
    refused = replace(RUNNING, ways=(Way("10.101.0.1", 6432, "refused"),), name="samaconso_api_1")
    engine = seen("docker/api", DockerFacts(NOW, 1, (refused.name,), (refused,), True, ()), "api")
    down = Failure(FailureKind.REFUSED, "Connection refused", "connect")
    found = findings(REACH, engine, failed("pgbouncer/db", PgBouncerFacts, down, "db"), settings=guide())
    assert [one.status.value for one in found.values()] == ["ok"]
    unknown_name = replace(refused, ways=(Way("rabbitmq", 5672, "unknown host"),))
    engine = seen("docker/api", DockerFacts(NOW, 1, (refused.name,), (unknown_name,), True, ()), "api")
    assert "the name is not known" in next(iter(findings(REACH, engine, settings=guide()).values())).title


def test_the_reason_of_a_container_that_keeps_ending_is_its_last_word() -> None:
    log = (
        LogLine(NOW - 4000, "OSError: [Errno 28] No space left on device"),  # another day's trouble
        LogLine(NOW - 31, "Traceback (most recent call last):"),
        LogLine(NOW - 31, "ModuleNotFoundError: No module named 'samaconso_billing'"),
    )
    ended = replace(RUNNING, state="restarting", exit_code=1, restart_count=7, finished_at=NOW - 30, log=log)
    engine = seen("docker/api", DockerFacts(NOW, 1, (ended.name,), (ended,), True, ()), "api")
    (finding,) = findings("docker.container.restarting", engine, settings=guide()).values()
    assert finding.evidence["reason"] == "module"
    assert finding.detail.endswith("«ModuleNotFoundError: No module named 'samaconso_billing'»")


def test_what_a_script_saw_is_read_without_secrets() -> None:
    document = {
        "id": "c1",
        "log_path": "/l/c1-json.log",
        "hosts_path": "/l/hosts",
        "environment": ["X_PASSWORD=s3cret!!"],
    }
    line = json.dumps({"log": "login with s3cret!! failed\n", "time": "2026-11-28T05:48:56.123Z"})
    lines = [
        "source /l/c1-json.log", f"log {line}", "log cut\" in the middle", "hosts /l/hosts:10.0.0.1\tdb # comment", "absent c1 CA",
        "network /proc/7/ns/net 42", "place c1 7 db 6432 10.0.0.1", "place c1 7 nowhere 5672 ", "place c1 7 odd 1 ?", "exit 0",
    ]  # fmt: skip
    read = inside.read(lines, [], [document])["c1"]
    assert [one.text for one in read["log"]] == ["login with ******** failed"]
    assert (read["hosts"], read["absent_files"]) == (("10.0.0.1 db",), ("CA",))
    ways = inside.ways(lines, ["way 42 10.0.0.1 6432 Connection refused", "exit 0"], [])
    assert ways == {"c1": (Way("db", 6432, "refused"), Way("nowhere", 5672, "unknown host"))}


def test_a_directory_in_the_place_of_a_file_is_told_as_one() -> None:
    containers = site()
    name = "samaconso_celery_worker_1"
    containers[name] = replace(containers[name], absent_files=("FIREBASE_CREDENTIALS_PATH/",))
    title = bad(containers)[f"docker/{name}"]
    assert title.endswith("what FIREBASE_CREDENTIALS_PATH names is a directory in it, and no file")


UVICORN = ["uvicorn", "app.api:app", "--host", "10.101.0.2", "--port"]
CELERY = ["celery", "-A", "app", "worker", "--loglevel=info", "-n"]


def with_settings(**changes: dict[str, object]) -> dict[str, Container]:
    """Return the guide's containers with their command lines and limits; ``changes`` are another inspect document's."""
    commands: dict[str, list[str]] = {
        "api_1": [*UVICORN, "8001"],
        "api_2": [*UVICORN, "8002"],
        "celery_worker_1": [*CELERY, "worker1@a", "-Q", "urgent", "--concurrency=4"],
        "celery_worker_2": [*CELERY, "worker2@b", "-Qnormal,low_priority", "-c", "8"],
    }
    limits = {"cpus": 2_000_000_000, "quota": 0, "period": 0, "pids": None, "files": None}
    containers: dict[str, Container] = {}
    for name, container_ in site().items():
        short = name.removeprefix("samaconso_")
        document: dict[str, object] = {
            "command": commands[short],
            "limits": limits,
            "memory_limit": 2 * 1024**3,
        }
        document |= changes.get(short, {})
        known = (*inside.limits(document), *inside.options(document))
        containers[name] = replace(container_, settings=known, created_at=NOW - 100 + len(containers))
    return containers


def limited(**changes: object) -> dict[str, object]:
    return {
        "limits": {"cpus": 2_000_000_000, "quota": 0, "period": 0, "pids": None, "files": None, **changes}
    }


@pytest.mark.parametrize(
    ("container_", "document", "words"),
    [
        ("api_1", limited(cpus=0, quota=1000, period=100_000), "limit cpus: the value 0.01 in place of 2"),
        ("celery_worker_2", limited(cpus=10_000_000), "limit cpus: the value 0.01 in place of 2"),
        ("api_2", limited(pids=20), "limit pids is set, the others have it not"),
        ("api_2", limited(files=[{"Name": "nofile", "Soft": 24, "Hard": 24}]), "limit nofile is set"),
        ("api_2", {"memory_limit": 64 * 1024**2}, "limit memory: the value 67108864 in place of 2147483648"),
        (
            "api_2",
            {"command": ["sh", "-c", "uvicorn app.api:app --host 127.0.0.1 --port 8002"]},
            "it listens on 127.0.0.1, its peers on 10.101.0.2",
        ),
        (
            "api_2",
            {"command": [*UVICORN, "8002", "--limit-concurrency", "1"]},
            "--limit-concurrency is set, the others have it not",
        ),
        (
            "celery_worker_2",
            {"command": [*CELERY[:4], "--loglevel=debug", "-n", "worker2@b"]},
            "--loglevel: the value debug in place of info",
        ),
    ],
)
def test_another_limit_or_option_is_told_of_the_container_that_has_it(
    container_: str, document: dict[str, object], words: str
) -> None:
    found = bad(with_settings(**{container_: document}))
    assert list(found) == [f"docker/samaconso_{container_}"]
    assert words in found[f"docker/samaconso_{container_}"]


def test_a_port_and_what_a_worker_does_are_its_own() -> None:
    assert bad(with_settings()) == {}


def test_a_password_on_a_command_line_is_not_shown() -> None:
    command = [*CELERY, "worker2@b", "--broker", "amqp://u:s3cret-one@10.101.0.2//", "--key", "s3cret-two"]
    found = judged(with_settings(celery_worker_2={"command": command}))
    assert "--key is set" in found["docker/samaconso_celery_worker_2"].title
    assert "s3cret" not in json.dumps([str(one) for one in found.values()])
