"""Backups as ``docs/backup.md`` lays them out, made by PostgreSQL's own programs: for tests of what is done with them."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import msgspec

from samaops.changes.run.restoring import properties_of
from samaops.clients.backup_store import Store
from samaops.clients.database_server import DatabaseServer
from samaops.clients.local import LocalShell
from samaops.collect import restoring as look
from samaops.config.backup_settings import Backup
from samaops.facts.backup_run import DUMP, WHOLE, File, Manifest, Run
from tests.service.postgres_server import DATABASE, PostgresServer, as_postgres, binaries

ID = "20261128T020000Z-3f2a"


class Backups:
    """A directory of backups of one server."""

    def __init__(self, directory: Path, server: PostgresServer) -> None:
        self.directory = directory
        self._server = server
        section = Backup.model_validate({"directory": str(directory)})
        self.server = DatabaseServer(LocalShell(), "postgres", server.port)
        self.store = Store(LocalShell(), section, "samaconso")

    def make(self, identifier: str = ID, **changes: Any) -> Path:
        """Back up the database of now and return where it lies; ``changes`` are other words in its manifest."""
        place = self.directory / "samaops" / identifier
        place.mkdir(parents=True)
        if os.geteuid() == 0:
            for path in (self.directory, place.parent, place):
                shutil.chown(path, "postgres", "postgres")
        socket = ["-h", "/var/run/postgresql", "-p", str(self._server.port), "-U", "postgres"]
        dump: list[str | Path] = [
            binaries() / "pg_dump",
            *socket,
            "-Fd",
            "-Z1",
            "-f",
            place / "database",
            DATABASE,
        ]
        subprocess.run(as_postgres(*dump), check=True, capture_output=True, cwd="/")
        self.describe(identifier, **changes)
        return place

    def describe(self, identifier: str = ID, **changes: Any) -> None:
        """Write the manifest and the row of what lies there; ``more`` are paths besides those of the dump."""
        more = changes.pop("more", ())
        place, now = self.directory / "samaops" / identifier, datetime.now(timezone.utc).isoformat()
        files = tuple(
            File(
                str(path.relative_to(place)),
                path.stat().st_size,
                hashlib.sha256(path.read_bytes()).hexdigest(),
            )
            for path in (*sorted((place / "database").iterdir()), *(place / name for name in more))
        )
        values: dict[str, Any] = {
            "site": "samaconso", "server": "db", "database": DATABASE, "engine": DUMP, "by": "root@test",
            "server_version": "15.18", "client_version": "15.18", "lsn": "0/0", "parts": (),
        }  # fmt: skip
        manifest = Manifest(
            id=identifier,
            started_at=now,
            ended_at=now,
            properties=changes.pop("properties", None) or properties_of(self.server, DATABASE),
            rows=changes.pop("rows", None) or look.contents(self.server, DATABASE, 30),
            files=files,
            **{**values, **changes},
        )
        raw = msgspec.json.encode(manifest)
        (place / "manifest.json").write_bytes(raw)
        shutil.chown(place / "manifest.json", "postgres", "postgres")
        row = Run(
            identifier, manifest.site, WHOLE, DUMP, now, now,
            bytes=sum(file.bytes for file in files), manifest_sha256=hashlib.sha256(raw).hexdigest(),
        )  # fmt: skip
        self.store.update(identifier, lambda _old: row)
