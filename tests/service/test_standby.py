"""A real standby: it follows, it is cut off, it is promoted by hand, it is gone."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from samaops.config.settings import Settings
from samaops.facts.selection import Selection
from samaops.model.status import Status
from samaops.site.site import Site
from samaops.workflows import diagnose
from tests.service.postgres_server import (
    PASSWORD,
    PostgresServer,
    as_postgres,
    binaries,
    eventually,
    free_port,
    running_postgres,
)

pytestmark = [pytest.mark.service, pytest.mark.timeout(200)]
SELECTION = Selection(only=("postgresql.standby", "postgresql.replication"))


@pytest.fixture(scope="module")
def primary() -> Iterator[PostgresServer]:
    with running_postgres("hot_standby = on\nwal_keep_size = 64MB\n") as server:
        yield server


@pytest.fixture
def standby(primary: PostgresServer) -> Iterator[PostgresServer]:
    directory = Path(tempfile.mkdtemp(prefix="samaops-pg-"))
    server = PostgresServer(free_port(), directory)
    if os.geteuid() == 0:
        shutil.chown(directory, "postgres", "postgres")
    source = f"host=127.0.0.1 port={primary.port} user=postgres password={PASSWORD} application_name=db2"
    command = as_postgres(
        binaries() / "pg_basebackup", "-D", directory / "data", "-d", source, "-R", "-X", "stream", "-c", "fast", "--no-sync",
    )  # fmt: skip
    try:
        subprocess.run(command, check=True, capture_output=True, cwd=directory, timeout=60)
        with (directory / "data" / "postgresql.conf").open("a") as configuration:
            configuration.write(f"port = {server.port}\nunix_socket_directories = '{directory}'\n")
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(directory, ignore_errors=True)


def site(primary: PostgresServer, standby: PostgresServer) -> Site:
    section = {
        "host": "127.0.0.1", "port": primary.port, "user": "samaops", "password": PASSWORD,
        "standbys": [{"name": "db2", "server": "db2", "port": standby.port}],
    }  # fmt: skip
    servers = {name: {"address": "127.0.0.1", "ssh": "none"} for name in ("db", "db2")}
    return Site(Settings.model_validate({"servers": servers, "postgresql": section}))


def seen(of: Site) -> tuple[dict[str, Status], list[tuple[str, str]]]:
    """Return the status of each check of the standby, and the roots."""
    report = diagnose.judge(diagnose.observe(of, SELECTION), of, SELECTION)
    statuses = {
        finding.code.rpartition(".")[2]: finding.status
        for finding in report.findings
        if finding.subject == "standby/db2"
    }
    return statuses, [(cause.id, cause.subject) for cause in report.causes]


def test_what_becomes_of_a_standby_is_seen(primary: PostgresServer, standby: PostgresServer) -> None:
    of = site(primary, standby)
    well = {"unreachable": Status.OK, "promoted": Status.OK, "disconnected": Status.OK}
    eventually(lambda: seen(of) == (well, []))
    standby.run("ALTER SYSTEM SET primary_conninfo = 'host=127.0.0.1 port=1'")
    standby.run("SELECT pg_reload_conf()")
    cut_off = {**well, "disconnected": Status.CRITICAL}
    eventually(lambda: seen(of) == (cut_off, [("standby-disconnected", "standby/db2")]))
    standby.run("SELECT pg_promote()")
    promoted = {**well, "promoted": Status.CRITICAL, "disconnected": Status.SKIPPED}
    eventually(lambda: seen(of) == (promoted, [("standby-promoted", "standby/db2")]))
    standby.stop()
    statuses, _roots = seen(of)
    assert statuses == {
        "unreachable": Status.CRITICAL,
        "promoted": Status.SKIPPED,
        "disconnected": Status.SKIPPED,
    }
