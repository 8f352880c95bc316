"""Build and drop an index CONCURRENTLY: watched, given up when others keep it waiting, and nothing invalid of ours left.

Transactions that are open already are waited for before anything is begun. An index is built under a name of its own and gets its real one once it serves. So what a build that was killed has
left is known by its name, and never taken for somebody else's.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from msgspec import Struct, convert
from msgspec.structs import replace

from samaops.changes.postgresql.indexes import (
    BUILD,
    DROP,
    Building,
    Dropping,
    building_name,
    quoted_index,
    quoted_name,
)
from samaops.changes.run import progress
from samaops.changes.run.operations import runs
from samaops.changes.run.postgresql.statements import complaints_in, configured
from samaops.changes.run.postgresql.watched import Watched
from samaops.clients.errors import ClientError
from samaops.clients.postgresql import WritingClient
from samaops.i18n import _
from samaops.model.failure import FailureKind
from samaops.model.plan import Operation, Outcome
from samaops.site.commands import direct
from samaops.site.site import Site

LOOK_EVERY_SECONDS = 0.2
CANCEL_SECONDS = 15.0
# To drop what is left is in nobody's way: it may wait longer than what was given up.
REMOVE_SECONDS = 120.0
Row = Mapping[str, Any]


class Worker(Struct, frozen=True):
    """One connection that works, one that watches it, and how long others may keep it waiting, all together."""

    site: Site
    application: str
    seconds: float
    wait_seconds: float

    def connection(self, what: str = "") -> WritingClient:
        """Return a connection; it is not open yet."""
        settings = configured(self.site)
        application = f"{self.application} {what}".strip()
        return WritingClient(self.site.host_of(settings), settings, application, self.seconds)

    def run(self, statement: str, *before: str) -> None:
        """Run a statement that may wait for others, watched. Raises ClientError, also when it is given up."""
        with self.connection() as client, self.connection("watch") as watcher:
            for each in before:
                client.execute(each)
            pid = {"pid": client.pid}
            work = Watched(lambda: client.execute(statement), lambda: watcher.run("cancel_own", values=pid))
            _watched(work, watcher, client.pid, self.wait_seconds)
            complaints = complaints_in(client.notices)
        if complaints:
            raise ClientError(FailureKind.ERROR, complaints, "index")


def _watched(work: Watched, watcher: WritingClient, pid: int, wait_seconds: float) -> None:
    """See work to its end; end it when others keep it waiting for too long, or when we are interrupted.

    Raises ClientError where it failed, or was given up.
    """
    try:
        reason = _given_up(work, watcher, pid, wait_seconds)
    except BaseException:
        work.end(CANCEL_SECONDS)
        raise
    if reason:
        work.end(CANCEL_SECONDS)
        if work.failure is not None:  # else it has ended in that very moment
            raise ClientError(FailureKind.ERROR, reason, "index")
    if work.failure is not None:
        raise work.failure


def _given_up(work: Watched, watcher: WritingClient, pid: int, left: float) -> str:
    """Look on until it has ended; return why it is given up, "" where it is not. ``left`` bounds all waits together."""
    looked = time.monotonic()
    while not work.has_ended(LOOK_EVERY_SECONDS):
        rows = watcher.run("index_watch", values={"pid": pid})
        now = time.monotonic()
        if rows:
            progress.tell(_come_so_far(rows[0]))
            left -= (now - looked) if rows[0]["is_waiting"] else 0.0
            if rows[0]["is_waiting"] and left <= 0:
                return _("given up: {reason}").format(reason=_come_so_far(rows[0]))
        looked = now
    return ""


def _come_so_far(row: Row) -> str:
    """Say in a sentence how far it is, or whom it waits for."""
    if row["is_waiting"] and row["pid"] is not None:
        return _("it waits for pid {pid} ({who}, {state}), in its transaction for {seconds:.0f} s").format(
            pid=row["pid"],
            who=" / ".join(row[name] for name in ("user", "application", "client") if row[name]) or "?",
            state=row["state"],
            seconds=row["seconds"] or 0.0,
        )
    if row["is_waiting"]:
        return _("it waits for a transaction that was prepared, or has just ended")
    if row["blocks_total"]:
        percent = 100 * (row["blocks_done"] or 0) / row["blocks_total"]
        return f"{row['phase']}: {percent:.0f} %"
    return str(row["phase"])


def _index(client: WritingClient, schema: str, name: str) -> Row | None:
    rows = client.run("index_state", values={"schema": schema, "name": name})
    return rows[0] if rows else None


def _is(row: Row, wanted: Building | Dropping) -> bool:
    return bool(row["is_unique"]) == wanted.is_unique and str(row["definition"]).endswith(f" {wanted.on}")


def _create(building: Building) -> str:
    unique = "UNIQUE " if building.is_unique else ""
    return f"CREATE {unique}INDEX CONCURRENTLY {quoted_name(building.under)} {building.on}"


def _drop(schema: str, name: str) -> str:
    return f"DROP INDEX CONCURRENTLY {quoted_index(schema, name)}"


def _rename(building: Building) -> str:
    under = quoted_index(building.schema, building.under)
    return f"ALTER INDEX {under} RENAME TO {quoted_name(building.name)}"


def _build_lines(operation: Operation, site: Site) -> tuple[str, ...]:
    building = convert(operation.arguments, Building)
    return tuple(direct(site, statement) for statement in (_create(building), _rename(building)))


def _drop_lines(operation: Operation, site: Site) -> tuple[str, ...]:
    dropping = convert(operation.arguments, Dropping)
    return (direct(site, _drop(dropping.schema, dropping.name)),)


@runs(BUILD, lines=_build_lines)
def build(operation: Operation, site: Site) -> Outcome:
    """Build an index; where that fails nothing of it is left. Raises ClientError."""
    building = convert(operation.arguments, Building)
    worker = Worker(site, "samaops db index", operation.timeout_seconds, building.wait_seconds)
    with worker.connection("look") as look:
        present = _index(look, building.schema, building.name)
        if present and present["is_valid"] and _is(present, building):
            return Outcome(True, _("it is there already"))
        if present and (present["is_valid"] or not building.replaces_invalid):
            text = _("there is another index {name}, or an invalid one that samaops did not build")
            return Outcome(False, text.format(name=building.name))
        left = _index(look, building.schema, building.under)
        if left is None or not left["is_valid"] or not _is(left, building):
            _remove(worker, look, building.schema, building.under)
            waited = _build(worker, look, building)
            if waited:
                return Outcome(False, waited)
        try:
            if present:
                _remove(worker, look, building.schema, building.name)
            look.execute("SET lock_timeout = '5s'")
            look.execute(_rename(building))
        except BaseException:
            _remove(worker, look, building.schema, building.under)
            raise
        made = _index(look, building.schema, building.name)
    is_made = made is not None and bool(made["is_valid"]) and _is(made, building)
    return Outcome(is_made, "" if is_made else _("the index was built, and does not serve"))


def _build(worker: Worker, look: WritingClient, building: Building) -> str:
    """Build it under its other name; return who is in the way where nothing was begun. Raises ClientError."""
    table = look.run("index_table_oid", values={"name": building.relation})[0]["oid"]
    waited = _await_users(look, table, building.wait_seconds, with_snapshots=True)
    if waited:
        return waited
    placed = f"SET default_tablespace = {quoted_name(building.tablespace)}"
    try:
        worker.run(_create(building), *((placed,) if building.tablespace else ()))
    except BaseException:
        _remove(worker, look, building.schema, building.under)
        raise
    return ""


def _remove(worker: Worker, look: WritingClient, schema: str, name: str) -> None:
    """Drop what is left of a building, if there is any. Raises ClientError with its name where that fails."""
    if _index(look, schema, name) is None:
        return
    patient = replace(worker, wait_seconds=max(worker.wait_seconds, REMOVE_SECONDS))
    try:
        patient.run(_drop(schema, name))
    except ClientError as error:
        text = _("{name} is left and invalid, and could not be dropped: {reason}")
        raise ClientError(error.kind, text.format(name=name, reason=error.message), "index") from error


@runs(DROP, lines=_drop_lines)
def drop(operation: Operation, site: Site) -> Outcome:
    """Drop exactly this index, and what is left of its building. Raises ClientError.

    A drop that is given up leaves an invalid index: so the transactions that use the table are waited for before.
    """
    dropping = convert(operation.arguments, Dropping)
    worker = Worker(site, "samaops db index", operation.timeout_seconds, dropping.wait_seconds)
    with worker.connection("look") as look:
        _remove(worker, look, dropping.schema, building_name(dropping.name))
        present = _index(look, dropping.schema, dropping.name)
        if present is None:
            return Outcome(True, _("it is not there"))
        if not _is(present, dropping):
            return Outcome(False, _("under this name there is another index now"))
        waited = _await_users(look, present["table_oid"], dropping.wait_seconds, with_snapshots=False)
        if waited:
            return Outcome(False, waited)
        worker.run(_drop(dropping.schema, dropping.name))
    return Outcome(True)


def _await_users(look: WritingClient, table: int, seconds: float, *, with_snapshots: bool) -> str:
    """Wait until no old transaction is in the way; return whose is when that takes too long."""
    ends_at = time.monotonic() + seconds
    values: dict[str, Any] = {"table": table, "with_snapshots": with_snapshots, "began": None}
    while rows := look.run("index_users", values=values):
        values = {**values, "began": rows[0]["began"]}
        text = _come_so_far({**rows[0], "is_waiting": True})
        progress.tell(text)
        if time.monotonic() > ends_at:
            return _("given up, nothing was changed: {reason}").format(reason=text)
        time.sleep(LOOK_EVERY_SECONDS)
    return ""
