"""The guide's two compose files, for the container engines; or read as plain processes where there is none.

The compose file is the one description of a service: command, environment, limits. ``process_specs`` turns the same
file into daemons of this machine.
"""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from msgspec import Struct

from samaops.i18n import _
from samaops.lab import broker, engine, templating
from samaops.lab import layout as places
from samaops.lab.layout import ADDRESSES, Layout
from samaops.lab.outside.places import Places
from samaops.lab.probes import answers_http, basic_authorization, get_json, greets
from samaops.lab.processes import SYSTEM_PATH, ProcessSpec, StartError
from samaops.lab.requirements import RABBITMQ_PROGRAMS, program, rabbitmq_program
from samaops.lab.servers import Server, checked_in, run_in
from samaops.lab.state import ContainerRecord, Mode

FILES = {"api": "docker-compose.production.yml", "workers": "docker-compose.workers.yml"}
APPLICATION = Path(__file__).parent / "app"
CONCURRENCY = 4
READY_SECONDS = 60.0
# What compose files call a service's port is not in them: the lab uses the server's own network.
PORTS = {
    "samaconso_rabbitmq": places.AMQP_PORT,
    "samaconso_api_1": places.API_PORTS["api_1"],
    "samaconso_api_2": places.API_PORTS["api_2"],
    "samaconso_redis": places.REDIS_PORT,
    "samaconso_celery_worker_1": 0,
    "samaconso_celery_worker_2": 0,
    "samaconso_flower": places.FLOWER_PORT,
}
CONTAINERS = {
    "api": ("samaconso_rabbitmq", "samaconso_api_1", "samaconso_api_2"),
    "workers": (
        "samaconso_redis",
        "samaconso_celery_worker_1",
        "samaconso_celery_worker_2",
        "samaconso_flower",
    ),
}


class Paths(Struct, frozen=True):
    """Where a service finds its files, in its container or on this machine."""

    app: str
    logs: str
    switches: str
    rabbitmq_home: str
    rabbitmq_config: str
    redis: str


def _paths(server: Server, mode: Mode) -> Paths:
    if mode == "containers":
        return Paths("/app", "/app/logs", "/app/switches", "/var/lib/rabbitmq", "/etc/rabbitmq", "/data")
    data, opt = server.data, server.opt
    return Paths(
        app=str(opt),
        logs=str(opt / "logs"),
        switches=str(opt / "switches"),
        rabbitmq_home=str(data / "rabbitmq"),
        rabbitmq_config=str(opt / "rabbitmq"),
        redis=str(data / "redis"),
    )


def redis_directory(server: Server, mode: Mode) -> str:
    """Return where Redis keeps its files, as Redis sees it."""
    return _paths(server, mode).redis


def prepare(layout: Layout, server: Server, mode: Mode) -> None:
    """Write the compose file, its environment file and what its services mount, in /opt/samaconso of the server."""
    paths = _paths(server, mode)
    opt = server.outer(server.opt)
    for name in ("logs", "switches", "uploaded_files"):
        (opt / name).mkdir(parents=True, exist_ok=True)
    if mode == "processes":
        for path in (paths.redis, paths.rabbitmq_home):
            server.outer(Path(path)).mkdir(parents=True, exist_ok=True)
    if server.name == "api":
        broker.write_configuration(opt / "rabbitmq", Path(paths.rabbitmq_config), layout.secrets())
    values = _values(layout, paths, mode)
    templating.write(opt / FILES[server.name], templating.render(FILES[server.name], **values))
    templating.write(opt / ".env.production", templating.render("env.production", **values), 0o600)


def _values(layout: Layout, paths: Paths, mode: Mode) -> dict[str, Any]:
    secrets = layout.secrets()
    outside = Places.of(layout)
    return {
        "address": ADDRESSES,
        "paths": paths,
        "logs": paths.logs,
        "switches": paths.switches,
        "python": sys.executable,
        "python_path": paths.app if mode == "containers" else str(APPLICATION.parent),
        "app_module": "app",
        "app_directory": str(APPLICATION),
        "mounts": engine.mounts(),
        "app_mounts": [f"{path}:{path}:ro" for path in (outside.tls, outside.service_account)],
        "lab": layout.directory,
        "rabbitmq_server": rabbitmq_program("rabbitmq-server"),
        "redis_server": program("redis-server"),
        "worker_host": lambda number: f"celery_worker_{number}",
        "concurrency": CONCURRENCY,
        "queues": places.WORKER_QUEUES,
        "secrets": secrets,
        "flower_auth": f"{places.FLOWER_USER}:{secrets.flower_password}",
        "firebase_credentials": str(outside.service_account),
        "ca_bundle": str(outside.ca_bundle),
        **_ports(),
    }


def _ports() -> dict[str, Any]:
    return {
        "api_ports": {1: places.API_PORTS["api_1"], 2: places.API_PORTS["api_2"]},
        "amqp_port": places.AMQP_PORT,
        "broker_epmd_port": places.BROKER_EPMD_PORT,
        "broker_dist_port": places.BROKER_DIST_PORT,
        "broker_user": places.BROKER_USER,
        "database": places.DATABASE,
        "database_user": places.DATABASE_USER,
        "flower_port": places.FLOWER_PORT,
        "minio_access_key": places.MINIO_ACCESS_KEY,
        "pgbouncer_port": places.PGBOUNCER_PORT,
        "proxy_port": places.PROXY_PORT,
        "redis_port": places.REDIS_PORT,
        "s3_port": places.S3_PORT,
    }


def running(server: Server) -> dict[str, str]:
    """Return the state of each container that the engine knows: "running", "unhealthy", "exited", ..."""
    listing = checked_in(server, ["docker", "ps", "-a", "--format", "{{json .}}"])
    rows = [json.loads(line) for line in listing.splitlines() if line.strip()]
    return {row["Names"]: "unhealthy" if "(unhealthy)" in row["Status"] else row["State"] for row in rows}


def up(server: Server, *services: str) -> bool:
    """Create and start the containers that do not run. Return whether any had to be started.

    With ``services``, by their names in the compose file, only these.
    """
    states = running(server)
    if not services and all(states.get(name) in ("running", "unhealthy") for name in CONTAINERS[server.name]):
        return False
    command = engine.compose_command()
    if command is None:
        raise StartError(_("no compose command"))
    checked_in(server, [*command, *_project(server), "up", "-d", *services], timeout_seconds=120)
    return True


def _project(server: Server) -> list[str]:
    file = str(server.opt / FILES[server.name])
    return ["-p", "samaconso", "--project-directory", str(server.opt), "-f", file]


def last_words(server: Server, container: str) -> str:
    """Return the last line that a container has logged."""
    done = run_in(server, ["docker", "logs", "--tail", "1", container], timeout_seconds=10)
    return (done.stdout + done.stderr).strip()


def records(server: Server) -> list[ContainerRecord]:
    """Return what the state keeps about the containers of a server."""
    return [
        ContainerRecord(name, server.name, server.address, PORTS[name]) for name in CONTAINERS[server.name]
    ]


def process_specs(layout: Layout, server: Server) -> list[ProcessSpec]:
    """Return the services of the server's compose file as daemons of this machine."""
    opt = server.outer(server.opt)
    services = yaml.safe_load((opt / FILES[server.name]).read_text(encoding="utf-8"))["services"]
    return [_process_spec(layout, server, service) for service in services.values()]


def _process_spec(layout: Layout, server: Server, service: dict[str, Any]) -> ProcessSpec:
    name = service["container_name"]
    # A container's temporary files go with it; these must go with the lab.
    environment = {"PATH": f"{RABBITMQ_PROGRAMS}:{SYSTEM_PATH}", "TMPDIR": str(server.run)}
    for file in service.get("env_file", ()):
        environment.update(read_environment(server.outer(server.opt / file)))
    environment.update(service.get("environment", {}))
    directory = service.get("working_dir")
    return ProcessSpec(
        name=name,
        server=server.name,
        address=server.address,
        port=PORTS[name],
        argv=tuple(shlex.split(service["command"])),
        ready=ready(layout, name),
        environment=environment,
        directory=Path(directory) if directory else None,
        ready_seconds=READY_SECONDS,
    )


def read_environment(path: Path) -> dict[str, str]:
    """Read an environment file as compose does: NAME=VALUE lines, comments, nothing quoted."""
    lines = (line.strip() for line in path.read_text(encoding="utf-8").splitlines())
    pairs = (line.partition("=") for line in lines if line and not line.startswith("#"))
    return {name: value for name, _equals, value in pairs}


def ready(layout: Layout, name: str) -> Callable[[], bool]:
    """Return the test of whether one service, by its container's name, does its work."""
    secrets = layout.secrets()
    api, workers = ADDRESSES["api"], ADDRESSES["workers"]
    broker_url = f"http://{api}:{places.RABBITMQ_MANAGEMENT_PORT}/api"
    broker_login = basic_authorization(places.BROKER_USER, secrets.rabbitmq_password)
    flower_login = basic_authorization(places.FLOWER_USER, secrets.flower_password)

    def consumes(queue: str) -> bool:
        return has_consumer(broker_url, queue, broker_login)

    tests: dict[str, Callable[[], bool]] = {
        "samaconso_rabbitmq": lambda: answers_http(f"{broker_url}/queues/%2F/urgent", broker_login),
        "samaconso_redis": lambda: greets(workers, places.REDIS_PORT, b"+PONG", b"PING\r\n"),
        "samaconso_flower": lambda: answers_http(f"http://{workers}:{places.FLOWER_PORT}/", flower_login),
    }
    for number, port in enumerate(places.API_PORTS.values(), start=1):
        url = f"http://{api}:{port}/health"
        tests[f"samaconso_api_{number}"] = lambda url=url: answers_http(url)  # type: ignore[misc]
    for number, queues in enumerate(places.WORKER_QUEUES.values(), start=1):
        tests[f"samaconso_celery_worker_{number}"] = lambda queues=queues: all(  # type: ignore[misc]
            consumes(queue) for queue in queues
        )
    return tests[name]


def has_consumer(url: str, queue: str, authorization: str) -> bool:
    """Tell whether the broker's management API knows a consumer of a queue, now and in its statistics.

    The list of consumers is of this moment. What is said of the queue, which others look at, is some seconds old
    and still counts the consumers of a worker that has just been stopped.
    """
    consumers = get_json(f"{url}/consumers/%2F", authorization)
    known = isinstance(consumers, list) and any(consumer["queue"]["name"] == queue for consumer in consumers)
    if not known:
        return False
    counted = get_json(f"{url}/queues/%2F/{queue}", authorization)
    return isinstance(counted, dict) and int(counted.get("consumers", 0)) > 0
