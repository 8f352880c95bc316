"""`samaops docker ps|stats|logs|cleanup` on a real engine: what is shown, what is not touched, what could not be seen."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from samaops.clients.errors import ClientError
from samaops.clients.shell import Completed
from samaops.collect.docker import stats as docker_stats
from samaops.config.settings import Docker, Safety, Server, Settings
from samaops.errors import UnavailableError, UsageError
from samaops.site.site import Site
from samaops.workflows import docker
from tests.answers import validated
from tests.service import looking
from tests.service.docker_engine import Engine, running_engine

pytestmark = pytest.mark.service
SAYING = "echo first; echo 'second [red]\x1b[31m' >&2; echo lantern-blue-lamp; exec sleep 1000"


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with running_engine() as started:
        started.run("talks", "-m", "64m", "--", "/bin/sh", "-c", SAYING)
        started.run("ended", "--", "/bin/sh", "-c", "exit 3")
        yield started


@pytest.fixture
def site(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("DOCKER_HOST", engine.host)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return Settings(
        site="lists",
        servers={"api": Server(address="127.0.0.1", ssh="local")},
        docker=Docker(containers={"api": ("talks", "ended", "gone")}),
        safety=Safety(lock_directory=tmp_path),
    )


def with_a_server_that_is_away(site: Settings) -> Settings:
    more = {"docker": Docker(containers={"api": ("talks",), "away": ("x",)})}
    servers = {**site.servers, "away": Server(address="127.0.0.1", ssh="none")}
    return site.model_copy(update={**more, "servers": servers})


def test_all_containers_are_listed_and_the_one_that_should_be_there(site: Settings) -> None:
    table = docker.listed(Site(site))
    rows = {row["container"]: row for row in table.rows}
    assert {name: row["state"] for name, row in rows.items()} == {
        "talks": "running", "ended": "exited", "gone": "missing",
    }  # fmt: skip
    assert (rows["ended"]["exit_code"], rows["talks"]["image"], rows["talks"]["tag"]) == (
        3,
        "samaops-test:1",
        "1",
    )
    assert docker.is_whole(table)


def test_a_renamed_container_is_known_by_its_compose_service(engine: Engine, site: Settings) -> None:
    labels = {"project": "samaconso", "service": "api_1", "container-number": "1", "oneoff": "False"}
    options = [
        word for key, value in labels.items() for word in ("--label", f"com.docker.compose.{key}={value}")
    ]
    engine.run("0123456789ab_samaconso_api_1", *options, "--", "/bin/sh", "-c", SAYING)
    one_off = ["--label", "com.docker.compose.oneoff=True", *options[:6]]
    engine.run("samaconso_api_2_run_1", *one_off, "--", "/bin/sh", "-c", SAYING)
    names = ("samaconso_api_1", "samaconso_api_2")
    renamed = site.model_copy(update={"docker": Docker(containers={"api": names})})
    try:
        judged = looking.look(renamed, "docker.container")
        assert judged.bad() == {
            "docker.container.renamed@docker/samaconso_api_1",
            "docker.container.missing@docker/samaconso_api_2",
        }
        lines = [row["line"] for row in docker.logs(Site(renamed), "samaconso_api_1", 5, None).rows]
        assert "first" in lines
    finally:
        engine.docker("rm", "-f", "0123456789ab_samaconso_api_1", "samaconso_api_2_run_1")


def test_what_containers_use_is_measured(site: Settings) -> None:
    (row,) = docker.stats(Site(site)).rows
    assert (row["container"], row["memory_limit_bytes"]) == ("talks", 64 * 2**20)
    assert 0 < row["memory_bytes"] < 64 * 2**20
    assert row["processes"] >= 1
    assert row["cpu_percent"] >= 0


def test_the_log_is_shown_from_both_streams_and_bounded(site: Settings) -> None:
    def lines(tail: int) -> list[str]:
        return [row["line"] for row in docker.logs(Site(site), "talks", tail, None).rows]

    ends_at = time.monotonic() + 10
    while len(lines(10)) < 3:
        assert time.monotonic() < ends_at
        time.sleep(0.1)
    assert sorted(lines(10))[:2] == ["first", "lantern-blue-lamp"]
    assert any("second" in line for line in lines(10))
    assert len(lines(1)) == 1
    with pytest.raises(UsageError, match="knows no container"):
        docker.logs(Site(site), "talk", 1, None)
    with pytest.raises(UnavailableError, match="No such container"):
        docker.logs(Site(site), "gone", 1, None)
    with pytest.raises(UnavailableError):
        docker.logs(Site(site), "talks", 1, "yesterdayish")


@pytest.mark.parametrize("may_sudo", [True, False])
def test_a_user_outside_the_docker_group_reads_the_log_with_sudo(
    site: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, may_sudo: bool
) -> None:
    refusal = "Got permission denied while trying to connect to the Docker daemon socket"
    scripts = {
        "docker": f'[ -n "$AS_ROOT" ] || {{ echo "{refusal}" >&2; exit 1; }}\nexec {shutil.which("docker")} "$@"',
        "sudo": '[ "$1 $2" = "-n --" ] || exit 2\nshift 2\nAS_ROOT=1 exec "$@"' if may_sudo else "exit 1",
    }
    for name, body in scripts.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{body}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    if may_sudo:
        assert docker.logs(Site(site), "talks", 10, None).rows
        return
    with pytest.raises(UnavailableError, match="permission denied"):
        docker.logs(Site(site), "talks", 10, None)


def test_a_server_that_cannot_be_looked_at_is_told_beside_the_others(site: Settings) -> None:
    away = with_a_server_that_is_away(site)
    for table in (docker.listed(Site(away)), docker.stats(Site(away))):
        assert "talks" in [row["container"] for row in table.rows]
        (unseen,) = [row for row in table.rows if row["server"] == "away"]
        assert unseen["state"] == "unknown"
        assert "away" in table.notes[0]
        assert not docker.is_whole(table)


def test_an_engine_that_is_down_is_unavailable(site: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere")
    for look in (docker.listed, docker.stats):
        with pytest.raises(UnavailableError):
            look(Site(site))


def test_without_containers_there_is_nothing_to_list() -> None:
    with pytest.raises(UsageError, match="not configured"):
        docker.listed(Site(Settings()))


@pytest.mark.parametrize("said", ["not json", '{"Name": "x"}', "[1]"])
def test_an_answer_that_is_no_measurement_is_an_error_and_no_figure(said: str) -> None:
    with pytest.raises(ClientError):
        docker_stats.read(Completed(0, f"\n@@t stats\n{said}\nexit 0\n", ""), "t")


def test_a_container_that_ends_while_it_is_measured_has_no_figures() -> None:
    line = '{"Name":"x","ID":"1","CPUPerc":"--","MemUsage":"-- / --","PIDs":"--"}'
    (one,) = docker_stats.read(Completed(0, f"\n@@t stats\n{line}\nexit 0\n", ""), "t").containers
    assert (one.cpu_percent, one.memory_bytes, one.memory_limit, one.processes) == (None, None, None, None)


class Cli:
    """samaops itself, for this engine."""

    def __init__(self, engine: Engine, place: Path) -> None:
        self.engine, self.config = engine, place / "config.toml"
        self.config.touch(mode=0o600)
        self.config.write_text(
            'site = "lists"\n[servers.api]\naddress = "127.0.0.1"\nssh = "local"\n[docker.containers]\n'
            f'api = ["talks"]\n[maintenance]\nimage_age_hours = 0.0000003\n[safety]\nlock_directory = "{place}"\n'
        )
        self.state = place / "state"

    def __call__(self, *words: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "DOCKER_HOST": self.engine.host, "XDG_STATE_HOME": str(self.state)}
        command = [
            sys.executable,
            "-m",
            "samaops",
            "--config",
            str(self.config),
            "--lang",
            "en",
            "docker",
            *words,
        ]
        return subprocess.run(
            command, capture_output=True, text=True, env=environment, check=False, stdin=subprocess.DEVNULL,
            timeout=60,
        )  # fmt: skip


def test_the_lists_for_people_and_programs(engine: Engine, tmp_path: Path) -> None:
    samaops = Cli(engine, tmp_path)
    assert "talks" in samaops("ps").stdout
    assert validated(json.loads(samaops("ps", "-o", "json").stdout))["schema"] == "samaops/containers/1"
    stats = validated(json.loads(samaops("stats", "-o", "json").stdout))
    assert stats["container_stats"][0]["container"] == "talks"
    assert validated(json.loads(samaops("logs", "talks", "-o", "json").stdout))["log_lines"]
    log = samaops("logs", "talks", "--tail", "50")
    assert "first" in log.stdout
    assert "\x1b" not in log.stdout, "what a container says does not drive the terminal"
    assert samaops("logs", "tals").returncode == 64
    assert samaops("ps", "-o", "nagios").returncode == 64


def test_images_are_removed_by_hand_as_by_night_asked_journaled_and_never_twice(
    engine: Engine, tmp_path: Path
) -> None:
    samaops = Cli(engine, tmp_path)
    for release in range(1, 5):
        (tmp_path / "content").write_bytes(os.urandom(100_000))
        packed = subprocess.run(
            ["tar", "-C", str(tmp_path), "-c", "content"], capture_output=True, check=True
        )
        engine.docker("import", "-", f"app:{release}", stdin=packed.stdout)
    engine.docker("volume", "create", "precious")

    def tags() -> set[str]:
        return set(engine.docker("images", "--format", "{{.Repository}}:{{.Tag}}").split())

    before = tags()
    planned = samaops("cleanup", "api", "--dry-run", "-o", "json")
    assert [one["status"] for one in json.loads(planned.stdout)["actions"]] == ["planned"]
    assert samaops("cleanup").returncode == 77
    assert tags() == before
    done = samaops("cleanup", "--yes", "-o", "json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert before - tags() == {"app:1", "app:2"}
    assert "precious" in engine.docker("volume", "ls", "-q")
    again = samaops("cleanup", "--yes")
    assert (again.returncode, "Nothing to do" in again.stdout) == (0, True)
    assert samaops("cleanup", "nowhere").returncode == 64
