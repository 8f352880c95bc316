"""Make a database of a backup: its sums are checked, it is restored under a new name, completed, and compared."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from msgspec import Struct, convert

from samaops.changes.restoring.work import (
    DROP,
    FINISH,
    LOAD,
    PREPARE,
    Dropping,
    Restoring,
    backup_of,
    configured,
)
from samaops.changes.run import progress
from samaops.changes.run.operations import runs
from samaops.clients.backup_store import MANIFEST, Store, is_own_id
from samaops.clients.database_server import CONSOLE_DATABASE, DatabaseServer, words_of
from samaops.clients.errors import ClientError
from samaops.clients.shells import ShellPool
from samaops.collect import restoring as look
from samaops.facts.backup_run import DatabaseProperties, Manifest
from samaops.facts.restoring import OURS, Mark, RestoringFacts, Source
from samaops.i18n import _, joined, ngettext
from samaops.model.failure import FailureKind
from samaops.model.plan import Operation, Outcome
from samaops.model.quantities import duration, size
from samaops.site.commands import on_server
from samaops.site.shell_words import operands, quoted
from samaops.site.site import Site

SHORT_SECONDS = 60.0
_MOST_NAMED = 5
MOST_JOBS = 4
# Parameters whose value is a list of quoted names; all others take one text.
_LISTS = (
    "search_path",
    "temp_tablespaces",
    "local_preload_libraries",
    "session_preload_libraries",
    "shared_preload_libraries",
    "unix_socket_directories",
)
_LIST_PART = re.compile(r'\s*(?:"((?:[^"]|"")*)"|([^,]*))\s*(?:,|$)')


class Workshop(Struct, frozen=True):
    """Where restores are made: the server of the database, the backups on it, what is known of the one that is meant."""

    server: DatabaseServer
    store: Store
    site: Site

    def source(self, identifier: str) -> tuple[Source, Manifest | None]:
        """Return the backup. Raises ClientError."""
        return look.source(self.server, self.store, identifier)


@contextmanager
def workshop(site: Site) -> Iterator[Workshop]:
    """Yield it, over a connection that the change shares. Raises ClientError."""
    settings, backup, shells = configured(site), backup_of(site), ShellPool(site.settings)
    try:
        shell = shells.of(settings.server)
        server = DatabaseServer(shell, backup.os_user, settings.port)
        yield Workshop(server, Store(shell, backup, site.settings.site), site)
    finally:
        shells.close()


def as_superuser(site: Site, command: str) -> str:
    """Return a command as it is typed on the server of the database, by PostgreSQL's user."""
    return on_server(site, configured(site).server, f"sudo -u {quoted(backup_of(site).os_user)} {command}")


def _prepare_lines(operation: Operation, site: Site) -> tuple[str, ...]:
    restoring = convert(operation.arguments, Restoring)
    return (
        _("# the sums of {id} are compared with those in its manifest").format(id=restoring.id),
        as_superuser(site, f"createdb -T template0 {operands(restoring.into)}"),
    )


@runs(PREPARE, lines=_prepare_lines)
def prepare(operation: Operation, site: Site) -> Outcome:
    """Check the sums, make the database. Raises ClientError."""
    restoring = convert(operation.arguments, Restoring)
    with workshop(site) as at:
        of, manifest = at.source(restoring.id)
        try:
            check_sums(at, of, manifest, operation.timeout_seconds)
        except ClientError as error:
            text = _("the files of {id} are not as they were written: {reason}")
            return Outcome(False, text.format(id=of.id, reason=error.message), is_seen=True)
        create(at, of, restoring)
    return Outcome(True, is_seen=True)


def check_sums(at: Workshop, of: Source, manifest: Manifest | None, seconds: float) -> None:
    """Read every file of a backup and compare its sum. Raises ClientError, with the file."""
    if manifest is None:
        return
    progress.tell(_("reads {id} and compares its sums").format(id=of.id))
    sums = {file.path: file.sha256 for file in manifest.files if file.path != MANIFEST}
    if any("\n" in path or "\\" in path for path in sums):
        raise ClientError(FailureKind.GARBAGE, _("a path in its manifest has a line break"), "manifest")
    if f"{look.ARCHIVE}/toc.dat" not in sums:
        raise ClientError(FailureKind.MISSING, _("its manifest names no dump"), "manifest")
    lines = "".join(f"{digest}  {path}\n" for path, digest in sums.items())
    at.server.work("sums", seconds, of.directory, stdin=lines)


def create(at: Workshop, of: Source, restoring: Restoring) -> None:
    """Make the new database, marked as ours. Raises ClientError, also for a name that is not one of ours."""
    if not restoring.into.startswith(OURS):
        raise ClientError(
            FailureKind.ERROR, _("{name} is no name for it").format(name=restoring.into), "create"
        )
    properties = properties_for(at, of)
    mark = Mark(restoring.does, of.id, restoring.database, round(time.time(), 3), comment=properties.comment)
    values = {
        "database": restoring.into,
        "encoding": properties.encoding,
        "collate": properties.collate,
        "ctype": properties.ctype,
        "comment": mark.written(),
    }
    at.server.ask("create", SHORT_SECONDS, values)


def properties_for(at: Workshop, of: Source) -> DatabaseProperties:
    """Return what the database must have: from the manifest, else from the live one, else the cluster's. Raises ClientError."""
    if of.properties is not None:
        return of.properties
    names = {each.name for each in look.databases(at.server)}
    name = configured(at.site).database
    return properties_of(at.server, name if name in names else CONSOLE_DATABASE)


def properties_of(server: DatabaseServer, database: str) -> DatabaseProperties:
    """Return what a database has. Raises ClientError."""
    (row,) = server.ask("properties", SHORT_SECONDS, database=database)
    return convert(row, DatabaseProperties)


def _load_lines(operation: Operation, site: Site) -> tuple[str, ...]:
    restoring = convert(operation.arguments, Restoring)
    archive = operands(restoring.into, _archive_of(site, restoring.id))
    return (as_superuser(site, f"pg_restore -e -d {archive}"),)


def _archive_of(site: Site, identifier: str) -> str:
    """Return where the dump of a backup lies, of samaops or of the guide, by its id alone."""
    directory = backup_of(site).directory.rstrip("/")
    if is_own_id(identifier):
        return f"{directory}/samaops/{identifier}/{look.ARCHIVE}"
    return f"{directory}/{identifier}"


@runs(LOAD, lines=_load_lines)
def load(operation: Operation, site: Site) -> Outcome:
    """Restore. Raises ClientError."""
    restoring = convert(operation.arguments, Restoring)
    began = time.monotonic()
    with workshop(site) as at:
        of, _manifest = at.source(restoring.id)
        fill(at, of, restoring.into, "whole", operation.timeout_seconds)
    seconds = round(time.monotonic() - began, 1)
    return Outcome(
        True,
        _("restored in {time}").format(time=duration(seconds)),
        is_seen=True,
        measured={"seconds": seconds},
    )


def fill(at: Workshop, of: Source, into: str, how: str, seconds: float, *table: str) -> None:
    """Restore an archive into a database of ours. Raises ClientError."""
    if not into.startswith(OURS):
        raise ClientError(FailureKind.ERROR, _("{name} is no name for it").format(name=into), "load")
    seen = look.look(at.server)
    progress.tell(_("restores {id} into {into}").format(id=of.id, into=into))
    jobs = backup_of(at.site).jobs or max(1, min(MOST_JOBS, seen.processors - 1))
    words = (into, of.path, str(jobs), str(seen.major), how, *(table or ("", "")))

    def tell(count: int) -> None:
        text = _("restores {id} into {into}: {size} until now")
        progress.tell(text.format(id=of.id, into=into, size=size(count)))

    at.server.work("load", seconds, *words, database=into, tell=tell)


def _finish_lines(operation: Operation, site: Site) -> tuple[str, ...]:
    into = operands(convert(operation.arguments, Restoring).into)
    return (
        _("# it gets the owner, the rights and the settings of the database that it replaces"),
        as_superuser(site, f"psql -d {into} -c ANALYZE"),
        _("# its rows, indexes, rights and settings are compared with the manifest; [backup] smoke_query"),
    )


@runs(FINISH, lines=_finish_lines)
def finish(operation: Operation, site: Site) -> Outcome:
    """Complete it and compare. Raises ClientError."""
    restoring = convert(operation.arguments, Restoring)
    with workshop(site) as at:
        of, _manifest = at.source(restoring.id)
        replay(at, restoring.into, properties_for(at, of))
        progress.tell(_("analyzes {into}").format(into=restoring.into))
        at.server.ask("analyze", operation.timeout_seconds, database=restoring.into)
        different = [*differences(at, of, restoring.into, operation.timeout_seconds)]
        different += _smoke(at, restoring.into)
    if different:
        return Outcome(False, _shortened(different))
    rows = sum(of.rows.values())
    words = _("{rows} rows in {tables} tables, as the manifest says") if of.rows else ""
    return Outcome(True, words.format(rows=rows, tables=len(of.rows)), is_seen=True, measured={"rows": rows})


def _shortened(different: list[str]) -> str:
    rest = len(different) - _MOST_NAMED
    return joined(
        [
            *different[:_MOST_NAMED],
            *(
                [ngettext("and {count} more", "and {count} more", rest).format(count=rest)]
                if rest > 0
                else []
            ),
        ]
    )


def _smoke(at: Workshop, into: str) -> Iterator[str]:
    query = backup_of(at.site).smoke_query
    if query and not at.server.query(query, into, SHORT_SECONDS):
        yield _("[backup] smoke_query gives no row")


def replay(at: Workshop, into: str, properties: DatabaseProperties) -> None:
    """Give a restored database the owner, rights, limit and settings. Raises ClientError."""
    progress.tell(_("gives {into} its rights and settings").format(into=into))
    values: dict[str, str | int] = {
        "database": into,
        "owner": properties.owner,
        "acl": "" if properties.acl is None else words_of(properties.acl),
        "limit": properties.connection_limit,
    }
    at.server.ask("replay", SHORT_SECONDS, values)
    for role, settings in properties.settings.items():
        for setting in settings:
            name, _equals, value = setting.partition("=")
            words = parts_of(value) if name.lower() in _LISTS else [value]
            at.server.ask(
                "set",
                SHORT_SECONDS,
                {"database": into, "role": role, "name": name, "values": json.dumps(words)},
            )


def parts_of(value: str) -> list[str]:
    """Return the names in a list as PostgreSQL keeps it: ``"$user", public``."""
    parts, place = [], 0
    while place < len(value):
        found = _LIST_PART.match(value, place)
        if found is None or found.end() == place:
            break
        named, plain = found.groups()
        parts.append(named.replace('""', '"') if named is not None else plain.strip())
        place = found.end()
    return parts


def differences(at: Workshop, of: Source, into: str, seconds: float) -> Iterator[str]:
    """Yield what is not as the manifest, or the archive's own list, says. Raises ClientError."""
    progress.tell(_("counts the rows of {into}").format(into=into))
    if of.rows:
        yield from _different_rows(of.rows, look.contents(at.server, into, seconds, of.rows))
    (shape,) = at.server.ask("shape", SHORT_SECONDS, database=into)
    for index in shape["invalid_indexes"]:
        yield _("the index {name} is not valid").format(name=index)
    for what, then, now in (
        (_("indexes"), of.indexes, int(shape["indexes"])),
        (_("constraints"), of.constraints, int(shape["constraints"])),
    ):
        if then != now:
            yield _("{what}: {now}, in the archive {then}").format(what=what, now=now, then=then)
    if of.properties is not None:
        yield from different_properties(of.properties, properties_of(at.server, into))


def _different_rows(then: Mapping[str, int], now: Mapping[str, int]) -> Iterator[str]:
    for relation in sorted({*then, *now}):
        if then.get(relation) != now.get(relation):
            words = {
                key: "-" if value is None else value
                for key, value in (("then", then.get(relation)), ("now", now.get(relation)))
            }
            yield _("{table}: {now} rows, in the manifest {then}").format(table=relation, **words)


def different_properties(then: DatabaseProperties, now: DatabaseProperties) -> Iterator[str]:
    """Yield what a restored database has otherwise than the one that was saved; its comment comes with the swap."""

    def ordered(names: tuple[str, ...] | None) -> tuple[str, ...] | None:
        return None if names is None else tuple(sorted(names))

    pairs: dict[str, tuple[object, object]] = {
        _("owner"): (then.owner, now.owner),
        _("encoding"): (then.encoding, now.encoding),
        _("collation"): ((then.collate, then.ctype), (now.collate, now.ctype)),
        _("connection limit"): (then.connection_limit, now.connection_limit),
        _("rights"): (ordered(then.acl), ordered(now.acl)),
        _("settings"): (
            {role: ordered(settings) for role, settings in then.settings.items()},
            {role: ordered(settings) for role, settings in now.settings.items()},
        ),
    }
    for what, (was, has) in pairs.items():
        if was != has:
            yield _("{what}: {now}, in the manifest {then}").format(what=what, now=has, then=was)
    for name in sorted({*then.extensions, *now.extensions}):
        if then.extensions.get(name) != now.extensions.get(name):
            what = _("extension {name}").format(name=name)
            words = {"then": then.extensions.get(name) or "-", "now": now.extensions.get(name) or "-"}
            yield _("{what}: {now}, in the manifest {then}").format(what=what, **words)


def _drop_lines(operation: Operation, site: Site) -> tuple[str, ...]:
    name = convert(operation.arguments, Dropping).name
    return (as_superuser(site, f"dropdb --if-exists --force {operands(name)}"),)


@runs(DROP, lines=_drop_lines)
def drop(operation: Operation, site: Site) -> Outcome:
    """Drop a database of ours, if it is there and still ours. Raises ClientError."""
    name = convert(operation.arguments, Dropping).name
    with workshop(site) as at:
        left = dropped(at, name)
    return Outcome(not left, left, is_seen=True)


def dropped(at: Workshop, name: str) -> str:
    """Drop a database of ours; return why it is still there. Raises ClientError."""
    if not name.startswith(OURS) or name == configured(at.site).database:
        return _("{name} is not a database that samaops made or replaced: it is not touched").format(
            name=name
        )
    (row,) = at.server.ask("drop", SHORT_SECONDS, {"database": name})
    if row["is_there"]:
        return _("{name} has lost the mark that it is ours: it is not touched").format(name=name)
    return ""


def seen_now(at: Workshop) -> RestoringFacts:
    """Return the cluster as it is. Raises ClientError."""
    return look.look(at.server)
