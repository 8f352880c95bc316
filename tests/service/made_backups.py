"""Backups as ``docs/backup.md`` lays them out, made by PostgreSQL's own programs: for tests of what is done with them."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace

from samaops.changes.run.restoring import properties_of
from samaops.clients.backup_store import MANIFEST, Store
from samaops.clients.database_server import DatabaseServer
from samaops.clients.local import LocalShell
from samaops.collect import restoring as look
from samaops.config.backup_settings import Backup
from samaops.facts.backup_run import DUMP, STARTED, WHOLE, DatabaseProperties, File, Manifest, Part, Run
from samaops.site.site import Site
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


def local_store(site: Site) -> Store:
    """Return the store of a site whose backups lie on this machine."""
    assert site.settings.backup is not None
    return Store(LocalShell(), site.settings.backup, site.name)


def make_of_files(
    site: Site, identifier: str, content: Mapping[str, bytes], parts: tuple[Part, ...] = ()
) -> None:
    """Make a backup that is whole of these files, without a database."""
    store = local_store(site)
    Path(store.backup.directory).mkdir(parents=True, exist_ok=True)
    row = Run(identifier, site.name, STARTED, DUMP, "2026-11-28T01:00:00+00:00")
    store.write_row(row)
    partial = Path(store.begin(identifier))
    for name, text in content.items():
        (partial / name).parent.mkdir(exist_ok=True)
        (partial / name).write_bytes(text)
    files = tuple(File(name, len(text), hashlib.sha256(text).hexdigest()) for name, text in content.items())
    properties = DatabaseProperties("o", "UTF8", "C", "C", -1, None, None, {}, {})
    manifest = Manifest(
        identifier, site.name, "db", "samaconso", DUMP, row.started_at, row.started_at, "x@y", "15", "15", "0/1",
        properties, {}, files, parts,
    )  # fmt: skip
    raw = msgspec.json.encode(manifest)
    store.put(identifier, MANIFEST, raw)
    store.finish(identifier)
    sum_of_it = hashlib.sha256(raw).hexdigest()
    store.update(identifier, lambda _row: replace(row, state=WHOLE, bytes=300_000, manifest_sha256=sum_of_it))
