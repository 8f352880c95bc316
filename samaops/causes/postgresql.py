"""Roots inside PostgreSQL while it serves: who holds what others wait for, and whose connections are whose."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from samaops.causes.effects import Effects, codes, in_part
from samaops.causes.root import Rank, Root, destructive, disruptive, look_first, root, safe, words_of
from samaops.causes.topology import NOT_PUBLISHED, POOL_RUNS_DRY, effects_on_dependents
from samaops.causes.view import View
from samaops.facts.postgresql_changes import is_protected
from samaops.i18n import _
from samaops.model.cause import Fix
from samaops.model.finding import Finding
from samaops.site.commands import SUPERUSER, as_superuser, samaops, sql_text, whole_number
from samaops.site.shell_words import operands, quoted

_BEHIND_A_LOCK: Effects = (
    *codes(
        "postgresql.locks.*",
        "postgresql.transaction.idle",
        "postgresql.query.long",
        "postgresql.sessions.waiting",
        "postgresql.connections.high",
        "postgresql.xmin.pinned",
        "postgresql.latency.high",
        *POOL_RUNS_DRY,
    ),
    *(effect for effect in effects_on_dependents("pgbouncer") if effect.pattern != NOT_PUBLISHED),
)
_LOCKED: Effects = (*_BEHIND_A_LOCK, *in_part(codes(NOT_PUBLISHED)))


def _locked(finding: Finding, view: View) -> Effects:
    """Return what the sessions behind a lock produce: a publisher is held when it wants that lock, or the pool is full."""
    # A queue behind DDL tells its one relation in place of each wait.
    waits = finding.evidence.get("waits") or [row for row in (finding.evidence,) if row.get("relation")]
    relations = {str(wait.get("relation") or "") for wait in waits}

    def is_held(late: Finding) -> bool:
        table = late.evidence.get("table")
        is_on_it = any(relation.rpartition(".")[2] == table for relation in relations)
        return not relations or not table or is_on_it or bool(view.bad("pgbouncer.pool.waiting"))

    return (*_BEHIND_A_LOCK, *codes(NOT_PUBLISHED, when=is_held))


_WRAPAROUND = "to prevent wraparound"


def _is_wraparound(finding: Finding, view: View) -> bool:
    """Return whether an autovacuum that never gives way holds the lock: one that prevents wraparound."""
    chain = (
        finding
        if finding.code == "postgresql.locks.chain"
        else next(iter(view.bad("postgresql.locks.chain")), None)
    )
    return chain is not None and _WRAPAROUND in str(chain.evidence.get("root_query"))


@root(
    "wraparound-vacuum-blocks",
    on="postgresql.locks.chain",
    rank=Rank.STATE,
    runbook="db-slow",
    effects=_LOCKED,
    distinguished_from=("lock-chain",),
)
def wraparound_vacuum_blocks(finding: Finding, view: View) -> Root | None:
    """An autovacuum that must not be cancelled holds up a change of its table, and everybody behind that."""
    if not _is_wraparound(finding, view):
        return None
    first = next((int(pid) for pid in finding.evidence.get("blocked") or ()), None)
    waits: Mapping[str, Any] = next(
        (wait for wait in finding.evidence.get("waits") or () if wait.get("pid") == first), {}
    )
    text = _("Let the vacuum run to its end; cancel what waits for it first (pid {pid}), and make it later")
    cancel = _ending(view, "cancel", text.format(pid=first), first, waits.get("application"), None)
    return Root(
        fixes=(cancel,),
        effects=_locked(finding, view),
        speaks_for=(words_of(finding), _("the vacuum prevents wraparound: it gives way to nobody")),
    )


@root(
    "ddl-behind-long-read",
    on="postgresql.locks.ddl_queue",
    rank=Rank.STATE,
    runbook="db-slow",
    effects=_LOCKED,
)
def ddl_behind_long_read(finding: Finding, view: View) -> Root | None:
    """Everybody waits behind a change of a table that itself waits for a reader."""
    if _is_wraparound(finding, view):
        return None
    pid = finding.evidence.get("pid") or finding.evidence.get("ddl_pid")
    text = _("Cancel the waiting DDL (pid {pid}), not the reader before it").format(pid=pid)
    fix = _ending(
        view, "cancel", text, pid, finding.evidence.get("ddl_application"), finding.evidence.get("ddl_user")
    )
    return Root(fixes=(fix,), effects=_locked(finding, view))


def _ending(view: View, verb: str, title: str, pid: object, application: object, user: object) -> Fix:
    """Return what cancels or ends a session: our verb, or where that refuses, what a superuser types."""
    number = whole_number(pid, "PID")
    if is_protected(str(application or "")) or user == SUPERUSER:
        command = as_superuser(view.site, f"SELECT pg_{verb}_backend({number})")
    else:
        command = samaops(view.site, f"db {verb} {number}")
    return disruptive(f"db.{verb}", title, command)


@root(
    "lock-chain",
    on="postgresql.locks.chain",
    rank=Rank.STATE,
    runbook="db-slow",
    effects=_LOCKED,
    distinguished_from=("idle-in-transaction",),
)
def lock_chain(finding: Finding, view: View) -> Root | None:
    """One session holds what all others wait for."""
    if _is_wraparound(finding, view):
        return None
    pid = finding.evidence.get("root_pid")
    if pid == 0:
        text = _("Ask who coordinates the prepared transaction, then roll it back: what it wrote is lost")
        fix = destructive("db.rollback_prepared", text, samaops(view.site, "db terminate --root"))
        return Root(fixes=(fix,), effects=_locked(finding, view))
    is_idle = finding.evidence.get("root_state") == "idle in transaction"
    if is_idle:
        text = _(
            "Ask the owner of session {pid}; it is idle in its transaction, cancel does nothing: terminate it"
        )
    else:
        text = _("Ask the owner of session {pid}, then cancel its query, and end it where that does not help")
    application, user = (finding.evidence.get(name) for name in ("root_application", "root_user"))
    fix = _ending(view, "terminate", text.format(pid=pid), pid, application, user)
    return Root(fixes=(fix,), effects=_locked(finding, view))


@root(
    "idle-in-transaction",
    on="postgresql.transaction.idle",
    rank=Rank.PART,
    runbook="db-slow",
    effects=codes(
        *POOL_RUNS_DRY, "postgresql.xmin.pinned", "postgresql.tables.dead", "postgresql.vacuum.held"
    ),
)
def idle_in_transaction(finding: Finding, view: View) -> Root:
    """A client has left its transaction open."""
    pid, application, user = (finding.evidence.get(name) for name in ("pid", "application", "user"))
    text = _("Ask the owner of session {pid}, then end it: what its transaction changed is rolled back")
    return _after_a_look(finding, _ending(view, "terminate", text.format(pid=pid), pid, application, user))


@root(
    "long-query",
    on="postgresql.query.long",
    rank=Rank.WORK,
    runbook="db-slow",
    effects=codes(*POOL_RUNS_DRY, "postgresql.temp.high", "postgresql.xmin.pinned", "postgresql.vacuum.held"),
)
def long_query(finding: Finding, view: View) -> Root:
    """One statement runs on and on."""
    pid, application, user = (finding.evidence.get(name) for name in ("pid", "application", "user"))
    text = _("Ask the owner of session {pid}, then cancel its statement; the session stays")
    return _after_a_look(finding, _ending(view, "cancel", text.format(pid=pid), pid, application, user))


@root(
    "prepared-transaction-forgotten",
    on="postgresql.prepared.old",
    rank=Rank.PART,
    runbook="db-slow",
    effects=codes(
        "postgresql.xmin.pinned", "postgresql.tables.dead", "postgresql.vacuum.held", "postgresql.locks.*"
    ),
)
def prepared_transaction_forgotten(finding: Finding, view: View) -> Root:
    """Nobody has ended what was prepared."""
    gid = str(finding.evidence.get("gid") or "GID")
    oldest = next((dict(each) for each in finding.evidence.get("transactions") or ()), {})
    section, database = view.site.settings.postgresql, oldest.get("database")
    text = _("Ask who coordinates {gid}, then roll it back: what it wrote is lost").format(gid=gid)
    if section is None or database in (None, section.database):
        command = samaops(view.site, f"db terminate --prepared={quoted(gid)}")
    else:  # it ends only in the database it was made in
        command = as_superuser(view.site, f"ROLLBACK PREPARED {sql_text(gid)}", str(database))
    return _after_a_look(finding, destructive("db.rollback_prepared", text, command))


def _after_a_look(finding: Finding, fix: Fix) -> Root:
    """Return a root of which nobody knows yet what is behind it, with what ends it."""
    first = look_first(finding)
    return replace(first, fixes=(*first.fixes, fix))


def _of_row(finding: Finding, _view: View) -> Root:
    return look_first(finding)


# Those of which the finding tells all: (code, cause, rank, runbook, what it produces)
_ROWS: tuple[tuple[str, str, Rank, str, tuple[str, ...]], ...] = (
    (
        "postgresql.connections.high",
        "postgresql-connections-exhausted",
        Rank.PART,
        "db-slow",
        (
            *POOL_RUNS_DRY,
            "pgbouncer.service.unreachable",
            "pgbouncer.login.stuck",
            "pgbouncer.pool.oversized",
            "postgresql.sessions.waiting",
            "postgresql.latency.high",
        ),
    ),
    ("postgresql.xid.age", "transaction-ids-near-wraparound", Rank.PART, "db-slow", ()),
    (
        "postgresql.tables.not_analyzed",
        "statistics-stale",
        Rank.CONSUMER,
        "db-slow",
        ("postgresql.query.long", "postgresql.query.crowd", "postgresql.cache.low"),
    ),
    ("postgresql.index.invalid", "invalid-index", Rank.REMAINDER, "db-slow", ()),
)
for code, cause_id, rank, runbook, patterns in _ROWS:
    root(cause_id, on=code, rank=rank, runbook=runbook, effects=codes(*patterns))(_of_row)


@root("replication-slot-lost", on="postgresql.slot.lost", rank=Rank.PART, runbook="db-slow")
def replication_slot_lost(finding: Finding, view: View) -> Root:
    """What the reader of a slot still needs is gone."""
    slots = [dict(slot) for slot in finding.evidence.get("slots") or ()]
    names = [str(slot.get("slot")) for slot in slots]
    if any(slot.get("type") == "logical" for slot in slots):
        rebuild = _("Make the subscription of {names} anew, with a fresh copy of its tables")
    else:
        rebuild = _("Rebuild the standby or the backup that reads {names} from a new base backup")
    drop = _("Drop {names}: a lost slot never serves again, and holds nothing back")
    named = ", ".join(names)
    return Root(
        fixes=(
            safe(
                "postgresql.slot.drop_lost",
                drop.format(names=named),
                *(samaops(view.site, f"db slot drop {operands(name)}") for name in names),
            ),
            disruptive("postgresql.reader.rebuild", rebuild.format(names=named)),
        )
    )
