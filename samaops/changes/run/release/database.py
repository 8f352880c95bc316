"""Take the database down to an earlier revision: first a copy of it, and up again; the live one only when that went well."""

from __future__ import annotations

import time
from collections.abc import Iterator

from msgspec import convert

from samaops.changes.release.database import (
    BETWEEN_SECONDS,
    LOCK_SECONDS,
    MIGRATE,
    REHEARSE,
    TRIES,
    Migrating,
    Rehearsing,
)
from samaops.changes.restoring.work import Restoring, configured
from samaops.changes.run import progress
from samaops.changes.run.operations import runs
from samaops.changes.run.restoring import (
    SHORT_SECONDS,
    Workshop,
    as_superuser,
    check_sums,
    create,
    dropped,
    fill,
    properties_for,
    replay,
    workshop,
)
from samaops.clients.errors import ClientError
from samaops.collect import restoring as look
from samaops.i18n import _, joined
from samaops.model.failure import FailureKind
from samaops.model.plan import Operation, Outcome
from samaops.model.quantities import duration
from samaops.resources import sql
from samaops.site.shell_words import operands
from samaops.site.site import Site

_MOST_NAMED = 5


def _rehearse_lines(operation: Operation, site: Site) -> tuple[str, ...]:
    of = convert(operation.arguments, Rehearsing)
    into = operands(of.into)
    return (
        as_superuser(site, f"createdb -T template0 {into}"),
        as_superuser(site, f"pg_restore -e -d {into} BACKUP"),
        _("# the statements of the plan, down to {down} and up to {up}; what went is compared with the plan").format(
            down=of.down.to, up=of.up.to
        ),
        as_superuser(site, f"dropdb --if-exists --force {into}"),
    )  # fmt: skip


@runs(REHEARSE, lines=_rehearse_lines)
def rehearse(operation: Operation, site: Site) -> Outcome:
    """Go down and up again on a copy of the database, and leave nothing of it. Raises ClientError."""
    of = convert(operation.arguments, Rehearsing)
    began = time.monotonic()
    fewer: dict[str, int] = {}
    with workshop(site) as at:
        try:
            wrong = list(_rehearsed(at, of, operation.timeout_seconds, fewer))
        except ClientError as error:
            wrong = [f"{error.stage}: {error.message}"]
        finally:
            left = dropped(at, of.into)
    seconds = round(time.monotonic() - began, 1)
    if left:
        return Outcome(False, left)
    if wrong:
        text = _("the live database is as it was: {reason}")
        return Outcome(False, text.format(reason=joined(wrong[:_MOST_NAMED])), is_seen=True)
    words = _("down to {to} and up again on a copy, {time} with its restore").format(
        to=of.down.to, time=duration(seconds)
    )
    if fewer:
        listed = joined(f"{relation}: {count}" for relation, count in fewer.items())
        words += "; " + _("rows deleted: {listed}").format(listed=listed)
    return Outcome(True, words, is_seen=True, measured={"seconds": seconds, "fewer": fewer})


def _rehearsed(at: Workshop, of: Rehearsing, seconds: float, fewer: dict[str, int]) -> Iterator[str]:
    """Do it, yield what must not be, and tell in ``fewer`` how many rows less tables that stay have. Raises ClientError."""
    backup, manifest = at.source("latest")
    if not backup.is_ours or backup.epoch < of.younger_than - 1.0:  # a row has whole seconds
        text = _("the newest backup, {id}, was not made just now")
        raise ClientError(FailureKind.MISSING, text.format(id=backup.id), "backup")
    check_sums(at, backup, manifest, seconds)
    create(at, backup, Restoring(backup.id, of.into, "drill", configured(at.site).database))
    fill(at, backup, of.into, "gentle", seconds)
    replay(at, of.into, properties_for(at, backup))
    before, rows = _shape(at, of.into), look.contents(at.server, of.into, seconds)
    progress.tell(_("goes down to {revision} on the copy").format(revision=of.down.to))
    migrate(at, of.down, of.into, SHORT_SECONDS * 10)
    gone = before - _shape(at, of.into)
    unannounced = sorted(name for name in gone if not _is_announced(name, of.takes))
    if unannounced:
        text = _("more would go than the plan says: {names}")
        yield text.format(names=joined(unannounced[:_MOST_NAMED]))
    left = look.contents(at.server, of.into, seconds)
    fewer |= {name: rows[name] - now for name, now in left.items() if now < rows.get(name, 0)}
    if fewer and not of.writes:
        yield _("rows would go of which the plan says nothing: {names}").format(names=joined(fewer))
    progress.tell(_("goes up to {revision} on the copy").format(revision=of.up.to))
    try:
        migrate(at, of.up, of.into, SHORT_SECONDS * 10)
    except ClientError as error:
        text = _("the way up again fails, so it could not be taken back: {reason}")
        yield text.format(reason=error.message)


def _is_announced(name: str, takes: tuple[str, ...]) -> bool:
    return any(name == taken or name.startswith(f"{taken}.") for taken in takes)


def _shape(at: Workshop, database: str) -> set[str]:
    return {str(row["name"]) for row in at.server.ask("columns", SHORT_SECONDS, database=database)}


def _migrate_lines(operation: Operation, site: Site) -> tuple[str, ...]:
    of = convert(operation.arguments, Migrating)
    text = _("# in one transaction, as who owns {table}, from {came_from} to {to}:")
    statements = "; ".join(" ".join(statement.split()) for statement in of.statements)
    return (
        text.format(table=of.table, came_from=of.came_from, to=of.to),
        as_superuser(site, f"psql -1 -d {configured(site).database} -c {operands(statements)}"),
    )


@runs(MIGRATE, lines=_migrate_lines)
def migrate_live(operation: Operation, site: Site) -> Outcome:
    """Take the live database from one revision to another, in as many attempts as its locks need. Raises ClientError."""
    of = convert(operation.arguments, Migrating)
    database, reason = configured(site).database, ""
    with workshop(site) as at:
        for attempt in range(TRIES):
            began = time.monotonic()
            try:
                migrate(at, of, database, operation.timeout_seconds)
            except ClientError as error:
                reason = error.message
                if _is_at(at, of.to, of.table, database):
                    return Outcome(True, _("it is there, but: {reason}").format(reason=reason), is_seen=True)
                if "lock timeout" not in reason:
                    break
            else:
                seconds = round(time.monotonic() - began, 1)
                text = _("in one transaction of {time}")
                return Outcome(
                    True, text.format(time=duration(seconds)), is_seen=True, measured={"seconds": seconds}
                )
            if attempt < TRIES - 1:
                progress.tell(_("not migrated yet: {reason}").format(reason=reason))
                time.sleep(BETWEEN_SECONDS)
    return Outcome(False, reason, is_seen=True)


def migrate(at: Workshop, of: Migrating, database: str, seconds: float) -> None:
    """Run the statements in one transaction, or nothing of them. Raises ClientError."""
    statements = "".join(f"{statement};\n" for statement in of.statements)
    script = f"{sql('restore/migrate_begin')}\n{statements}{sql('restore/migrate_end')};\n"
    values = {
        "samaops_lock_timeout": f"{LOCK_SECONDS:g}s",
        "samaops_table": of.table,
        "samaops_from": of.came_from,
        "samaops_to": of.to,
    }
    words = [f"{name}={value}" for name, value in values.items()]
    done = at.server.run("ask", seconds, database, *words, stdin=script)
    if '"is_done"' not in done.stdout:
        raise ClientError(FailureKind.GARBAGE, _("the server's answer is not complete"), "psql")


def _is_at(at: Workshop, revision: str, table: str, database: str) -> bool:
    rows = at.server.ask("revision", SHORT_SECONDS, {"table": table}, database)
    return [row["revision"] for row in rows] == [revision]
