"""Tend one relation: vacuum, analyze, rebuild; in a session of its own, watched from another, ended when it must.

The session that works is cancelled when its time is over, when it has waited too long for others, and when samaops is
interrupted; a samaops that is killed is noticed by the server within two seconds (client_connection_check_interval).
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from msgspec import Struct, convert
from msgspec.structs import replace

from samaops.changes.postgresql.upkeep_indexes import is_leftover_of
from samaops.changes.postgresql.upkeep_work import ANALYZE, DROP, FULL, REINDEX, UPKEEP, VACUUM, Upkeep
from samaops.changes.run import progress
from samaops.changes.run.operations import runs
from samaops.changes.run.postgresql.statements import complaints_in, configured
from samaops.changes.run.postgresql.watched import Watched
from samaops.clients.errors import ClientError
from samaops.clients.postgresql import PostgresClient, WritingClient, quoted, statement_of
from samaops.i18n import _, joined
from samaops.model.failure import FailureKind
from samaops.model.plan import Operation, Outcome
from samaops.model.quantities import duration, size
from samaops.site.commands import direct, typed
from samaops.site.site import Site

Row = Mapping[str, Any]
_FILES = {
    VACUUM: "vacuum",
    ANALYZE: "analyze",
    FULL: "vacuum_full",
    REINDEX: "reindex",
    DROP: "drop_leftover",
}
# Behind a vacuum that waits nobody must wait; a rebuild lets all pass, and is ended by us.
_LOCK_TIMEOUT_MS = {VACUUM: 500, ANALYZE: 500, FULL: 900, REINDEX: 0, DROP: 0}
_LOOK_SECONDS = 0.25
# How long another samaops of this database, perhaps one that was killed, has to end.
_TURN_SECONDS = 6.0
# How long the removal of what we made ourselves may wait for others.
_CLEAN_SECONDS = 10.0
# A B-tree is built with leaves 90 % full; one that still is so full gains nothing.
_FULL_LEAVES_PERCENT = 60.0


class _Stopped(Struct):
    """Why the work was ended before its end; empty while it was not."""

    reason: str = ""
    is_left: bool = False  # for another time: nobody is at fault
    is_interrupted: bool = False


def _lines(operation: Operation, site: Site) -> tuple[str, ...]:
    return (direct(site, _statement(convert(operation.arguments, Upkeep))),)


def _statement(work: Upkeep) -> str:
    return statement_of(_FILES[work.does], _names(work))


def _names(work: Upkeep) -> dict[str, Any]:
    on = {True: "on", False: "off"}
    names: dict[str, Any] = {"relation": (work.schema, work.name)}
    if work.does == VACUUM:
        names |= {"truncate": on[work.truncate], "analyze": on[work.analyze]}
    return names


@runs(UPKEEP, lines=_lines)
def tend(operation: Operation, site: Site) -> Outcome:
    """Do one relation's work. Raises ClientError where the server cannot be reached."""
    work, settings = convert(operation.arguments, Upkeep), configured(site)
    if work.ends_at and time.time() >= work.ends_at:
        return Outcome(
            False, _("the window is over; it is left for the next time"), is_skipped=True, is_seen=True
        )
    host, seconds = site.host_of(settings), operation.timeout_seconds
    worker = WritingClient(host, settings, work.verb, seconds, _LOCK_TIMEOUT_MS[work.does])
    watcher = PostgresClient(host, settings, seconds + 60)
    try:
        worker.connect()
        watcher.connect()
        return _Turn(work, worker, watcher, site).take()
    finally:
        worker.close()
        watcher.close()


class _Turn:
    """One relation's turn: ``worker`` works, ``watcher`` looks on and can end it."""

    def __init__(self, work: Upkeep, worker: WritingClient, watcher: PostgresClient, site: Site) -> None:
        self._work = work
        self._worker = worker
        self._watcher = watcher
        self._site = site
        self._stopped = _Stopped()
        self._waited_since: float | None = None
        self._left = ""  # the index that could not be removed again

    def take(self) -> Outcome:
        """Wait for the turn, work, look what it brought, and leave nothing behind."""
        try:
            before = self._prepared()
        except KeyboardInterrupt:
            return Outcome(False, _("interrupted"), is_seen=True, is_interrupted=True)
        if isinstance(before, Outcome):
            return before
        failure = self._work_watched()
        after = self._state()
        if self._work.does == DROP:
            return self._dropped(failure, after)
        if self._is_done(before, after):
            left = self._clean() if self._work.does == REINDEX else ""
            words = joined(filter(None, (self._brought(before, after), left)))
            is_interrupted = self._stopped.is_interrupted
            measured = {**_measured(before, after), **self._told_left()}
            return Outcome(True, words, is_seen=True, is_interrupted=is_interrupted, measured=measured)
        return self._not_done(failure)

    def _prepared(self) -> Outcome | Row:
        """Return the relation as it is once it is its turn, or why it does not come to that."""
        if not self._is_ours_in_time():
            text = _("another samaops works on a relation of this database")
            return replace(_skipped(text), is_busy=True)
        try:
            state = self._state()
        except ClientError as error:
            if error.kind is FailureKind.NO_ANSWER:
                return _skipped(self._locked())
            raise
        if state is None:
            gone = _("it is not there any more")
            return Outcome(True, gone, is_seen=True) if self._work.does == DROP else _skipped(gone)
        if self._work.confirm and (full := self._full_leaves(state)):
            return Outcome(True, full, is_seen=True, measured={"before": {"size_bytes": state["size_bytes"]}})
        return (self._await_older() if self._work.does == REINDEX else None) or state

    def _locked(self) -> str:
        holders = self._watcher.read("lock_holders", {"oid": self._work.table_oid})
        who = _who(holders[0]) if holders else _("somebody")
        return _("{who} has locked it; it is left out").format(who=who)

    def _is_ours_in_time(self) -> bool:
        until = time.monotonic() + _TURN_SECONDS
        while not self._worker.run("upkeep_turn")[0]["is_ours"]:
            if time.monotonic() > until:
                return False
            progress.tell(_("waits for another samaops to end its turn"))
            time.sleep(_LOOK_SECONDS)
        return True

    def _state(self) -> Row | None:
        rows = self._watcher.read("upkeep_state", {"schema": self._work.schema, "name": self._work.name})
        if not rows:
            return None
        statements: Row = {}
        if rows[0]["has_statements"] and self._work.does != DROP:
            try:
                statements = self._watcher.read_one("upkeep_statements", {"name": self._work.name})
            except ClientError:  # not loaded, or hidden: what they take is not known then
                statements = {}
        return {**rows[0], **statements}

    def _full_leaves(self, state: Row) -> str:
        """Return that an index which was only estimated to be bloated is not; empty where it is, or cannot be told."""
        if not state["has_pgstattuple"]:
            return ""
        progress.tell(_("reads {name} to see how full it is").format(name=self._work.name))
        name = quoted((self._work.schema, self._work.name))
        percent = self._worker.run("index_density", values={"name": name})[0]["percent"]
        if percent is None or percent < _FULL_LEAVES_PERCENT:
            return ""
        return _("left as it is: its leaves are {percent:.0f} % full").format(percent=percent)

    def _await_older(self) -> Outcome | None:
        """Wait until the transactions of now have ended, before anything is made; return who did not end in time.

        A rebuild waits for them at its end, with an index half made; here nothing is lost by giving up.
        """
        first = {(row["pid"], row["begun"]) for row in self._older()}
        until = time.monotonic() + self._work.wait_seconds
        while True:
            rest = [row for row in self._older() if (row["pid"], row["begun"]) in first]
            if not rest:
                return None
            who = _who(rest[0])
            progress.tell(_("{name} waits for {who}").format(name=self._work.name, who=who))
            if time.monotonic() > until:
                text = _("it would wait for {who}; nothing was begun within {seconds:g} s")
                words = text.format(who=who, seconds=self._work.wait_seconds)
                return Outcome(False, words, is_seen=True)
            if self._is_over():
                return _skipped(_("the window is over; it is left for the next time"))
            time.sleep(_LOOK_SECONDS)

    def _older(self) -> list[dict[str, Any]]:
        rows = self._watcher.read("rebuild_blockers", {"oid": self._work.table_oid})
        return [row for row in rows if row["pid"] != self._worker.pid]

    def _is_over(self) -> bool:
        return bool(self._work.ends_at) and time.time() >= self._work.ends_at

    def _work_watched(self) -> ClientError | None:
        """Run the statement in a thread and look on; return how it failed."""
        pid = {"pid": self._worker.pid}
        work = Watched(
            lambda: self._worker.run(_FILES[self._work.does], _names(self._work)),
            lambda: self._watcher.read("cancel_own", pid),
        )
        try:
            self._watch(work)
        except KeyboardInterrupt:
            self._stopped = _Stopped(_("interrupted"), is_interrupted=True)
            self._end(work)
        except ClientError:  # nobody looks on any more: it must not go on alone
            self._worker.close()
            work.has_ended(_CLEAN_SECONDS)
            raise
        return work.failure

    def _watch(self, work: Watched) -> None:
        while not work.has_ended(_LOOK_SECONDS):
            rows = self._watcher.read("upkeep_progress", {"pid": self._worker.pid})
            if rows:
                progress.tell(_progress(self._work, rows[0]))
                self._stop_when_late(rows[0])
            if self._is_over():
                self._stopped = _Stopped(_("the window is over; it is left for the next time"), is_left=True)
            if self._stopped.reason:
                self._end(work)
                return

    def _end(self, work: Watched) -> None:
        """End the statement, and wait for its end."""
        if not work.end(_CLEAN_SECONDS):
            self._worker.close()

    def _stop_when_late(self, row: Row) -> None:
        if not row["is_waiting"]:
            self._waited_since = None
            return
        now = time.monotonic()
        self._waited_since = self._waited_since or now
        if self._work.does in (REINDEX, DROP) and now - self._waited_since > self._work.wait_seconds:
            text = _("it waited {seconds:g} s for {who}")
            who = _who({**row, "pid": row["blocker"]})
            self._stopped = _Stopped(text.format(seconds=self._work.wait_seconds, who=who))

    def _is_done(self, before: Row, after: Row | None) -> bool:
        """Return whether the server's own records say that it was done, whatever the statement answered."""
        if after is None:
            return False
        if self._work.does == REINDEX:
            return bool(after["oid"] != before["oid"] and after["is_valid"])
        counter = "vacuumed_at" if self._work.does == VACUUM else "analyzed_at"
        return bool(after[counter] > before[counter])

    def _not_done(self, failure: ClientError | None) -> Outcome:
        """Return why it was not done, once nothing is left of it."""
        left = self._clean() if self._work.does == REINDEX else ""
        complaints = complaints_in(self._worker.notices)
        if self._stopped.reason:
            reason = joined(filter(None, (self._stopped.reason, left)))
            return Outcome(
                False,
                reason,
                is_seen=True,
                is_skipped=self._stopped.is_left,
                is_interrupted=self._stopped.is_interrupted,
                measured=self._told_left(),
            )
        holder = self._watcher.read("lock_holders", {"oid": self._work.table_oid})
        is_locked = failure is not None and failure.kind is FailureKind.NO_ANSWER
        if self._work.does in (VACUUM, ANALYZE) and (is_locked or (complaints and holder)):
            return _skipped(self._locked())
        words = failure.message if failure else complaints or _("the server answered, and did not do it")
        if holder and self._work.does == FULL:
            words = f"{words} ({_who(holder[0])})"
        words = joined(filter(None, (words, left)))
        return Outcome(False, words, is_seen=True, measured=self._told_left())

    def _dropped(self, failure: ClientError | None, after: Row | None) -> Outcome:
        if after is None:
            return Outcome(True, _("removed"), is_seen=True)
        words = self._stopped.reason or (failure.message if failure else _("it is still there"))
        return Outcome(False, words, is_seen=True, is_interrupted=self._stopped.is_interrupted)

    def _clean(self) -> str:
        """Remove exactly the unfinished index that this rebuild made; return what is left of it, in a sentence."""
        for index in self._watcher.read("unfinished_indexes"):
            is_new = index["oid"] not in self._work.unfinished_before
            is_here = index["table_oid"] == self._work.table_oid and index["schema"] == self._work.schema
            if is_new and is_here and is_leftover_of(index["name"], self._work.name):
                try:
                    self._drop(index["name"])
                except ClientError as error:
                    self._left = index["name"]
                    text = _("{name} is left ({reason}); the next reindex removes it: {command}")
                    command = typed(self._site, "db reindex")
                    return text.format(name=index["name"], reason=error.message, command=command)
        return ""

    def _told_left(self) -> dict[str, Any]:
        return {"left": self._left} if self._left else {}

    def _drop(self, name: str) -> None:
        settings = configured(self._site)
        host = self._site.host_of(settings)
        with WritingClient(host, settings, self._work.verb, _CLEAN_SECONDS) as client:
            client.run("drop_leftover", {"relation": (self._work.schema, name)})

    def _brought(self, before: Row, after: Row | None) -> str:
        """Return what it brought, in a sentence."""
        assert after is not None
        if self._work.does == ANALYZE:
            return _("{rows:.0f} rows are counted").format(rows=after["rows"])
        text = _("{before} before, {after} now; {before_pages} pages before, {after_pages} now")
        words = [text.format(before=size(before["size_bytes"]), after=size(after["size_bytes"]),
                             before_pages=before["pages"], after_pages=after["pages"])]  # fmt: skip
        if self._work.does == VACUUM:
            text = _("{before} dead rows before, {after} now")
            words.append(text.format(before=before["dead_rows"], after=after["dead_rows"]))
            words += filter(None, [self._held(before, after)])
        if before.get("calls"):
            text = _("its statements took {mean:.1f} ms on average until now")
            words.append(text.format(mean=before["milliseconds"] / before["calls"]))
        return joined(words)

    def _held(self, before: Row, after: Row) -> str:
        """Return who kept dead rows from being removed, where many are left."""
        if after["dead_rows"] <= max(10, before["dead_rows"] // 10):
            return ""
        holders = self._watcher.read("xmin_holder")
        text = _("{count} dead rows could not be removed, because of {who}")
        who = _("somebody who is gone by now")
        if holders:
            who = _of(holders[0]["name"], holders[0])
        return text.format(count=after["dead_rows"], who=who)


def _skipped(reason: str) -> Outcome:
    return Outcome(False, reason, is_seen=True, is_skipped=True)


def _measured(before: Row, after: Row | None) -> dict[str, Any]:
    kept = ("size_bytes", "pages", "indexes_bytes", "rows", "dead_rows", "calls", "milliseconds")
    return {
        when: {name: state[name] for name in kept if name in state}
        for when, state in (("before", before), ("after", after or {}))
    }


def _who(row: Row) -> str:
    name = _("a prepared transaction") if not row["pid"] else f"pid {row['pid']}"
    return _of(name, row)


def _of(name: str, row: Row) -> str:
    names = "/".join(str(row[key]) for key in ("user", "application", "client") if row[key])
    who = f"{name} ({names})" if names else name
    if row["seconds"] is None:
        return who
    return _("{who}, in its transaction for {age}").format(who=who, age=duration(max(0.0, row["seconds"])))


def _progress(work: Upkeep, row: Row) -> str:
    """Return how far it has come; a share only where the server tells a total."""
    name = f"{work.schema}.{work.name}"
    if row["is_waiting"]:
        return _("{name} waits for {who}").format(name=name, who=_who({**row, "pid": row["blocker"]}))
    if not row["phase"]:
        return name
    if row["total"] and "index" not in row["phase"].replace("building index", "building"):
        percent = 100.0 * row["done"] / row["total"]
        return f"{name}: {row['phase']}, {percent:.0f} %"
    return f"{name}: {row['phase']}"
