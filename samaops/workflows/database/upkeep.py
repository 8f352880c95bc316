"""Upkeep of the database that goes on where it was broken off: what the history tells is recalled before it is planned."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta, timezone
from itertools import islice
from typing import Any

from samaops.changes import verbs
from samaops.changes.postgresql.upkeep_indexes import is_leftover_of
from samaops.changes.postgresql.upkeep_work import DROP, REINDEX, UPKEEP
from samaops.errors import LockedError
from samaops.facts.observation import Observation
from samaops.facts.postgresql_changes import Rebuild, UpkeepPast
from samaops.journal import history
from samaops.journal.history import Change
from samaops.model.plan import Plan
from samaops.site.site import Site
from samaops.workflows import change

_VERBS = ("db vacuum", "db analyze", "db reindex", "db optimize")
# What was broken off longer ago is begun anew.
_RESUMED = timedelta(hours=24)
_MOST_CHANGES = 500
# How long the server needs to end what a killed samaops has begun.
_ORPHAN_SECONDS = 6.0


def prepare(site: Site, name: str, arguments: Sequence[str]) -> Plan:
    """Plan a verb with what the history tells of it. Raises as ``change.prepare_verb``."""
    past = recalled(site, name, tuple(arguments))
    observation = Observation("postgresql", "postgresql/history", None, UpkeepPast.__name__, past)
    until = time.monotonic() + _ORPHAN_SECONDS
    while True:
        try:
            return change.prepare_verb(site, verbs.find(name), arguments, recalled=(observation,))
        except LockedError:
            if time.monotonic() > until:
                raise
            time.sleep(0.5)


def recalled(site: Site, name: str, arguments: tuple[str, ...]) -> UpkeepPast:
    """Return what the history tells. Raises UnavailableError where it cannot be read."""
    journal = change.journal_of(site)
    try:
        changes = [
            each for each in islice(journal.newest_first(), _MOST_CHANGES) if each.plan.get("verb") in _VERBS
        ]
    finally:
        journal.close()
    interrupted = _interrupted(changes, name, arguments)
    done = tuple(_done(interrupted)) if interrupted else ()
    sizes: dict[str, float] = {}
    for each in changes:
        for index, bytes_per_row in _sizes(each):
            sizes.setdefault(index, bytes_per_row)
    rebuilds = tuple(_rebuilds(changes))
    return UpkeepPast(interrupted.id if interrupted and done else "", done, rebuilds, sizes)


def _interrupted(changes: Iterable[Change], name: str, arguments: tuple[str, ...]) -> Change | None:
    """Return the last change of the same words where it did not come to its end lately."""
    for each in changes:
        if each.plan["verb"] == name and tuple(each.plan["arguments"]) == arguments:
            is_late = datetime.now(timezone.utc) - datetime.fromisoformat(each.began_at) < _RESUMED
            is_whole = len(tuple(_ended_well(each))) == len(each.plan["steps"])
            return each if is_late and not is_whole else None
    return None


def _ended_well(of: Change) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Yield the arguments of each step that ended well, and what was measured."""
    for event in of.events:
        if event.kind == history.STEP_ENDED and event.details["is_ok"] and event.step is not None:
            yield _arguments(of, event.step), dict(event.details.get("measured") or {})


def _arguments(of: Change, step: int) -> dict[str, Any]:
    operation = of.plan["steps"][step]["operation"]
    return dict(operation["arguments"]) if operation["kind"] == UPKEEP else {}


def _done(of: Change) -> Iterator[str]:
    for work, _measured in _ended_well(of):
        yield f"{work['schema']}.{work['name']}"


def _sizes(of: Change) -> Iterator[tuple[str, float]]:
    """Yield each index that was rebuilt, with its bytes for each row just after."""
    for work, measured in _ended_well(of):
        after = measured.get("after", {})
        if work.get("does") == REINDEX and after.get("rows"):
            yield f"{work['schema']}.{work['name']}", after["size_bytes"] / after["rows"]


def _rebuilds(changes: Iterable[Change]) -> Iterator[Rebuild]:
    """Yield each index's last rebuild where it may have left something that nobody has removed since.

    ``changes`` are newest first. One that ended tells what it left; one that was killed tells nothing.
    """
    removed: set[str] = set()
    seen: set[str] = set()
    for each in changes:
        ended = {event.step: event for event in each.events if event.kind == history.STEP_ENDED}
        begun = [event.step for event in each.events if event.kind == history.STEP_BEGUN]
        for step in reversed([step for step in begun if step is not None]):
            work, end = _arguments(each, step), ended.get(step)
            name = f"{work.get('schema')}.{work.get('name')}"
            if work.get("does") == DROP and end is not None and end.details["is_ok"]:
                removed.add(str(work["name"]))
            elif work.get("does") == REINDEX and name not in seen:
                seen.add(name)
                is_settled = any(is_leftover_of(leftover, str(work["name"])) for leftover in removed)
                if not is_settled and (end is None or (end.details.get("measured") or {}).get("left")):
                    yield Rebuild(name, work["table_oid"], tuple(work["unfinished_before"]))
