"""Roots inside PostgreSQL while it serves: who holds what others wait for, and whose connections are whose."""

from __future__ import annotations

from samaops.causes.effects import Effects, codes, in_part
from samaops.causes.root import Rank, Root, disruptive, look_first, root, safe, words_of
from samaops.causes.topology import NOT_PUBLISHED, POOL_RUNS_DRY, effects_on_dependents
from samaops.causes.view import View
from samaops.i18n import _
from samaops.model.finding import Finding
from samaops.site.commands import as_superuser, sql_text, whole_number

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
    text = _("Let the vacuum run to its end; cancel what waits for it first (pid {pid}), and make it later")
    cancel = as_superuser(view.site, f"SELECT pg_cancel_backend({whole_number(first, 'PID')})")
    return Root(
        fixes=(disruptive("db.cancel", text.format(pid=first), cancel),),
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
    cancel = as_superuser(view.site, f"SELECT pg_cancel_backend({whole_number(pid, 'PID')})")
    text = _("Cancel the waiting DDL (pid {pid}), not the reader before it")
    return Root(
        fixes=(disruptive("db.cancel", text.format(pid=pid), cancel),), effects=_locked(finding, view)
    )


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
    is_idle = finding.evidence.get("root_state") == "idle in transaction"
    if is_idle:
        text = _(
            "Ask the owner of session {pid}; it is idle in its transaction, cancel does nothing: terminate it"
        )
        sql = f"SELECT pg_terminate_backend({whole_number(pid, 'PID')})"
    else:
        text = _("Ask the owner of session {pid}, then cancel its query")
        sql = f"SELECT pg_cancel_backend({whole_number(pid, 'PID')})"
    name = "db.terminate" if is_idle else "db.cancel"
    fix = disruptive(name, text.format(pid=pid), as_superuser(view.site, sql))
    return Root(fixes=(fix,), effects=_locked(finding, view))


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
    (
        "postgresql.transaction.idle",
        "idle-in-transaction",
        Rank.PART,
        "db-slow",
        (*POOL_RUNS_DRY, "postgresql.xmin.pinned", "postgresql.tables.dead", "postgresql.vacuum.held"),
    ),
    (
        "postgresql.prepared.old",
        "prepared-transaction-forgotten",
        Rank.PART,
        "db-slow",
        ("postgresql.xmin.pinned", "postgresql.tables.dead", "postgresql.vacuum.held", "postgresql.locks.*"),
    ),
    (
        "postgresql.query.long",
        "long-query",
        Rank.WORK,
        "db-slow",
        (*POOL_RUNS_DRY, "postgresql.temp.high", "postgresql.xmin.pinned", "postgresql.vacuum.held"),
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
    drops = [f"SELECT pg_drop_replication_slot({sql_text(name)})" for name in names]
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
                *(as_superuser(view.site, statement) for statement in drops),
            ),
            disruptive("postgresql.reader.rebuild", rebuild.format(names=named)),
        )
    )
