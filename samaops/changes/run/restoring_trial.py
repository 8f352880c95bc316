"""Try a backup in a throw-away database, or take one table out of it: whatever happens, that database goes again."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime, timezone

from msgspec import Struct, convert
from msgspec.structs import replace

from samaops.changes.restoring.condition import checked
from samaops.changes.restoring.drill import Drilling
from samaops.changes.restoring.table import TableRestoring
from samaops.changes.restoring.work import DRILL, TABLE, Restoring, backup_of, configured
from samaops.changes.run import progress, references
from samaops.changes.run.operations import runs
from samaops.changes.run.restoring import (
    SHORT_SECONDS,
    Workshop,
    as_superuser,
    check_sums,
    create,
    differences,
    dropped,
    fill,
    properties_for,
    replay,
    seen_now,
    workshop,
)
from samaops.changes.run.restoring_config import ENCRYPTED, members_of, part_of
from samaops.clients.errors import ClientError
from samaops.facts.backup_run import GUIDE, WHOLE, Grade, Manifest, Run
from samaops.facts.restoring import DRILL as PREFIX
from samaops.facts.restoring import Source
from samaops.i18n import _, joined, ngettext
from samaops.model.failure import FailureKind
from samaops.model.plan import LeftOut, Operation, Outcome
from samaops.model.quantities import duration
from samaops.site.shell_words import operands
from samaops.site.site import Site

_MOST_NAMED, _MOST_CHARACTERS = 5, 400


def _drill_lines(operation: Operation, site: Site) -> tuple[str, ...]:
    drilling = convert(operation.arguments, Drilling)
    into = operands(drilling.into)
    return (
        as_superuser(site, f"createdb -T template0 {into}"),
        as_superuser(site, f"nice -n 19 pg_restore -e -j N -d {operands(drilling.into, drilling.id)}"),
        _("# rows, indexes, constraints, rights compared; amcheck; [backup.drill] queries"),
        as_superuser(site, f"dropdb --if-exists --force {into}"),
    )


class _Besides(Struct, frozen=True):
    """What a trial tells of what lies beside the dump: in words, and what is wrong. No restore is refused for it."""

    remarks: list[str]
    wrong: list[str]


@runs(DRILL, lines=_drill_lines)
def drill(operation: Operation, site: Site) -> Outcome:
    """Try a backup, write into the catalogue how it went, leave nothing. Raises ClientError."""
    drilling = convert(operation.arguments, Drilling)
    began = time.monotonic()
    with workshop(site) as at:
        _drop_left(at)
        of, _manifest = at.source(drilling.id)
        different: list[str] = []
        phases: dict[str, float] = {}
        besides = _Besides([], [])
        try:
            different += _tried(at, drilling, operation.timeout_seconds, phases, besides)
        except ClientError as error:
            different.append(f"{error.stage}: {error.message}")
        finally:
            left = dropped(at, drilling.into)
        seconds = round(time.monotonic() - began, 1)
        words = _shortened(different)
        grade = Grade(_now(), not different, words, phases.get("restore", seconds))
        at.store.update(of.id, lambda run: _graded(run, of, grade))
    if left:
        return Outcome(False, left)
    measured = {
        "seconds": seconds,
        **phases,
        "differences": different[:50],
        "besides": besides.remarks,
        "wrong": besides.wrong,
    }
    if different:
        return Outcome(False, words, is_seen=True, measured=measured)
    text = _("restored in {restore}, {seconds} with all comparisons; {rows} rows, nothing is different")
    words = text.format(
        restore=duration(phases["restore"]), seconds=duration(seconds), rows=sum(of.rows.values()) or "?"
    )
    words = joined((words, *besides.remarks))
    left_out = tuple(LeftOut(f"backup/{drilling.id}", each, is_failure=True) for each in besides.wrong)
    return Outcome(True, words, is_seen=True, measured=measured, left_out=left_out)


def _shortened(different: list[str]) -> str:
    rest = len(different) - _MOST_NAMED
    more = [ngettext("and {count} more", "and {count} more", rest).format(count=rest)] if rest > 0 else []
    return (
        joined([*(words[:_MOST_CHARACTERS] for words in different[:_MOST_NAMED]), *more]) if different else ""
    )


def _graded(run: Run | None, of: Source, grade: Grade) -> Run:
    if run is None:  # a dump of the guide that has no row yet
        made = datetime.fromtimestamp(of.epoch, timezone.utc).isoformat(timespec="seconds")
        run = Run(of.id, of.site, WHOLE, GUIDE, made, made, bytes=of.bytes)
    return replace(run, grades=replace(run.grades, restored=grade))


def _drop_left(at: Workshop) -> None:
    """Drop what trials that died have left: known by name and comment, and nobody works in it, or it is long over."""
    seen = seen_now(at)
    limit = backup_of(at.site).drill.timeout
    for database in seen.databases:
        mark = database.mark
        if not database.name.startswith(PREFIX) or mark is None or mark.does != "drill":
            continue
        if not database.sessions or seen.epoch - mark.at > limit:
            dropped(at, database.name)


def _tried(
    at: Workshop, drilling: Drilling, seconds: float, phases: dict[str, float], besides: _Besides
) -> Iterator[str]:
    """Restore and yield all that is not as it must be; ``besides`` gets what is known of all besides the database.

    Raises ClientError, also when its time is over.
    """
    ends_at, began = time.monotonic() + seconds, time.monotonic()

    def left() -> float:
        remaining = ends_at - time.monotonic()
        if remaining <= 0:
            text = _("it did not end within {time}")
            raise ClientError(FailureKind.DEADLINE, text.format(time=duration(seconds)), "drill")
        return remaining

    of, manifest = at.source(drilling.id)
    check_sums(at, of, manifest, left())
    phases["sums"] = round(time.monotonic() - began, 1)
    create(at, of, Restoring(of.id, drilling.into, "drill", configured(at.site).database))
    fill(at, of, drilling.into, "gentle", left())
    replay(at, drilling.into, properties_for(at, of))
    at.server.ask("analyze", left(), database=drilling.into)
    phases["restore"] = round(time.monotonic() - began, 1)
    yield from differences(at, of, drilling.into, left())
    yield from _indexes(at, drilling.into, left())
    yield from _queries(at, drilling.into)
    besides.wrong.extend(references.missing(at, drilling.into, manifest, left(), besides.remarks))
    besides.wrong.extend(_encrypted_parts(at, of, manifest, besides.remarks))
    phases["compared"] = round(time.monotonic() - began, 1)


def _indexes(at: Workshop, into: str, seconds: float) -> Iterator[str]:
    """Read every B-tree against its table, where the server has amcheck."""
    (row,) = at.server.ask("amcheck_extension", SHORT_SECONDS)
    if not row["is_available"]:
        return
    progress.tell(_("reads the indexes of {into} against their tables").format(into=into))
    try:
        at.server.ask("amcheck", seconds, database=into)
    except ClientError as error:
        yield f"amcheck: {error.message}"


def _queries(at: Workshop, into: str) -> Iterator[str]:
    for number, query in enumerate(backup_of(at.site).drill.queries, 1):
        try:
            answer = at.server.query(query, into, SHORT_SECONDS)
        except ClientError as error:
            answer = error.message
        if answer != "t":
            text = _("[backup.drill] query {number} gives {answer}, not true")
            yield text.format(number=number, answer=answer[:100] or "-")


def _encrypted_parts(
    at: Workshop, of: Source, manifest: Manifest | None, remarks: list[str]
) -> Iterator[str]:
    """Open each part that only the key opens, on this machine, and yield what is not as it must be."""
    parts = [file for file in manifest.files if file.path.endswith(ENCRYPTED)] if manifest else []
    if not parts:
        return
    if backup_of(at.site).drill.identity is None:
        text = ngettext(
            "{count} encrypted part was not opened: the key is not here ([backup.drill] identity)",
            "{count} encrypted parts were not opened: the key is not here ([backup.drill] identity)",
            len(parts),
        )
        remarks.append(text.format(count=len(parts)))
        return
    opened = 0
    for file in parts:
        progress.tell(_("opens {path}").format(path=file.path))
        try:
            content = part_of(at.store, at.site, of.id, file.path, file.sha256)
            if file.path.endswith(f".tar.gz{ENCRYPTED}"):
                content = b"".join(members_of(content).values())
        except ClientError as error:
            yield f"{file.path}: {error.message}"
            continue
        if content:
            opened += 1
        else:
            yield _("{path} is empty").format(path=file.path)
    text = ngettext("{count} encrypted part opened", "{count} encrypted parts opened", opened)
    remarks.append(text.format(count=opened))


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def _table_lines(operation: Operation, site: Site) -> tuple[str, ...]:
    of = convert(operation.arguments, TableRestoring)
    into = operands(of.into)
    kept: tuple[str, ...] = ()
    if of.where:
        statement = f"DELETE FROM {of.schema}.{of.name} WHERE ({of.where}) IS NOT TRUE"
        kept = (as_superuser(site, f"psql -d {into} -c {operands(statement)}"),)
    return (
        as_superuser(site, f"pg_restore -e -n {of.schema} -t {of.name} -d {operands(of.into, of.id)}"),
        *kept,
        as_superuser(site, f'psql -d {into} -c "ALTER TABLE {of.schema}.{of.name} RENAME TO {of.rename}"'),
        as_superuser(
            site,
            f"sh -c 'pg_dump -t {of.schema}.{of.rename} {into} | psql -1 -d {configured(site).database}'",
        ),
    )


@runs(TABLE, lines=_table_lines)
def bring_table(operation: Operation, site: Site) -> Outcome:
    """Bring one table back beside the others. Raises ClientError."""
    of = convert(operation.arguments, TableRestoring)
    seconds, live = operation.timeout_seconds, configured(site).database
    relation = {"schema": of.schema, "name": of.rename}
    with workshop(site) as at:
        source, manifest = at.source(of.id)
        try:
            if at.server.ask("table", SHORT_SECONDS, relation, live):
                text = _("there is a table {name} in the live database by now")
                return Outcome(False, text.format(name=f"{of.schema}.{of.rename}"), is_seen=True)
            check_sums(at, source, manifest, seconds)
            create(at, source, Restoring(source.id, of.into, "table", live))
            fill(at, source, of.into, "table", seconds, of.schema, of.name)
            if of.where:
                keep = {"schema": of.schema, "name": of.name, "condition": checked(of.where)}
                at.server.ask("keep_rows", seconds, keep, of.into)
            rows = _renamed(at, of, is_new_name=of.rename != of.name)
            if of.where and not rows:
                text = _("no row of {table} in the backup has {where}")
                words = text.format(table=f"{of.schema}.{of.name}", where=of.where)
                return Outcome(False, words, is_seen=True)
            progress.tell(_("copies {table} into {database}").format(table=of.rename, database=live))
            major = str(seen_now(at).major)
            at.server.work("copy", seconds, of.into, live, f'"{of.schema}"."{of.rename}"', major)
            (there,) = at.server.ask("table_rows", seconds, relation, live)
        finally:
            left = dropped(at, of.into)
    expected = rows if of.where else source.rows.get(f"{of.schema}.{of.name}", rows)
    if there["rows"] != expected or left:
        text = _("{table} has {now} rows, in the backup {then}")
        words = text.format(table=of.rename, now=there["rows"], then=expected)
        return Outcome(False, left or words)
    text = _("{table} has {rows} rows, as in the backup")
    return Outcome(
        True,
        text.format(table=f"{of.schema}.{of.rename}", rows=expected),
        is_seen=True,
        measured={"rows": expected},
    )


def _renamed(at: Workshop, of: TableRestoring, *, is_new_name: bool) -> int:
    """Give the table its new name in the scratch database, with its indexes; return its rows. Raises ClientError."""
    values = {"schema": of.schema, "name": of.name, "rename": of.rename}
    if is_new_name:
        at.server.ask("rename_table", SHORT_SECONDS, values, of.into)
    at.server.ask("sequences", SHORT_SECONDS, {"schema": of.schema, "name": of.rename}, of.into)
    (row,) = at.server.ask("table_rows", SHORT_SECONDS, {"schema": of.schema, "name": of.rename}, of.into)
    return int(row["rows"])
