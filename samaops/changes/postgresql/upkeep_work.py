"""What all upkeep of the database shares: the words it is asked for with, one relation's work as data, names, guards."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, TypeVar

from msgspec import Struct, to_builtins

from samaops.changes import beside
from samaops.changes.beside import Work
from samaops.changes.postgresql.sessions import about, backends_in
from samaops.changes.readings import UnreadableError, facts_in, known, reading
from samaops.errors import LockedError, RefusedError, UsageError
from samaops.facts.observation import Snapshot
from samaops.facts.postgresql import PostgresFacts
from samaops.facts.postgresql_changes import UpkeepIndex, UpkeepPast, UpkeepRelation
from samaops.i18n import _
from samaops.model.plan import LeftOut, Operation, Scalar, Step

UPKEEP = "postgresql.upkeep"
RELATIONS = ("postgresql.upkeep_relations",)
DIRECTORIES = ("postgresql.data_directories",)
HOLDERS = ("postgresql.xmin.pinned",)
VACUUM, ANALYZE, FULL, REINDEX, DROP = "vacuum", "analyze", "full", "reindex", "drop"
# A table of a terabyte takes hours. The server ends what runs longer.
LONGEST_SECONDS = 86_400.0
WAIT_SECONDS = 120.0
# One plan that people can read; the rest is asked for again.
MOST_STEPS = 200
_WINDOW = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)-([01]?\d|2[0-3]):([0-5]\d)")
_OURS = re.compile(r"samaops db (vacuum|analyze|reindex|optimize)\b")
RelationT = TypeVar("RelationT", UpkeepRelation, UpkeepIndex)


class Upkeep(Struct, frozen=True):
    """What is done with one relation.

    ``verb`` names our session. ``ends_at`` is when it must be over, 0 for never. ``wait_seconds`` bounds how long a rebuild
    waits for others; with ``confirm`` it is made only where the leaves are found half empty. ``unfinished_before`` are the
    unfinished indexes of its table that are not its own.
    """

    does: str
    schema: str
    name: str
    table_oid: int
    verb: str
    analyze: bool = False
    truncate: bool = True
    ends_at: float = 0.0
    wait_seconds: float = WAIT_SECONDS
    confirm: bool = False
    unfinished_before: tuple[int, ...] = ()


def operation(of: Upkeep, server: str) -> Operation:
    """Return the operation that does it."""
    arguments: Mapping[str, Any] = to_builtins(of)
    return Operation(UPKEEP, arguments, server, LONGEST_SECONDS)


class Wanted(Struct, frozen=True):
    """What the command line asks for: names, and until when and how long to wait for others."""

    names: tuple[str, ...]
    window: str
    wait_seconds: float
    is_full: bool


def wanted(arguments: Sequence[str]) -> Wanted:
    """Return what the words of a plan ask for. Raises UsageError."""
    words, names = list(arguments), []
    options = {"--window": "", "--wait": f"{WAIT_SECONDS:g}"}
    is_full = "--full" in words
    while words:
        word = words.pop(0)
        if word in options and words:
            options[word] = words.pop(0)
        elif word != "--full":
            names.append(word)
    if options["--window"] and not _WINDOW.fullmatch(options["--window"]):
        text = _("--window: {window!r} is no time of the day such as 02:00-05:00")
        raise UsageError(text.format(window=options["--window"]))
    return Wanted(tuple(dict.fromkeys(names)), options["--window"], float(options["--wait"]), is_full)


def ends_at(window: str, now: datetime) -> float:
    """Return when a window that is open now ends, in seconds since the epoch; 0 without one. Raises RefusedError."""
    if not window:
        return 0.0
    matched = _WINDOW.fullmatch(window)
    assert matched
    local = now.astimezone()
    begin_hour, begin_minute, end_hour, end_minute = map(int, matched.groups())
    begins = local.replace(hour=begin_hour, minute=begin_minute, second=0, microsecond=0)
    ends = local.replace(hour=end_hour, minute=end_minute, second=0, microsecond=0)
    if ends <= begins:  # over midnight
        begins, ends = (
            (begins - timedelta(days=1), ends) if local < ends else (begins, ends + timedelta(days=1))
        )
    if not begins <= local < ends:
        text = _("it is {now}, outside of the window {window}; nothing was changed")
        raise RefusedError(text.format(now=f"{local:%H:%M}", window=window))
    return ends.timestamp()


def upkeep_facts(snapshot: Snapshot) -> PostgresFacts:
    """Return what was read of the server. Raises UnreadableError."""
    return facts_in(snapshot, PostgresFacts)


def past_in(snapshot: Snapshot) -> UpkeepPast:
    """Return what the history tells; nothing where nobody asked it."""
    try:
        return facts_in(snapshot, UpkeepPast)
    except UnreadableError:
        return UpkeepPast()


def resumed(past: UpkeepPast, done: Iterable[str]) -> list[str]:
    """Return the note that this goes on where an earlier change of the same words was broken off; ``done`` is left out."""
    names = ", ".join(done)
    text = _("{names}: done already by the change {change}, which did not come to its end")
    return [text.format(names=names, change=past.interrupted)] if names else []


def resolve(
    names: Iterable[str], relations: Sequence[RelationT], kind: str
) -> tuple[list[RelationT], list[LeftOut]]:
    """Return the relations of these names, and the catalogs among them as left out. Raises UsageError."""
    chosen, left_out = [], []
    for name in names:
        matches = [relation for relation in relations if name in (relation.full_name, relation.name)]
        exact = [relation for relation in matches if relation.full_name == name] or matches
        if len(exact) > 1:
            text = _("{name} is the name of several: {names}")
            raise UsageError(text.format(name=name, names=", ".join(each.full_name for each in exact)))
        if exact:
            chosen.append(exact[0])
        elif re.match(r"(pg_catalog\.|information_schema\.|pg_toast)|pg_[a-z_]+$", name):
            reason = _(
                "it is a catalog of the server: autovacuum tends it, and it is not rebuilt beside its work"
            )
            left_out.append(LeftOut(f"postgresql/{name}", reason))
        else:
            text = _("the database has no {kind} {name!r}").format(kind=kind, name=name)
            raise UsageError(text, hint="samaops db size")
    return list(dict.fromkeys(chosen)), left_out


def not_owner(relation: UpkeepRelation | UpkeepIndex, role: str) -> LeftOut:
    """Return that our role may not tend a relation, and the grant that it needs; a superuser's is granted to nobody."""
    reason = _("not owner: it belongs to {owner}, and {role} is no member of that role")
    hint = f'GRANT "{relation.owner}" TO "{role}";'
    if relation.is_superusers:
        reason = _("not owner: it belongs to the superuser {owner}; let the application's role own it")
        hint = ""
    text = reason.format(owner=relation.owner, role=role)
    return LeftOut(f"postgresql/{relation.full_name}", text, hint, is_failure=True)


def require_alone(snapshot: Snapshot, site_database: str, work: Work) -> None:
    """Raise RefusedError for whoever works now beside whom this must not begin, LockedError for another samaops."""
    backends = backends_in(snapshot)
    for backend in backends:
        if (
            _OURS.match(backend.application)
            and backend.database == site_database
            and backend.state == "active"
        ):
            text = _("Another samaops tends this database: {session}")
            raise LockedError(text.format(session=about(backend)), hint="samaops db progress")
    for backend, other, rule in beside.in_the_way(work, backends, site_database):
        text = _("{work} does not begin beside {other}: {reason} ({session})")
        words = {"work": work, "other": other, "reason": _(rule.reason), "session": about(backend)}
        raise RefusedError(text.format(**words), hint="samaops explain beside")


def free_bytes(snapshot: Snapshot, tablespace: str) -> int:
    """Return how much room is left where a tablespace lies. Raises UnreadableError."""
    directories = known(upkeep_facts(snapshot).data_directories, _("how much room is left on the server"))
    for directory in directories:
        if directory.name == tablespace:
            return directory.free_bytes
    raise UnreadableError(_("it is not known where the tablespace {name} lies").format(name=tablespace))


@reading("postgresql.bytes_missing", codes=DIRECTORIES)
def bytes_missing(snapshot: Snapshot, tablespace: str, needed: int) -> Scalar:
    """Return how many bytes are missing for what needs that many."""
    return max(0, int(needed) - free_bytes(snapshot, tablespace))


def held_back(snapshot: Snapshot, steps: Iterable[Step]) -> list[str]:
    """Return who keeps dead rows from being removed, the oldest first, where a step vacuums."""
    if not any(step.id == "db.vacuum" for step in steps):
        return []
    try:
        return list(_holders(snapshot))
    except UnreadableError as error:
        return [_("Who holds back cleaning could not be seen: {reason}").format(reason=error)]


def _holders(snapshot: Snapshot) -> Iterator[str]:
    facts = upkeep_facts(snapshot)
    activity = known(facts.activity, _("who holds back cleaning"))
    sessions = {f"pid {backend.pid}": backend for backend in backends_in(snapshot)}
    held = []
    for holder in activity.holders:
        backend = sessions.get(" ".join(holder.name.split()[:2]))
        if backend is not None and (backend.transaction_seconds or 0.0) >= 10.0:
            held.append((holder.xmin_age, about(backend)))
    held += [
        (
            prepared.xid_age,
            _("the prepared transaction {gid} of {owner}").format(gid=prepared.gid, owner=prepared.owner),
        )
        for prepared in facts.prepared or ()
    ]
    held += [
        (slot.xmin_age, _("the replication slot {name}").format(name=slot.name))
        for slot in facts.slots or ()
        if slot.xmin_age is not None
    ]
    held += [
        (
            standby.xmin_age,
            _("the standby {name} at {client}").format(name=standby.name, client=standby.client),
        )
        for standby in facts.standbys or ()
        if standby.xmin_age is not None
    ]
    text = _("What died since then stays, for {xids} transactions now, because of {holder}")
    yield from (text.format(xids=xids, holder=holder) for xids, holder in sorted(held, reverse=True)[:3])
