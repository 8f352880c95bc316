"""Who waits for a lock: a tree for each session or prepared transaction that itself waits for nobody."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from samaops.collect.postgresql.sessions import BACKUPS
from samaops.i18n import _, ngettext
from samaops.model.quantities import duration
from samaops.model.table import Column, Table
from samaops.site.commands import typed
from samaops.site.shell_words import quoted
from samaops.site.site import Site
from samaops.workflows import lists
from samaops.workflows.database import look

# PostgreSQL's manual, "Conflicting Lock Modes": what waits, and what it waits for.
_STRONG = {"ShareLock", "ShareRowExclusiveLock", "ExclusiveLock", "AccessExclusiveLock"}
_CONFLICTS = {
    "AccessShareLock": {"AccessExclusiveLock"},
    "RowShareLock": {"ExclusiveLock", "AccessExclusiveLock"},
    "RowExclusiveLock": _STRONG,
    "ShareUpdateExclusiveLock": _STRONG | {"ShareUpdateExclusiveLock"},
    "ShareLock": (_STRONG - {"ShareLock"}) | {"RowExclusiveLock", "ShareUpdateExclusiveLock"},
    "ShareRowExclusiveLock": _STRONG | {"RowExclusiveLock", "ShareUpdateExclusiveLock"},
    "ExclusiveLock": _STRONG | {"RowShareLock", "RowExclusiveLock", "ShareUpdateExclusiveLock"},
}
_ONLY_READS = {"AccessShareLock"}
_MOST_COMMANDS = 3
Key = int | str  # the pid of a session, or the gid of a prepared transaction


class _Queue(Struct, frozen=True):
    """Who waits for whom, and what is known of each."""

    waits: Mapping[Key, look.Row]
    blockers: Mapping[Key, Sequence[Key]]
    known: Mapping[Key, look.Row]
    # What each has on the thing for which another one waits: (who waits, who has it).
    modes: Mapping[tuple[Key, Key], Sequence[str]]
    after: Mapping[Key, Sequence[Key]]  # the other way round than blockers
    children: Mapping[Key, Sequence[Key]]  # each who waits once, under one of its blockers

    def is_ddl(self, key: Key) -> bool:
        """Return whether this one waits to have a relation for itself alone."""
        wait = self.waits.get(key)
        return wait is not None and (wait["locktype"], wait["mode"]) == ("relation", "AccessExclusiveLock")

    def is_behind_a_read(self, key: Key) -> bool:
        """Return whether all before this one only read."""
        modes = [set(self.modes.get((key, blocker), ())) for blocker in self.blockers.get(key, ())]
        return bool(modes) and all(each and each <= _ONLY_READS for each in modes)

    def behind(self, key: Key) -> set[Key]:
        """Return all who wait for this one, directly or not."""
        seen: set[Key] = {key}
        pending = [key]
        while pending:
            new = [each for each in self.after.get(pending.pop(), ()) if each not in seen]
            seen.update(new)
            pending += new
        return seen - {key}


def locks(site: Site) -> Table:
    """Return the trees, first the one in which most wait."""
    with look.connected(site) as client:
        rights = client.read_one("rights")
        waits = client.read("locks")
        sessions = client.read("backends") if waits else []
        held = client.read("locks_held") if waits else []
    queue = _queue(waits, sessions, held)
    rows = [row for root in _roots(queue) for row in _tree(queue, root)]
    for row in rows:
        row["command"] = _command(site, queue, row)
    columns = (
        Column("tree", _("pid"), is_copied=True),
        Column("for", _("since"), is_number=True),
        Column("what", _("has, or waits for")),
        Column("who", _("client")),
        Column("query", _("statement")),
    )
    notes = [_ddl_note(row) for row in rows if row["is_ddl_queue"]]
    if not rights["sees_sessions"]:
        notes.append(look.missing_monitor(rights["role"]))
    commands = [row["command"] for row in rows if row["command"]][:_MOST_COMMANDS]
    table = lists.table(
        site, "locks", columns, rows, _answer(queue, rows), notes, is_whole=rights["sees_sessions"]
    )
    return replace(table, commands=tuple(dict.fromkeys(commands)))


def _queue(waits: list[look.Row], sessions: list[look.Row], held: list[look.Row]) -> _Queue:
    # A parallel worker waits on behalf of its leader; the blockers are named by their leaders already.
    leaders: dict[Key, Key] = {row["pid"]: row["leader_pid"] or row["pid"] for row in sessions}
    known: dict[Key, look.Row] = {row["pid"]: row for row in sessions}
    known |= {row["gid"]: _prepared(row) for row in held if row["gid"] is not None}
    modes: dict[tuple[Key, Key], Sequence[str]] = {}
    for row in held:
        holder: Key | None = row["gid"] if row["gid"] is not None else row["holder"]
        if holder is None:  # it was ended while we read
            continue
        waiting: Key = row["pid"]
        modes[leaders.get(waiting, waiting), leaders.get(holder, holder)] = row["modes"]
    by_pid: dict[Key, look.Row] = {}
    blockers: dict[Key, Sequence[Key]] = {}
    for wait in waits:
        own: Key = wait["pid"]
        pid = leaders.get(own, own)
        before: list[Key] = [each for each in wait["blocked_by"] if each not in (0, pid)]
        if 0 in wait["blocked_by"]:
            before += [
                other
                for (key, other), has in modes.items()
                if key == pid and isinstance(other, str) and _conflict(wait["mode"], has)
            ]
        by_pid[pid], blockers[pid] = wait, tuple(dict.fromkeys(before))
    after: dict[Key, list[Key]] = {}
    children: dict[Key, list[Key]] = {}
    for key in sorted(blockers, key=lambda key: by_pid[key]["seconds"]):
        for blocker in blockers[key]:
            after.setdefault(blocker, []).append(key)
        if blockers[key]:
            children.setdefault(_parent(blockers[key], by_pid, known), []).append(key)
    return _Queue(by_pid, blockers, known, modes, after, children)


def _parent(blockers: Sequence[Key], waits: Mapping[Key, look.Row], known: Mapping[Key, look.Row]) -> Key:
    """Return under whom one is shown: who waits for nobody rather than who waits, the older rather than the newer."""
    ages = {key: known.get(key, {}).get("transaction_seconds") or 0.0 for key in blockers}
    return min(blockers, key=lambda key: (key in waits, -ages[key], str(key)))


def _prepared(row: look.Row) -> look.Row:
    return {
        "user": row["owner"],
        "application": None,
        "client": None,
        "database": row["database"],
        "type": "prepared transaction",
        "state": "prepared transaction",
        "transaction_seconds": row["seconds"],
        "state_seconds": row["seconds"],
        "query": "",
    }


def _conflict(wanted: str, has: Sequence[str]) -> bool:
    # AccessExclusive, and what is no lock of a relation, stands against everything.
    return wanted not in _CONFLICTS or bool(_CONFLICTS[wanted].intersection(has))


def _roots(queue: _Queue) -> list[Key]:
    """Return those who wait for nobody, the worst first; of a circle (a deadlock not yet broken) the lowest pid."""
    roots = [key for key in queue.after if key not in queue.waits]
    # who stood before them has gone since
    roots += [key for key, before in queue.blockers.items() if not before]
    reached = {key for root in roots for key in _below(queue, root)}
    for key in sorted(queue.waits, key=str):
        if key not in reached:
            roots.append(key)
            reached.update(_below(queue, key))
    return sorted(roots, key=lambda root: (-len(queue.behind(root)), -_longest(queue, root), str(root)))


def _below(queue: _Queue, root: Key) -> dict[Key, int]:
    """Return a root and all that are shown under it, each with its depth, from above to below."""
    depths: dict[Key, int] = {}
    pending = [(root, 0)]
    while pending:
        key, depth = pending.pop()
        if key in depths:
            continue
        depths[key] = depth
        pending += [(child, depth + 1) for child in queue.children.get(key, ())]
    return depths


def _longest(queue: _Queue, root: Key) -> float:
    return max((queue.waits[key]["seconds"] for key in queue.behind(root)), default=0.0)


def _tree(queue: _Queue, root: Key) -> Iterator[look.Row]:
    for key, depth in _below(queue, root).items():
        wait, session = queue.waits.get(key), queue.known.get(key, {})
        waiting = len(queue.behind(key))
        transaction = session.get("transaction_seconds")
        seconds = wait["seconds"] if wait else transaction
        is_ddl_queue = queue.is_ddl(key) and waiting > 0
        yield {
            "tree": f"+{'-' * depth} {key}" if depth else str(key),
            "depth": depth,
            "root": root,
            "pid": key if isinstance(key, int) else None,
            "gid": key if isinstance(key, str) else None,
            "blocked_by": list(queue.blockers.get(key, ())),
            "waiting": waiting,
            "for": "-" if seconds is None else duration(max(0.0, seconds)),
            "wait_seconds": wait["seconds"] if wait else None,
            "transaction_seconds": transaction,
            "state_seconds": session.get("state_seconds"),
            "locktype": wait["locktype"] if wait else None,
            "mode": wait["mode"] if wait else None,
            "relation": wait["relation"] if wait else None,
            "is_ddl_queue": is_ddl_queue,
            "is_behind_a_read": is_ddl_queue and queue.is_behind_a_read(key),
            "what": _what(wait, session, waiting),
            "type": session.get("type"),
            "state": session.get("state"),
            "who": look.who(session) if session else "",
            **{name: session.get(name) for name in ("user", "application", "client", "database")},
            "query": look.statement(session.get("query")),
        }


def _what(wait: look.Row | None, session: look.Row, waiting: int) -> str:
    if wait is None:
        state = session.get("state") or session.get("type") or _("gone since")
        text = ngettext("{state}; {count} waits for it", "{state}; {count} wait for it", waiting)
        return text.format(state=state, count=waiting)
    relation = wait["relation"] or "?"
    if wait["locktype"] == "relation":
        return f"{relation}: {wait['mode'].removesuffix('Lock')}"
    if wait["locktype"] in ("transactionid", "tuple"):
        return _("a row of {relation}").format(relation=relation)
    if wait["locktype"] == "virtualxid":
        return _("the end of a transaction")
    return f"{wait['locktype']}: {wait['mode'].removesuffix('Lock')}"


def _ddl_note(row: look.Row) -> str:
    if row["is_behind_a_read"]:
        text = ngettext(
            "DDL of pid {pid} is queued behind a read and stops {count} session behind it: end the DDL, not the read",
            "DDL of pid {pid} is queued behind a read and stops {count} sessions behind it: end the DDL, not the read",
            row["waiting"],
        )
    else:
        text = ngettext(
            "DDL of pid {pid} waits and stops {count} session behind it",
            "DDL of pid {pid} waits and stops {count} sessions behind it",
            row["waiting"],
        )
    return text.format(pid=row["pid"], count=row["waiting"])


def _command(site: Site, queue: _Queue, row: look.Row) -> str | None:
    """Return what lets the others go on with the least harm; None where waiting is the best."""
    if row["gid"] is not None:
        return typed(site, f"db terminate --prepared {quoted(row['gid'])}")
    if row["is_behind_a_read"]:
        return typed(site, f"db cancel {row['pid']}")
    is_client = row["type"] == "client backend" and not str(row["application"]).startswith(BACKUPS)
    first = queue.after.get(row["pid"], ())
    is_reader_of_ddl = bool(first) and all(queue.is_ddl(key) and queue.is_behind_a_read(key) for key in first)
    if row["depth"] or not is_client or (is_reader_of_ddl and row["waiting"] > len(first)):
        return None
    verb = "terminate" if str(row["state"]).startswith("idle") else "cancel"
    return typed(site, f"db {verb} {row['pid']}")


def _answer(queue: _Queue, rows: list[look.Row]) -> str:
    if not rows:
        return _("No session waits for a lock")
    text = ngettext(
        "{count} session waits for a lock, for {longest}; {root} stands before {behind}",
        "{count} sessions wait for locks, up to {longest}; {root} stands before {behind}",
        len(queue.waits),
    )
    worst = rows[0]
    root = (
        _("prepared transaction {gid}").format(gid=worst["gid"])
        if worst["gid"] is not None
        else _("pid {pid} ({state})").format(pid=worst["pid"], state=worst["state"] or worst["type"] or "?")
    )
    longest = max(wait["seconds"] for wait in queue.waits.values())
    return text.format(count=len(queue.waits), longest=duration(longest), root=root, behind=worst["waiting"])
