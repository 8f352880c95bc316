"""Containers of a real engine in every state that matters, and engines that do not answer."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from samaops.collect.docker.inside import ways
from samaops.config.settings import Docker, Server, Settings
from samaops.facts.docker import DockerFacts, Way
from samaops.model.status import Status
from tests.service.docker_engine import NEVER_MIND, NO_FAULT, Engine, running_engine
from tests.service.looking import Look, look

pytestmark = pytest.mark.service
EXPECTED = ("fine", "stopped", "paused", "eater", "sick", "looping", "gone")
CANARY = "canary-4711-secret"


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with running_engine() as started:
        lost = (
            "-e",
            f"DATABASE_URL=postgresql://app:{CANARY}@127.0.0.1:1/app",
            "-e",
            "SSL_CERT_FILE=/none.pem",
        )
        started.run("fine", "-m", "64m", "-e", f"PASSWORD={CANARY}", "--log-opt", "max-size=10m", *lost)
        started.run("stopped", "--", "/bin/sh", "-c", "exit 3")
        started.run("paused")
        started.docker("pause", "paused")
        eat = 'my @a; push @a, "x" x 1000000 for 1..1000; sleep 100'
        started.run("eater", "-m", "16m", "--memory-swap", "16m", "--", "/usr/bin/perl", "-e", eat)
        _await_memory_kill(started, "eater")
        sick = (
            "--health-cmd",
            "echo 'no [red]database'; exit 1",
            "--health-interval",
            "1s",
            "--health-retries",
            "1",
        )
        started.run("sick", *sick)
        words = f"echo \"ModuleNotFoundError: No module named 'billing' {CANARY}\" >&2; exit 1"
        started.run("looping", "--restart", "always", "-e", f"TOKEN={CANARY}", "--", "/bin/sh", "-c", words)
        started.run("unexpected", "--", "/bin/sh", "-c", "echo hello; exit 0")
        _await_states(started)
        yield started


def _await_memory_kill(engine: Engine, name: str) -> None:
    """Wait until Docker knows that a container was killed for its memory; on a busy machine it misses that now and then."""
    ends_at = time.monotonic() + 60
    while time.monotonic() < ends_at:
        status, was_killed = engine.docker(
            "inspect", "-f", "{{.State.Status}} {{.State.OOMKilled}}", name
        ).split()
        if was_killed == "true":
            return
        if status == "exited":
            engine.docker("start", name)
        time.sleep(0.1)
    raise AssertionError(f"{name} was not killed for its memory")


def _await_states(engine: Engine) -> None:
    ends_at = time.monotonic() + 30
    wanted = {"stopped": "exited", "eater": "exited", "unexpected": "exited", "looping": "restarting"}
    while time.monotonic() < ends_at:
        lines = engine.docker("ps", "-a", "--format", "{{.Names}} {{.State}} {{.Status}}").splitlines()
        seen = {line.split()[0]: line for line in lines}
        if all(state in seen[name] for name, state in wanted.items()) and "unhealthy" in seen["sick"]:
            return
        time.sleep(0.1)
    raise AssertionError(lines)


@pytest.fixture
def seen(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Look:
    monkeypatch.setenv("DOCKER_HOST", engine.host)
    return look(settings(), "docker")


def settings(**docker: object) -> Settings:
    section = Docker.model_validate({"containers": {"api": EXPECTED}, **docker})
    return Settings(servers={"api": Server(address="127.0.0.1", ssh="local")}, docker=section)


def test_each_container_gets_the_finding_of_its_state(seen: Look) -> None:
    expected = {
        "docker.container.missing@docker/gone",
        "docker.container.stopped@docker/stopped",
        "docker.container.stopped@docker/eater",
        "docker.container.oom_killed@docker/eater",
        "docker.container.paused@docker/paused",
        "docker.container.unhealthy@docker/sick",
    }
    # Between two starts the loop is "restarting" or, for a moment, running: both are said.
    assert seen.bad() - {"docker.container.restarting@docker/looping"} == expected, seen.summary()


def test_the_evidence_says_how_it_ended(seen: Look) -> None:
    eater = seen.one("docker.container.stopped", "docker/eater")
    assert (eater.evidence["exit_code"], eater.evidence["oom_killed"]) == (137, True)
    assert seen.one("docker.container.stopped", "docker/stopped").evidence["exit_code"] == 3
    assert seen.one("docker.container.unhealthy", "docker/sick").detail == "no [red]database"


def test_what_is_read_is_complete_and_holds_no_environment(seen: Look) -> None:
    facts = next(facts for _one, facts in seen.snapshot.facts_of(DockerFacts))
    fine = facts.named("fine")
    assert fine is not None
    assert (fine.memory_limit, fine.log_max_size, fine.log_bytes) == (64 * 1024**2, "10m", 0)
    assert fine.started_at is not None
    assert abs(fine.started_at - facts.epoch) < 300
    assert facts.disk is not None
    assert {one.type for one in facts.disk} >= {"Images", "Containers", "Local Volumes"}
    unexpected = facts.named("unexpected")
    assert unexpected is not None
    assert (unexpected.log_bytes or 0) > 0
    assert CANARY not in repr(seen.snapshot)
    assert facts.configuration is not None
    created = facts.configuration["container"]["fine"]
    assert created["environment PASSWORD"].value.startswith("#")
    assert created["environment PASSWORD"].at == fine.created_at
    assert created.keys() >= {"command", "user", "network", "hosts", "ports"}
    assert facts.configuration["file"] == {}  # no compose file names them


def test_what_is_inside_is_seen_from_inside_and_without_its_secrets(seen: Look) -> None:
    facts = next(facts for _one, facts in seen.snapshot.facts_of(DockerFacts))
    fine = facts.named("fine")
    assert fine is not None
    assert fine.ways == (Way("127.0.0.1", 1, "refused"),)
    assert fine.absent_files == ("SSL_CERT_FILE",)
    by_name = {one.name: one for one in fine.environment or ()}
    assert by_name["DATABASE_URL"].parts == {
        "scheme": "postgresql", "host": "127.0.0.1", "port": "1", "database": "app", "user": "app",
    }  # fmt: skip
    assert by_name["PASSWORD"].digest == by_name["DATABASE_URL"].password
    assert any("localhost" in entry for entry in fine.hosts or ())


def test_of_a_container_that_ends_meanwhile_nothing_is_missing_or_cut_off(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    monkeypatch.setenv("DOCKER_HOST", engine.host)
    inspect = f'inspect) {shutil.which("docker")} "$@" | sed \'s/"pid":[1-9][0-9]*/"pid":{ended.pid}/\' ;;'
    pretend(monkeypatch, tmp_path, f'case $1 in {inspect} *) exec {shutil.which("docker")} "$@" ;; esac')
    facts = next(facts for _one, facts in look(settings(), "docker").snapshot.facts_of(DockerFacts))
    fine = facts.named("fine")
    assert fine is not None
    assert (fine.absent_files, fine.ways) == ((), None)  # nobody could try
    assert fine.log is not None


def test_a_way_out_of_a_container_that_ended_under_the_trial_was_not_tried() -> None:
    inside = [
        "network /proc/7/ns/net 42",
        "place abc 7 db 5432 10.0.0.1",
        "place abc 7 mq 5672 10.0.0.2",
        "exit 0",
    ]
    tried = ["way 42 10.0.0.1 5432 open", "exit 0"]
    assert ways(inside, tried, ())["abc"] == (Way("db", 5432, "open"), Way("mq", 5672, "no answer"))
    gone = ["gone 42 10.0.0.1 5432 42 10.0.0.2 5672", "exit 0"]
    assert ways(inside, gone, ()) == {}


def test_the_reason_of_a_container_that_keeps_ending_is_read_in_its_log(seen: Look) -> None:
    facts = next(facts for _one, facts in seen.snapshot.facts_of(DockerFacts))
    looping = facts.named("looping")
    assert looping is not None
    texts = [line.text for line in looping.log or ()]
    assert texts
    assert set(texts) == {"ModuleNotFoundError: No module named 'billing' ********"}


def test_a_large_log_is_found(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", engine.host)
    engine.run(
        "chatty",
        "--",
        "/bin/sh",
        "-c",
        "head -c 900000 /dev/zero | tr '\\0' 'x' | fold -w 100; exec sleep 1000",
    )
    try:
        ends_at = time.monotonic() + 20
        path = Path(engine.docker("inspect", "-f", "{{.LogPath}}", "chatty"))
        while path.stat().st_size < 1024**2:
            assert time.monotonic() < ends_at
            time.sleep(0.1)
        found = look(settings(log_size_limit_mb=1), "docker.log").one("docker.log.large")
        assert (found.status, found.subject) == (Status.WARNING, "docker/api:chatty")
        assert found.evidence["path"] == str(path)
    finally:
        engine.docker("rm", "-f", "chatty")


def test_an_engine_that_is_down_is_critical(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nobody")
    found = look(settings(), "docker").one("docker.engine.unreachable")
    assert (found.status, found.evidence["kind"]) == (Status.CRITICAL, "unavailable")


def pretend(monkeypatch: pytest.MonkeyPatch, directory: Path, script: str) -> None:
    """Put a docker command first on the PATH that does as the script says."""
    program = directory / "docker"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(directory), prepend=":")


def test_a_hung_engine_is_bounded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pretend(monkeypatch, tmp_path, "exec sleep 60")
    started = time.monotonic()
    found = look(settings(), "docker").one("docker.engine.unreachable")
    assert (found.status, found.evidence["kind"]) == (Status.CRITICAL, "no_answer")
    assert time.monotonic() - started < 20  # it would have slept for 60


def test_an_inspect_that_hangs_is_told_apart(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pretend(monkeypatch, tmp_path, f'[ "$1" = ps ] && echo {"a" * 64} && exit 0; exec sleep 60')
    found = look(settings(), "docker").one("docker.engine.unreachable")
    assert found.evidence["kind"] == "no_answer"
    assert "inspect" in found.detail


def test_no_right_to_the_socket_is_unknown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pretend(
        monkeypatch,
        tmp_path,
        "echo 'Got permission denied while trying to connect to the Docker daemon' >&2; exit 1",
    )
    found = look(settings(), "docker").one("docker.engine.unreachable")
    assert (found.status, found.evidence["kind"]) == (Status.UNKNOWN, "permission")


def test_a_slow_disk_count_costs_its_own_check_only(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    document = {
        "id": "a" * 64,
        "name": "/[red]\x1b[31m",
        "image": "x",
        "image_id": "y",
        "state": {**NO_FAULT, "Status": "running", "StartedAt": "2026-01-01T00:00:00Z"},
        "restart_count": 0,
        "restart_policy": "",
        "memory_limit": 0,
        "log_path": "",
        "log_driver": "none",
        "log_options": None,
        "service": None,
        "project": None,
        **NEVER_MIND,
    }
    (tmp_path / "document").write_text(json.dumps(document))
    cases = f"case $1 in ps) echo {'a' * 64} ;; inspect) cat {tmp_path}/document ;; *) exec sleep 60 ;; esac"
    pretend(monkeypatch, tmp_path, cases)
    seen = look(settings(), "docker")
    assert seen.status("docker.disk.reclaimable") is Status.UNKNOWN
    assert seen.status("docker.engine.unreachable") is Status.OK


def test_no_docker_command_is_unknown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("sh", "date", "awk", "id", "env", "timeout"):
        (tmp_path / name).symlink_to(
            next(Path(place) / name for place in ("/bin", "/usr/bin") if (Path(place) / name).exists())
        )
    monkeypatch.setenv("PATH", str(tmp_path))
    found = look(settings(), "docker").one("docker.engine.unreachable")
    assert (found.status, found.evidence["kind"]) == (Status.UNKNOWN, "missing")


def test_where_no_engine_can_run_the_reason_is_said() -> None:
    found = look(settings(engine="none", engine_reason="not root"), "docker").one("docker.engine.unreachable")
    assert found.status is Status.UNKNOWN
    assert "not root" in found.detail
