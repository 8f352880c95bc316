"""What is looked at for a restore, over the shell of PostgreSQL's server: never part of a diagnosis, only of its plans."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timedelta, timezone

import msgspec
from msgspec.structs import replace

from samaops.clients.backup_store import Store
from samaops.clients.database_server import DatabaseServer, Row
from samaops.clients.errors import ClientError
from samaops.facts.backup_run import GUIDE, PGBACKREST, WHOLE, Catalogue, Manifest, Run
from samaops.facts.restoring import Database, LiveTable, RestoringFacts, Session, Source
from samaops.i18n import _
from samaops.model.failure import FailureKind
from samaops.model.typed import ready

LOOK_SECONDS = 20.0
# To list an archive of a hundred thousand objects.
_LIST_SECONDS = 60.0
# For all tables, and for one: a table of a hundred million rows is told by its statistics.
_ROWS_SECONDS, _TABLE_MILLISECONDS = 45.0, 4000
LATEST = "latest"
ARCHIVE = "database"
STAGE = "backup"


def look(server: DatabaseServer) -> RestoringFacts:
    """Look at the cluster alone. Raises ClientError."""
    state = _one(server.ask("server", LOOK_SECONDS))
    free = server.run("free", LOOK_SECONDS, str(state["directory"])).stdout.strip()
    processors = server.run("processors", LOOK_SECONDS).stdout.strip()
    return RestoringFacts(
        epoch=float(state["epoch"]),
        major=int(state["version"]) // 10_000,
        free_bytes=_whole(free),
        processors=_whole(processors),
        in_recovery=bool(state["in_recovery"]),
        databases=databases(server),
        token=secrets.token_hex(4),
    )


def databases(server: DatabaseServer, seconds: float = LOOK_SECONDS) -> tuple[Database, ...]:
    """Return the databases of the cluster. Raises ClientError."""
    return tuple(msgspec.convert(row, ready(Database)) for row in server.ask("databases", seconds))


def with_survey(server: DatabaseServer, store: Store, seen: RestoringFacts) -> RestoringFacts:
    """Add what backups there are, pgBackRest's among them, and which tablespaces lie elsewhere. Raises ClientError."""
    names = tuple(str(row["name"]) for row in server.ask("tablespaces", LOOK_SECONDS))
    return replace(seen, survey=store.survey(server.port), tablespaces=names)


def live(server: DatabaseServer, database: str) -> dict[str, LiveTable]:
    """Return how many rows each table has now, and its newest moment. Raises ClientError."""
    found: dict[str, LiveTable] = {}
    values = {"milliseconds": _TABLE_MILLISECONDS}
    for row in server.ask("live_rows", _ROWS_SECONDS, values, database, stops=False):
        if "about" in row:  # a table that was never analyzed has -1
            found.setdefault(row["relation"], LiveTable(max(0, row["about"]), False))
        else:
            found[row["relation"]] = LiveTable(row["rows"], True, row["newest"])
    return found


def sessions(server: DatabaseServer, database: str) -> tuple[Session, ...]:
    """Return who is in a database. Raises ClientError."""
    rows = server.ask("sessions", LOOK_SECONDS, {"database": database})
    return tuple(msgspec.convert(row, ready(Session)) for row in rows)


def source(server: DatabaseServer, store: Store, wanted: str) -> tuple[Source, Manifest | None]:
    """Return a backup by its id, by the beginning of that, by a dump's name, or the newest whole one.

    Raises ClientError: ABSENT where there is none, GARBAGE where it is that of another site or damaged.
    """
    catalogue = store.rows()
    rows = {run.id: run for run in catalogue.rows}
    if wanted == LATEST and store.backup.engine == PGBACKREST:
        raise OfMomentsError(_newest_end(rows.values()))
    dumps = {dump.id: rows.get(dump.id, dump) for dump in store.guide_dumps()}
    runs = {name: run for name, run in rows.items() if run.engine != GUIDE}
    run = _chosen(wanted, {**dumps, **runs})
    if run is None:
        raise ClientError(FailureKind.ABSENT, _why_none(wanted, store, catalogue), STAGE)
    if run.engine == PGBACKREST:
        raise OfMomentsError(run.ended_at or "")
    if run.state != WHOLE:
        words = _("the backup {id} is not whole: {state}").format(id=run.id, state=run.state)
        raise ClientError(FailureKind.GARBAGE, words, STAGE)
    return (_guides(server, store, run), None) if run.engine == GUIDE else _ours(server, store, run)


def _newest_end(runs: Iterable[Run]) -> str:
    ended = (run.ended_at or "" for run in runs if run.engine == PGBACKREST and run.state == WHOLE)
    return max(ended, default="")


class OfMomentsError(ClientError):
    """What pgBackRest has is restored as of a moment: ``moment`` is one just after the backup that was meant, "" if unknown."""

    def __init__(self, ended_at: str) -> None:
        self.moment = ""
        if ended_at:  # a backup is of use from the second after its end
            after = datetime.fromisoformat(ended_at).astimezone(timezone.utc) + timedelta(seconds=2)
            self.moment = f"{after:%Y-%m-%d %H:%M:%S}+00"
        text = _("what pgBackRest has is restored as of a moment, with --to")
        super().__init__(FailureKind.ABSENT, text, STAGE)


def _chosen(wanted: str, runs: Mapping[str, Run]) -> Run | None:
    if wanted == LATEST:
        whole = [run for run in runs.values() if run.state == WHOLE and not run.recovered_to]
        return max(whole, key=lambda run: epoch_of(run.started_at), default=None)
    named = [name for name in runs if name == wanted] or [name for name in runs if name.startswith(wanted)]
    return runs[named[0]] if len(named) == 1 else None


def _why_none(wanted: str, store: Store, catalogue: Catalogue) -> str:
    if any(name.startswith(wanted) for name in catalogue.foreign):
        text = _("the backup {id} is that of another site than {site}")
        return text.format(id=wanted, site=store.site)
    for name, reason in catalogue.unreadable:
        if name in (wanted, f"{wanted}.json"):
            return f"{name}: {reason}"
    text = _("there is no backup {id} in {directory}")
    return text.format(id=wanted, directory=store.backup.directory)


def _ours(server: DatabaseServer, store: Store, run: Run) -> tuple[Source, Manifest]:
    directory, raw = store.path_of(run), store.manifest_bytes(run.id)
    if run.manifest_sha256 and hashlib.sha256(raw).hexdigest() != run.manifest_sha256:
        words = _("the manifest of {id} is not as it was written").format(id=run.id)
        raise ClientError(FailureKind.GARBAGE, words, STAGE)
    manifest = store.decoded_manifest(run.id, raw)
    path = f"{directory}/{ARCHIVE}"
    listed = _listed(server, path, manifest.server_version)
    return Source(
        id=run.id,
        path=path,
        directory=directory,
        site=manifest.site,
        database=manifest.database,
        version=manifest.server_version,
        epoch=epoch_of(manifest.started_at),
        bytes=sum(file.bytes for file in manifest.files),
        state=run.state,
        grades=run.grades,
        rows=manifest.rows,
        newest=manifest.newest,
        properties=manifest.properties,
        indexes=int(listed["indexes"]),
        constraints=int(listed["constraints"]),
        is_ours=True,
    ), manifest


def _guides(server: DatabaseServer, store: Store, run: Run) -> Source:
    """Return a dump of the guide's script: what it says of itself is all that is known."""
    path = store.path_of(run)
    listed = _listed(server, path, "")
    return Source(
        id=run.id,
        path=path,
        directory=path,
        site=run.site,
        database=listed.get("database", ""),
        version=listed.get("version", ""),
        epoch=epoch_of(run.started_at),
        bytes=run.bytes or 0,
        state=run.state,
        grades=run.grades,
        rows={},
        newest={},
        properties=None,
        indexes=int(listed["indexes"]),
        constraints=int(listed["constraints"]),
        is_ours=False,
    )


def _listed(server: DatabaseServer, path: str, version: str) -> dict[str, str]:
    words = version.split(".", maxsplit=1)[0]
    lines = server.run("list", _LIST_SECONDS, path, words if words.isdigit() else "").stdout.splitlines()
    found = dict(line.split("\t", 1) for line in lines if "\t" in line)
    if "indexes" not in found or "constraints" not in found:
        raise ClientError(FailureKind.GARBAGE, _("the server's answer is not complete"), "pg_restore")
    return found


def contents(
    server: DatabaseServer, database: str, seconds: float, dumped: Collection[str] = ()
) -> Mapping[str, int]:
    """Return the rows of each table, counted; those of extensions only where they are ``dumped``. Raises ClientError."""
    return {
        row["relation"]: int(row["rows"])
        for row in server.ask("rows", seconds, database=database)
        if not row["is_extension"] or row["relation"] in dumped
    }


def epoch_of(moment: str) -> float:
    """Return a moment of a manifest as seconds since 1970. Raises ClientError."""
    try:
        parsed = datetime.fromisoformat(moment.replace("Z", "+00:00"))
    except ValueError as error:
        raise ClientError(FailureKind.GARBAGE, f"{moment!r}", "manifest") from error
    return (parsed if parsed.tzinfo else parsed.replace(tzinfo=timezone.utc)).timestamp()


def _one(rows: list[Row]) -> Row:
    if len(rows) != 1:
        raise ClientError(FailureKind.GARBAGE, _("the server's answer is not complete"), "psql")
    return rows[0]


def _whole(words: str) -> int:
    if not words.isdigit():
        raise ClientError(FailureKind.GARBAGE, _("the server's answer is not complete"), "df")
    return int(words)
