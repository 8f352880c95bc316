"""The compose files: one description of each service, for containers and for plain processes."""

from __future__ import annotations

import io
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from samaops.lab import compose, engine
from samaops.lab.layout import ADDRESSES, Layout
from samaops.lab.processes import StartError
from samaops.lab.servers import Server
from samaops.lab.state import Mode


def server(tmp_path: Path, name: str) -> Server:
    own = tmp_path / "lab" / name
    paths = {part: own / part for part in ("data", "run", "etc", "opt", "log")}
    return Server(name, ADDRESSES[name], own, None, **paths)


@pytest.fixture
def layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Layout:
    monkeypatch.setattr(compose, "program", lambda name: f"/usr/bin/{name}")
    return Layout(tmp_path / "lab")


def services(layout: Layout, tmp_path: Path, name: str, mode: Mode) -> dict[str, Any]:
    prepared = server(tmp_path, name)
    compose.prepare(layout, prepared, mode)
    document = yaml.safe_load((prepared.opt / compose.FILES[name]).read_text())
    return {service["container_name"]: service for service in document["services"].values()}


@pytest.mark.parametrize("name", ["api", "workers"])
def test_each_container_has_the_guides_name_a_limit_and_restarts(
    layout: Layout, tmp_path: Path, name: str
) -> None:
    described = services(layout, tmp_path, name, "containers")
    assert set(described) == set(compose.CONTAINERS[name])
    for service in described.values():
        assert service["restart"] == "unless-stopped"
        assert service["network_mode"] == "host"
        assert service["mem_limit"].endswith("m")
        assert "/usr:/usr:ro" in service["volumes"]


def test_the_workers_consume_the_guides_queues(layout: Layout, tmp_path: Path) -> None:
    described = services(layout, tmp_path, "workers", "containers")
    assert "-Q urgent,high_priority" in described["samaconso_celery_worker_1"]["command"]
    assert "-Q normal,low_priority" in described["samaconso_celery_worker_2"]["command"]


def test_only_the_owner_may_read_the_environment_file(layout: Layout, tmp_path: Path) -> None:
    services(layout, tmp_path, "api", "containers")
    path = server(tmp_path, "api").opt / ".env.production"
    assert path.stat().st_mode & 0o777 == 0o600
    environment = compose.read_environment(path)
    assert environment["DATABASE_URL"].endswith("@127.101.0.1:6432/samaconso")
    assert environment["SAMACONSO_LOGS"] == "/app/logs"


def test_the_same_file_describes_plain_processes(layout: Layout, tmp_path: Path) -> None:
    services(layout, tmp_path, "api", "processes")
    specs = {spec.name: spec for spec in compose.process_specs(layout, server(tmp_path, "api"))}
    api = specs["samaconso_api_1"]
    assert api.argv[:4] == (sys.executable, "-m", "uvicorn", "app.api:app")
    assert (api.address, api.port) == ("127.101.0.2", 8001)
    assert api.environment["INSTANCE_ID"] == "api_1"
    assert api.environment["SAMACONSO_LOGS"] == str(server(tmp_path, "api").opt / "logs")
    assert specs["samaconso_rabbitmq"].environment["HOME"] == str(server(tmp_path, "api").data / "rabbitmq")


def test_a_second_run_changes_no_file(layout: Layout, tmp_path: Path) -> None:
    opt = server(tmp_path, "api").opt
    services(layout, tmp_path, "api", "containers")
    before = {path: path.read_bytes() for path in opt.rglob("*") if path.is_file()}
    services(layout, tmp_path, "api", "containers")
    assert {path: path.read_bytes() for path in opt.rglob("*") if path.is_file()} == before


def test_an_image_holds_links_into_usr_and_no_program() -> None:
    with tarfile.open(fileobj=io.BytesIO(engine.image_archive())) as archive:
        entries = {entry.name: entry for entry in archive.getmembers()}
    assert entries["bin"].linkname == "usr/bin"
    assert entries["usr"].isdir()
    assert sum(entry.size for entry in entries.values()) < 1000


def test_a_missing_redis_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise StartError(f"{name} is missing")

    monkeypatch.setattr(compose, "program", missing)
    with pytest.raises(StartError, match="redis-server is missing"):
        compose.prepare(Layout(tmp_path / "lab"), server(tmp_path, "workers"), "containers")


@pytest.mark.parametrize(
    ("listed", "counted", "expected"),
    [
        (["normal"], 1, True),
        ([], 1, False),  # the statistics still count a worker that has just been stopped
        (["normal"], 0, False),
        (["urgent"], 0, False),
    ],
)
def test_a_queue_has_a_consumer_when_the_broker_lists_and_counts_one(
    listed: list[str], counted: int, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = {
        "http://broker/api/consumers/%2F": [{"queue": {"name": name}} for name in listed],
        "http://broker/api/queues/%2F/normal": {"name": "normal", "consumers": counted},
    }
    monkeypatch.setattr(compose, "get_json", lambda url, _login: answers[url])
    assert compose.has_consumer("http://broker/api", "normal", "") is expected


def test_a_broker_that_does_not_answer_has_no_consumer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compose, "get_json", lambda _url, _login: None)
    assert not compose.has_consumer("http://broker/api", "normal", "")
