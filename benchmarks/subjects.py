"""What is measured: the commands, as they are pointed at a lab."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace
from sampling import Command

from samaops.lab import engine
from samaops.lab.incidents.site import Site
from samaops.lab.layout import (
    API_ADDRESS,
    API_PORTS,
    BROKER_USER,
    DATABASE,
    DATABASE_USER,
    DB_ADDRESS,
    FLOWER_PORT,
    FLOWER_USER,
    PGBOUNCER_PORT,
    POSTGRESQL_PORT,
    RABBITMQ_MANAGEMENT_PORT,
    REDIS_PORT,
    S3_PORT,
    SSH_PORT,
    WORKERS_ADDRESS,
    Layout,
)

HERE = Path(__file__).parent
SAMAOPS = str(Path(sys.executable).with_name("samaops"))
SILENT_ADDRESS = "127.101.0.99"
SILENT_PORTS = (SSH_PORT, POSTGRESQL_PORT, PGBOUNCER_PORT, S3_PORT)
# The server that the script stands on: it reads the disks of no other, and asks no other's Docker engine.
HERE_IS = "api"
# What the thirteen checks import of other people's, whatever samaops does: no bound below it can hold.
LIBRARIES = "typer, rich.console, pydantic, msgspec, yaml, requests, redis, psycopg"
# The script's thirteen checks in samaops's words, in the script's order.
SAME_CHECKS = (
    "servers.host.unreachable",  # three pings
    "api.member.unreachable",  # two members
    "api.health.failing",
    "pgbouncer.query.failed",
    "redis.service.unreachable",
    "rabbitmq.service.unreachable",
    "flower.service.unreachable",
    f"servers.disk.full@{HERE_IS}",
    f"docker.container.stopped@{HERE_IS}",
    "celery.worker.missing",
    "rabbitmq.queue.backlog",
)


class Subjects(Struct, frozen=True):
    """The commands for one lab."""

    script: Command
    libraries: Command
    same_checks: Command
    same_everywhere: Command
    everything: Command
    bare_help: Command
    own_help: Command


def of(layout: Layout) -> Subjects:
    """Return the commands for the lab that is up in a directory."""
    config = str(layout.config_file)
    diagnose = (SAMAOPS, "--lang", "en", "--config", config, "diagnose")
    only = ",".join(SAME_CHECKS)
    variables = _variables(layout)
    return Subjects(
        script=Command("script", ("bash", str(HERE / "health_check_complet.sh")), variables),
        libraries=Command("libraries", (sys.executable, "-c", f"import {LIBRARIES}")),
        same_checks=Command("same checks", (*diagnose, "--only", only), _as_on_the_server(variables)),
        same_everywhere=Command("same, 3 servers", (*diagnose, "--only", only.replace(f"@{HERE_IS}", ""))),
        everything=Command("everything", diagnose),
        bare_help=Command("bare help", (sys.executable, str(HERE / "hello_typer.py"), "--help")),
        own_help=Command("own help", (SAMAOPS, "--help")),
    )


def without_database_server(subjects: Subjects, layout: Layout, copy: Path) -> tuple[Command, Command]:
    """Return the script and a full diagnose that look for server db where nobody answers."""
    text = layout.config_file.read_text(encoding="utf-8").replace(f'"{DB_ADDRESS}"', f'"{SILENT_ADDRESS}"')
    text = text.replace(f"//{DB_ADDRESS}:", f"//{SILENT_ADDRESS}:")
    copy.touch(mode=0o600)
    copy.write_text(text, encoding="utf-8")
    moved = {**subjects.script.variables, "DB": SILENT_ADDRESS, "PGBOUNCER_HOST": SILENT_ADDRESS}
    words = tuple(
        str(copy) if word == str(layout.config_file) else word for word in subjects.everything.words
    )
    return replace(subjects.script, variables=moved), replace(subjects.everything, words=words)


def _as_on_the_server(variables: Mapping[str, str]) -> dict[str, str]:
    """Return what makes samaops look at server api as one that stands on it does: without logging in."""
    docker = {name: value for name, value in variables.items() if name == "DOCKER_HOST"}
    return {f"SAMAOPS_SERVERS__{HERE_IS.upper()}__SSH": "local", **docker}


def _variables(layout: Layout) -> dict[str, str]:
    secrets = layout.secrets()
    site = Site.open(layout)
    socket = site.server(HERE_IS).outer(engine.SOCKET) if site.has_containers else None
    return {
        "LC_ALL": "C.UTF-8",
        # The system's own python3, as on the production servers: a version manager's shim takes 70 ms more each time.
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "DB": DB_ADDRESS,
        "API": API_ADDRESS,
        "WORKERS_HOST": WORKERS_ADDRESS,
        "API_1_URL": f"http://{API_ADDRESS}:{API_PORTS['api_1']}",
        "API_2_URL": f"http://{API_ADDRESS}:{API_PORTS['api_2']}",
        "PGBOUNCER_HOST": DB_ADDRESS,
        "PGBOUNCER_PORT": str(PGBOUNCER_PORT),
        "PGUSER": DATABASE_USER,
        "PGDATABASE": DATABASE,
        "PGPASSWORD": secrets.samaconso_password,
        "REDIS_HOST": WORKERS_ADDRESS,
        "REDIS_PORT": str(REDIS_PORT),
        "RABBITMQ_URL": f"http://{API_ADDRESS}:{RABBITMQ_MANAGEMENT_PORT}",
        "RABBITMQ_USER": f"{BROKER_USER}:{secrets.rabbitmq_password}",
        "FLOWER_URL": f"http://{WORKERS_ADDRESS}:{FLOWER_PORT}",
        "FLOWER_USER": f"{FLOWER_USER}:{secrets.flower_password}",
        **({"DOCKER_HOST": f"unix://{socket}"} if socket else {}),
    }
