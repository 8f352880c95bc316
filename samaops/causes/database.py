"""Roots inside PostgreSQL and PgBouncer while both serve."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from msgspec import Struct

from samaops.causes.effects import Effects, codes, in_part
from samaops.causes.root import Rank, Root, disruptive, each, root, safe, words_of
from samaops.causes.topology import NOT_PUBLISHED, effects_on_dependents
from samaops.causes.view import View
from samaops.i18n import _
from samaops.model.cause import Verdict
from samaops.model.finding import Finding
from samaops.site.commands import as_superuser, console, direct, sql_name, sql_text, whole_number

_POOL_RUNS_DRY = ("pgbouncer.pool.waiting", "pgbouncer.pool.saturated", "pgbouncer.query.failed")
_POOL_HELD: Effects = (
    *codes(*_POOL_RUNS_DRY, "pgbouncer.login.stuck"),
    *effects_on_dependents("pgbouncer"),
)
_BEHIND_A_LOCK: Effects = (
    *codes(
        "postgresql.locks.*",
        "postgresql.transaction.idle",
        "postgresql.query.long",
        "postgresql.sessions.waiting",
        "postgresql.connections.high",
        "postgresql.xmin.pinned",
        "postgresql.latency.high",
        *_POOL_RUNS_DRY,
    ),
    *(effect for effect in effects_on_dependents("pgbouncer") if effect.pattern != NOT_PUBLISHED),
)
_LOCKED: Effects = (*_BEHIND_A_LOCK, *in_part(codes(NOT_PUBLISHED)))


def _locked(finding: Finding, view: View) -> Effects:
    """Return what the sessions behind a lock produce: a publisher is held when it wants that lock, or the pool is full."""
    relations = {str(wait.get("relation") or "") for wait in finding.evidence.get("waits") or ()}

    def is_held(late: Finding) -> bool:
        table = late.evidence.get("table")
        is_on_it = any(relation.rpartition(".")[2] == table for relation in relations)
        return not relations or not table or is_on_it or bool(view.bad("pgbouncer.pool.waiting"))

    return (*_BEHIND_A_LOCK, *codes(NOT_PUBLISHED, when=is_held))


@root(
    "pgbouncer-paused",
    on="pgbouncer.pool.paused",
    rank=Rank.STATE,
    runbook="api-down",
    effects=_POOL_HELD,
    distinguished_from=("pgbouncer-pool-exhausted",),
)
def pgbouncer_paused(finding: Finding, view: View) -> Root:
    """Somebody paused the pool."""
    return _held(finding, view, "RESUME", "PAUSE")


@root(
    "pgbouncer-database-disabled",
    on="pgbouncer.database.disabled",
    rank=Rank.STATE,
    runbook="api-down",
    effects=_POOL_HELD,
)
def pgbouncer_database_disabled(finding: Finding, view: View) -> Root:
    """Somebody disabled the database in the pool."""
    return _held(finding, view, "ENABLE", "DISABLE")


def _held(finding: Finding, view: View, verb: str, inverse: str) -> Root:
    name = sql_name(str(finding.evidence.get("database") or "samaconso"))
    # A PAUSE of everything is taken back by a RESUME of everything.
    database = "" if finding.evidence.get("all") else f" {name}"
    # Before 1.19 no list shows a PAUSE of everything; a log-in that fails looks the same from outside.
    is_inferred = bool(finding.evidence.get("inferred"))
    if is_inferred:
        text = _("Let it serve again; if it says that nothing is paused, its log says why it cannot log in")
    else:
        text = _("Let it serve again; no restart is needed")
    do, undo = (console(view.site, f"{word}{database}") for word in (verb, inverse))
    answers = view.ok("postgresql.service.unreachable")
    return Root(
        fixes=(safe(f"pool.{verb.lower()}", text, do, undo=undo),),
        verdict=Verdict.PROBABLE if is_inferred else Verdict.CONFIRMED,
        speaks_for=(words_of(finding), *((_("PostgreSQL itself answers"),) if answers else ())),
    )


@root(
    "ddl-behind-long-read",
    on="postgresql.locks.ddl_queue",
    rank=Rank.STATE,
    runbook="db-slow",
    effects=_LOCKED,
)
def ddl_behind_long_read(finding: Finding, view: View) -> Root:
    """Everybody waits behind a change of a table that itself waits for a reader."""
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
def lock_chain(finding: Finding, view: View) -> Root:
    """One session holds what all others wait for."""
    pid = finding.evidence.get("root_pid")
    if finding.evidence.get("root_state") == "idle in transaction":
        text = _(
            "Ask the owner of session {pid}; it is idle in its transaction, cancel does nothing: terminate it"
        )
        sql = f"SELECT pg_terminate_backend({whole_number(pid, 'PID')})"
    else:
        text = _("Ask the owner of session {pid}, then cancel its query")
        sql = f"SELECT pg_cancel_backend({whole_number(pid, 'PID')})"
    fix = disruptive("db.terminate", text.format(pid=pid), as_superuser(view.site, sql))
    return Root(fixes=(fix,), effects=_locked(finding, view))


def _look_first(finding: Finding, _view: View) -> Root:
    text = _("See what it is before ending anything")
    fix = safe("db.look", text, f"samaops explain {finding.code}")
    return Root(fixes=(fix,), verdict=Verdict.PROBABLE)


# Those of which the finding tells all: (code, cause, rank, runbook, what it produces)
_ROWS: tuple[tuple[str, str, Rank, str, tuple[str, ...]], ...] = (
    (
        "postgresql.connections.high",
        "postgresql-connections-exhausted",
        Rank.PART,
        "db-slow",
        (
            *_POOL_RUNS_DRY,
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
        (*_POOL_RUNS_DRY, "postgresql.xmin.pinned", "postgresql.tables.dead"),
    ),
    (
        "postgresql.prepared.old",
        "prepared-transaction-forgotten",
        Rank.PART,
        "db-slow",
        ("postgresql.xmin.pinned", "postgresql.tables.dead", "postgresql.locks.*"),
    ),
    (
        "postgresql.query.long",
        "long-query",
        Rank.WORK,
        "db-slow",
        (*_POOL_RUNS_DRY, "postgresql.temp.high", "postgresql.xmin.pinned"),
    ),
    ("postgresql.xid.age", "transaction-ids-near-wraparound", Rank.PART, "db-slow", ()),
    (
        "postgresql.tables.not_analyzed",
        "statistics-stale",
        Rank.CONSUMER,
        "db-slow",
        ("postgresql.query.long", "postgresql.cache.low"),
    ),
    ("postgresql.index.invalid", "invalid-index", Rank.REMAINDER, "db-slow", ()),
    ("pgbouncer.login.stuck", "pgbouncer-login-stuck", Rank.PART, "api-down", _POOL_RUNS_DRY),
    (
        "pgbouncer.pool.waiting",
        "pgbouncer-pool-exhausted",
        Rank.CONSUMER,
        "db-slow",
        (*_POOL_RUNS_DRY, "api.latency.*", "loadbalancer.vip.*"),
    ),
)
for code, cause_id, rank, runbook, patterns in _ROWS:
    root(cause_id, on=code, rank=rank, runbook=runbook, effects=codes(*patterns))(_look_first)


_SAME_WORDS = ("servers.log.trouble", "docker.log.trouble")


@root(
    "pgbouncer-login-stuck",
    on="pgbouncer.login.stuck",
    rank=Rank.STATE,
    runbook="api-down",
    effects=(*_POOL_HELD, *in_part(codes(*_SAME_WORDS))),
    distinguished_from=("pgbouncer-paused",),
)
def pgbouncer_login_refused(finding: Finding, view: View) -> Root | None:
    """PgBouncer's log says why it gets no connection; of a limit that is reached, what reached it is the cause."""
    reason = finding.evidence.get("reason")
    if finding.evidence.get("line") is None or reason == "limit":
        return None
    text = _("Put right what the log says, on the side that refuses; then let the pool try again at once")
    looks = {
        "rejected": as_superuser(view.site, "SELECT * FROM pg_hba_file_rules", "postgres"),
        "tls": console(view.site, "SHOW CONFIG"),
    }
    look = looks.get(str(reason), console(view.site, "SHOW DATABASES"))
    database = sql_name(str(finding.evidence.get("database") or "samaconso"))
    same = codes(*_SAME_WORDS, when=lambda log: log.evidence.get("reason") == reason)
    return Root(
        fixes=(safe("pool.login", text, look, console(view.site, f"RECONNECT {database}")),),
        effects=(*_POOL_HELD, *same),
    )


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


class _Mechanism(Struct, frozen=True):
    """What a setting produces when it is lower than the guide's value, or when it is another one."""

    setting: str
    symptoms: tuple[str, ...]
    is_worse_lower: bool = True


_MECHANISMS = (
    _Mechanism("default_pool_size", _POOL_RUNS_DRY),
    _Mechanism("reserve_pool_size", _POOL_RUNS_DRY),
    _Mechanism("query_wait_timeout", ("pgbouncer.query.failed",)),
    _Mechanism("max_client_conn", ("pgbouncer.clients.high", "pgbouncer.query.failed")),
    _Mechanism("pool_mode", _POOL_RUNS_DRY, is_worse_lower=False),
    _Mechanism(
        "max_connections",
        ("postgresql.connections.high", "pgbouncer.pool.oversized", "pgbouncer.login.stuck"),
    ),
    _Mechanism("work_mem", ("postgresql.temp.high",)),
    _Mechanism("shared_buffers", ("postgresql.cache.low",)),
)
# Where one of these is found, it holds the sessions, whatever the settings are.
_HOLDERS = (
    "postgresql.locks.*",
    "postgresql.transaction.idle",
    "postgresql.service.unreachable",
    "pgbouncer.pool.paused",
    "pgbouncer.database.disabled",
)


@root(
    "setting-differs",
    on=each("pgbouncer.settings.different", "postgresql.settings.different"),
    rank=Rank.STATE,
    runbook="db-slow",
    effects=codes(*dict.fromkeys(symptom for mechanism in _MECHANISMS for symptom in mechanism.symptoms)),
)
def setting_differs(finding: Finding, view: View) -> Iterator[Root]:
    """A setting is not the guide's, and what is seen is what it does."""
    if any(view.not_ok(code) for code in _HOLDERS):
        return
    different = finding.evidence.get("different") or {}
    for mechanism in _MECHANISMS:
        name = next((name for name in different if name.rpartition(".")[2] == mechanism.setting), None)
        seen = [symptom for code in mechanism.symptoms for symptom in view.bad(code)]
        if name is None or not seen or not _is_worse(mechanism, different[name]):
            continue
        actual, expected = (str(different[name].get(key)) for key in ("actual", "expected"))
        title = _("{name} is {actual} in place of the guide's {expected}: {symptom}")
        text = _("Ask who set it and why; put the guide's value back and load it again")
        look = (
            console(view.site, "SHOW CONFIG")
            if finding.system == "pgbouncer"
            else direct(view.site, f"SHOW {name}")
        )
        yield Root(
            title.format(name=name, actual=actual, expected=expected, symptom=seen[0].title),
            (safe("setting.look", text, look),),
            Verdict.PROBABLE,
            speaks_for=(words_of(finding), *(symptom.title for symptom in seen)),
            effects=codes(*mechanism.symptoms),
        )
        return


def _is_worse(mechanism: _Mechanism, values: Mapping[str, object]) -> bool:
    actual, expected = (_quantity(str(values.get(key))) for key in ("actual", "expected"))
    return not mechanism.is_worse_lower or (actual is not None and expected is not None and actual < expected)


def _quantity(text: str) -> float | None:
    """Return a number with PostgreSQL's units of sizes; None when it is none."""
    match = re.fullmatch(r"(\d+)\s*([kMGT]?)B?", text.strip())
    return None if match is None else float(match[1]) * 1024 ** " kMGT".index(match[2] or " ")
