"""A site of one server, this machine, whose database is a real PostgreSQL, for the tests of its backups.

Use the fixture by importing it: ``from tests.service.backup_site import backed_up, backup_site``.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from samaops.changes import verbs
from samaops.clients.backup_store import Store
from samaops.clients.local import LocalShell
from samaops.config.settings import Settings
from samaops.model.report import Report
from samaops.site.site import Site
from samaops.workflows import change
from tests.service.postgres_server import PASSWORD, PostgresServer, running_postgres

# The operating-system user of the tests' PostgreSQL comes in by the local socket, without a password.
_ACCESS = "local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n"
FILLED = """
CREATE TABLE customers (id int PRIMARY KEY, name text NOT NULL, created_at timestamptz NOT NULL);
INSERT INTO customers SELECT i, repeat(md5(i::text), 3), '2026-01-01'::timestamptz + i * interval '1 minute' FROM generate_series(1, 4000) i;
CREATE TABLE orders (id int PRIMARY KEY, customer int REFERENCES customers, note text);
INSERT INTO orders SELECT i, 1 + i % 4000, E'two\\nlines\\tand a \\\\. ' || md5(i::text) FROM generate_series(1, 9000) i;
CREATE TABLE "Odd Name" (id int);
INSERT INTO "Odd Name" VALUES (1), (2);
CREATE TABLE alembic_version (version_num text PRIMARY KEY);
INSERT INTO alembic_version VALUES ('a1b2c3')
"""


def os_user() -> str:
    """Return whose the tests' PostgreSQL is."""
    return "postgres" if os.geteuid() == 0 else os.environ.get("USER", "postgres")


@dataclass
class BackupSite:
    """One site: its database, where its backups lie, and its settings."""

    server: PostgresServer
    directory: Path
    settings: dict[str, Any]

    def site(self, **backup: Any) -> Site:
        """Return the site, with further keys of ``[backup]``."""
        values = {**self.settings, "backup": {**self.settings["backup"], **backup}}
        return Site(Settings.model_validate(values))

    def store(self, **backup: Any) -> Store:
        """Return the store of its backups."""
        site = self.site(**backup)
        assert site.settings.backup is not None
        return Store(LocalShell(), site.settings.backup, site.name)

    def do(self, verb: str, *arguments: str, **backup: Any) -> Report:
        """Plan a verb, make it, and return how it went."""
        site = self.site(**backup)
        return change.apply(site, change.prepare(site, verb, arguments), 10.0)

    def create(self, **backup: Any) -> str:
        """Make a backup that must be whole, and return its id."""
        report = self.do("backup create", **backup)
        assert not report.errors, report.errors
        return self.store().rows().rows[0].id

    def plan(self, verb: str, *arguments: str, **backup: Any) -> Any:
        """Plan a verb only."""
        site = self.site(**backup)
        snapshot = change.LiveWorld(site).look(verbs.find(verb).codes(site, arguments))
        return verbs.find(verb).plan(snapshot, site, arguments)

    def samaops(self) -> Path:
        """Return a configuration file of it, for a process of its own."""
        import json

        path = self.directory.parent / "config.toml"
        lines = ['site = "of-tests"']
        for section in ("servers.db", "postgresql", "backup", "safety", "docker"):
            table: Any = self.settings
            for part in section.split("."):
                table = table.get(part) if table else None
            if table:
                lines.append(f"[{section}]")
                lines += [f"{key} = {json.dumps(value)}" for key, value in table.items()]
        path.touch(mode=0o600)
        path.write_text("\n".join(lines) + "\n")
        return path


@contextmanager
def filled_postgres(extra: str = "") -> Iterator[PostgresServer]:
    """Run a PostgreSQL with some tables, which its operating-system user reaches over the local socket."""
    with running_postgres(extra) as server:
        (server.directory / "data" / "pg_hba.conf").write_text(_ACCESS)
        server.run("SELECT pg_reload_conf()")
        for statement in FILLED.split(";\n"):
            server.run(statement)
        server.run("ALTER DATABASE samaconso SET work_mem = '5MB'")
        server.run("ALTER DATABASE samaconso CONNECTION LIMIT 40")
        yield server


@contextmanager
def made_site(server: PostgresServer, own: Path) -> Iterator[BackupSite]:
    """Yield a site whose backups lie in a directory of its own; ``own`` is where samaops keeps what is its own."""
    place = Path(tempfile.mkdtemp(prefix="samaops-backups-"))
    place.chmod(0o755)
    directory = place / "postgresql"
    directory.mkdir(mode=0o700)
    if os.geteuid() == 0:
        shutil.chown(directory, os_user(), os_user())
    (own / "locks").mkdir(mode=0o700)
    settings = {
        "site": "of-tests",
        "servers": {"db": {"address": "127.0.0.1", "ssh": "local", "mounts": []}},
        "postgresql": {"host": "127.0.0.1", "port": server.port, "user": "samaops", "password": PASSWORD},
        "backup": {"directory": str(directory), "os_user": os_user()},
        "safety": {"lock_directory": str(own / "locks")},
    }
    before = os.environ.get("XDG_STATE_HOME")
    os.environ["XDG_STATE_HOME"] = str(own / "state")
    try:
        yield BackupSite(server, directory, settings)
    finally:
        os.environ.pop("XDG_STATE_HOME")
        if before is not None:
            os.environ["XDG_STATE_HOME"] = before
        shutil.rmtree(place, ignore_errors=True)


@pytest.fixture(scope="module")
def backed_up() -> Iterator[PostgresServer]:
    """A PostgreSQL of one test module that is backed up."""
    with filled_postgres() as server:
        yield server


@pytest.fixture
def backup_site(backed_up: PostgresServer, tmp_path: Path) -> Iterator[BackupSite]:
    """A site whose backups lie in a directory of this test."""
    with made_site(backed_up, tmp_path) as site:
        yield site
