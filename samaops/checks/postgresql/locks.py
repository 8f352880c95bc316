"""Judge who waits for whom: the chain of locks and its root, and DDL that holds up a queue."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from msgspec import Struct

from samaops.checks.registry import Context, check
from samaops.facts.postgresql import Locks, LockWait, PostgresFacts, Session
from samaops.i18n import _, ngettext
from samaops.model.finding import Finding
from samaops.model.status import Status
from samaops.site.commands import samaops

PREPARED_TRANSACTION = 0  # the pid that pg_blocking_pids gives for one
MANY_SESSIONS = 3  # more than this waiting at once is an incident, however short the wait
LEAST_SECONDS = 0.2  # below this, waiting is everyday contention
SHOWN = 10


class Chain(Struct, frozen=True):
    """One root, which itself waits for nobody, and all who wait for it, directly or not."""

    root_pid: int
    blocked: tuple[LockWait, ...]

    @property
    def seconds(self) -> float:
        """How long the longest has waited."""
        return max(wait.seconds for wait in self.blocked)


def chains(locks: Locks) -> tuple[Chain, ...]:
    """Return the chains, the one that blocks most sessions first.

    Sessions that wait for each other in a circle (a deadlock not yet detected) count under the lowest pid of them.
    """
    blockers = {wait.pid: set(wait.blocked_by) for wait in locks.waits}
    behind: dict[int, list[LockWait]] = {}
    for wait in locks.waits:
        for root in _roots(wait.pid, blockers):
            behind.setdefault(root, []).append(wait)
    unordered = [Chain(root, _distinct(waits)) for root, waits in behind.items()]
    return tuple(sorted(unordered, key=lambda chain: (-len(chain.blocked), -chain.seconds, chain.root_pid)))


def _roots(pid: int, blockers: dict[int, set[int]]) -> set[int]:
    seen, pending = {pid}, [pid]
    roots: set[int] = set()
    while pending:
        for blocker in blockers.get(pending.pop(), ()):
            if blocker not in blockers:
                roots.add(blocker)
            elif blocker not in seen:
                seen.add(blocker)
                pending.append(blocker)
    return roots or ({min(seen)} if min(seen) != pid else set())


def _distinct(waits: list[LockWait]) -> tuple[LockWait, ...]:
    longest: dict[int, LockWait] = {}  # workers of one parallel query wait under the pid of their leader
    for wait in sorted(waits, key=lambda wait: wait.seconds):
        longest[wait.pid] = wait
    return tuple(sorted(longest.values(), key=lambda wait: -wait.seconds))


@check("postgresql.locks.chain", PostgresFacts, needs=("locks",), warning=5, critical=30, unit="s")
def lock_chain(facts: PostgresFacts, context: Context) -> Iterator[Finding]:
    assert facts.locks is not None
    ranked = chains(facts.locks)
    if not ranked:
        yield context.ok(_("No session waits for a lock"), value=0)
        return
    worst = ranked[0]
    seconds = max(chain.seconds for chain in ranked)
    waiting = len({wait.pid for chain in ranked for wait in chain.blocked})
    evidence = _evidence(worst, facts, seconds, waiting)
    evidence["roots"] = [chain.root_pid for chain in ranked]
    yield context.finding(
        _status(context, seconds, waiting),
        _title(worst, evidence, waiting, seconds),
        detail=evidence["root_query"],
        value=seconds,
        evidence=evidence,
        hint=samaops(context.site, "db locks"),
    )


def _status(context: Context, seconds: float, waiting: int) -> Status:
    if waiting > MANY_SESSIONS and seconds >= LEAST_SECONDS:
        return Status.CRITICAL
    return context.status_above(seconds)


def _title(chain: Chain, evidence: dict[str, Any], waiting: int, seconds: float) -> str:
    return ngettext(
        "{count} session waits for a lock, {seconds:.0f} s long; pid {pid} ({state}) holds it",
        "{count} sessions wait for locks, up to {seconds:.0f} s long; pid {pid} ({state}) blocks most of them",
        waiting,
    ).format(count=waiting, seconds=seconds, pid=chain.root_pid, state=evidence["root_state"])


def _evidence(chain: Chain, facts: PostgresFacts, seconds: float, waiting: int) -> dict[str, Any]:
    sessions = _sessions(facts)
    root = sessions.get(chain.root_pid)
    relations = [wait.relation for wait in chain.blocked if wait.relation]
    is_prepared = chain.root_pid == PREPARED_TRANSACTION
    query = root.query if root else ""
    return {
        "root_pid": chain.root_pid,
        "root_state": _state(chain.root_pid, root),
        "root_query": _prepared_names(facts) if is_prepared else query,
        "root_application": root.application if root else "",
        "root_user": root.user if root else "",
        "root_client": root.client if root else "",
        "root_transaction_seconds": root.transaction_seconds if root else None,
        "blocked": [wait.pid for wait in chain.blocked][:SHOWN],
        "waiting": waiting,
        "relation": max(set(relations), key=relations.count) if relations else None,
        "seconds": seconds,
        "waits": [_wait(wait, sessions) for wait in chain.blocked[:SHOWN]],
    }


def _sessions(facts: PostgresFacts) -> dict[int, Session]:
    return {session.pid: session for session in facts.locks.sessions} if facts.locks else {}


def _state(pid: int, session: Session | None) -> str:
    if pid == PREPARED_TRANSACTION:
        return "prepared transaction"
    return session.state if session else "gone"  # it ended between two looks


def _prepared_names(facts: PostgresFacts) -> str:
    return ", ".join(f"PREPARE TRANSACTION '{prepared.gid}'" for prepared in facts.prepared or ())


def _wait(wait: LockWait, sessions: dict[int, Session]) -> dict[str, Any]:
    session = sessions.get(wait.pid)
    return {
        "pid": wait.pid,
        "blocked_by": list(wait.blocked_by),
        "mode": wait.mode,
        "relation": wait.relation,
        "seconds": wait.seconds,
        "application": session.application if session else "",
        "query": session.query if session else "",
    }


@check("postgresql.locks.ddl_queue", PostgresFacts, needs=("locks",), warning=5, critical=30, unit="s")
def ddl_queue(facts: PostgresFacts, context: Context) -> Iterator[Finding]:
    assert facts.locks is not None
    queues = [(wait, _behind(wait, facts.locks)) for wait in facts.locks.waits if _is_exclusive(wait)]
    queues = sorted((queue for queue in queues if queue[1]), key=lambda queue: -len(queue[1]))
    if not queues:
        yield context.ok(_("No DDL holds up other sessions"), value=0)
        return
    ddl, behind = queues[0]
    session = _sessions(facts).get(ddl.pid)
    yield context.finding(
        _status(context, ddl.seconds, len(behind)),
        ngettext(
            "DDL of pid {pid} waits {seconds:.0f} s for {relation} and holds up {count} session behind it",
            "DDL of pid {pid} waits {seconds:.0f} s for {relation} and holds up {count} sessions behind it",
            len(behind),
        ).format(pid=ddl.pid, seconds=ddl.seconds, relation=ddl.relation or "?", count=len(behind)),
        detail=session.query if session else "",
        value=ddl.seconds,
        evidence={
            "pid": ddl.pid,
            "ddl_query": session.query if session else "",
            "ddl_application": session.application if session else "",
            "ddl_user": session.user if session else "",
            "relation": ddl.relation,
            "blockers": list(ddl.blocked_by),
            "behind": [wait.pid for wait in behind][:SHOWN],
            "waiting": len(behind),
            "seconds": ddl.seconds,
        },
        hint=samaops(context.site, "db locks"),
    )


def _is_exclusive(wait: LockWait) -> bool:
    return wait.mode == "AccessExclusiveLock" and wait.locktype == "relation"


def _behind(ddl: LockWait, locks: Locks) -> list[LockWait]:
    return [wait for wait in locks.waits if ddl.pid in wait.blocked_by and wait.relation == ddl.relation]
