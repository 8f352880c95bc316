"""Roots inside PostgreSQL and PgBouncer while both serve."""

from __future__ import annotations

from collections.abc import Iterator

from samaops.causes.candidate import Candidate, Matcher, View, any_of, codes
from samaops.causes.topology import effects_on_dependents
from samaops.i18n import _
from samaops.model.cause import Fix, Verdict
from samaops.model.finding import Finding
from samaops.model.plan import Risk
from samaops.site.commands import as_superuser, console, sql_name, whole_number

_POOL_SUFFERS = ("pgbouncer.pool.waiting", "pgbouncer.pool.saturated", "pgbouncer.query.failed")
_SESSIONS_SUFFER = (
    "postgresql.query.long",
    "postgresql.sessions.waiting",
    "postgresql.connections.high",
    "postgresql.xmin.pinned",
    "postgresql.latency.high",
)


def candidates(view: View) -> Iterator[Candidate]:
    """Yield what is wrong in the database and its pool."""
    yield from _pool_held(view)
    yield from _lock_chain(view)
    yield from _plain(view)


def _pool_held(view: View) -> Iterator[Candidate]:
    for code, cause_id, verb, inverse in (
        ("pgbouncer.pool.paused", "pgbouncer-paused", "RESUME", "PAUSE"),
        ("pgbouncer.database.disabled", "pgbouncer-database-disabled", "ENABLE", "DISABLE"),
    ):
        for finding in view.bad(code):
            # A PAUSE of everything is taken back by a RESUME of everything.
            name = sql_name(str(finding.evidence.get("database") or "samaconso"))
            database = "" if finding.evidence.get("all") else f" {name}"
            yield Candidate(
                id=cause_id,
                rank=5,
                runbook="api-down",
                subject=finding.subject,
                title=finding.title,
                triggers=(finding,),
                effects=any_of(
                    codes(*_POOL_SUFFERS, "pgbouncer.login.stuck"), effects_on_dependents("pgbouncer")
                ),
                speaks_for=(
                    finding.detail or finding.title,
                    *(
                        _("PostgreSQL itself answers")
                        for _one in view.ok("postgresql.service.unreachable")[:1]
                    ),
                ),
                # Before 1.19 no list shows a PAUSE of everything; a log-in that fails looks the same from outside.
                verdict=Verdict.PROBABLE if finding.evidence.get("inferred") else Verdict.CONFIRMED,
                fixes=(
                    Fix(
                        f"pool.{verb.lower()}",
                        Risk.SAFE,
                        _(
                            "Let it serve again; if it says that nothing is paused, its log says why it cannot log in"
                        )
                        if finding.evidence.get("inferred")
                        else _("Let it serve again; no restart is needed"),
                        (console(view.site, f"{verb}{database}"),),
                        (console(view.site, f"{inverse}{database}"),),
                    ),
                ),
            )


def _lock_chain(view: View) -> Iterator[Candidate]:
    effects = any_of(
        codes("postgresql.locks.*", "postgresql.transaction.idle", *_SESSIONS_SUFFER, *_POOL_SUFFERS),
        effects_on_dependents("pgbouncer"),
    )
    for finding in view.bad("postgresql.locks.ddl_queue"):
        pid = finding.evidence.get("pid") or finding.evidence.get("ddl_pid")
        fix = Fix(
            "db.cancel",
            Risk.DISRUPTIVE,
            _("Cancel the waiting DDL (pid {pid}), not the reader before it").format(pid=pid),
            (as_superuser(view.site, f"SELECT pg_cancel_backend({whole_number(pid, 'PID')})"),),
        )
        yield _chain(finding, "ddl-behind-long-read", effects, (fix,))
    for finding in view.bad("postgresql.locks.chain"):
        yield _chain(finding, "lock-chain", effects, (_release(view, finding),))


def _release(view: View, finding: Finding) -> Fix:
    pid = finding.evidence.get("root_pid")
    if finding.evidence.get("root_state") == "idle in transaction":
        title = _(
            "Ask the owner of session {pid}; it is idle in its transaction, cancel does nothing: terminate it"
        )
        sql = f"SELECT pg_terminate_backend({whole_number(pid, 'PID')})"
    else:
        title = _("Ask the owner of session {pid}, then cancel its query")
        sql = f"SELECT pg_cancel_backend({whole_number(pid, 'PID')})"
    return Fix("db.terminate", Risk.DISRUPTIVE, title.format(pid=pid), (as_superuser(view.site, sql),))


def _chain(finding: Finding, cause_id: str, effects: Matcher, fixes: tuple[Fix, ...]) -> Candidate:
    return Candidate(
        id=cause_id,
        rank=5,
        runbook="db-slow",
        subject=finding.subject,
        title=finding.title,
        triggers=(finding,),
        effects=effects,
        speaks_for=(finding.detail or finding.title,),
        fixes=fixes,
    )


# code -> (cause id, rank, runbook, further effects)
_PLAIN: tuple[tuple[str, str, int, str, tuple[str, ...]], ...] = (
    (
        "postgresql.connections.high",
        "postgresql-connections-exhausted",
        6,
        "db-slow",
        ("pgbouncer.*", "postgresql.*"),
    ),
    (
        "postgresql.transaction.idle",
        "idle-in-transaction",
        6,
        "db-slow",
        (*_POOL_SUFFERS, "postgresql.xmin.pinned", "postgresql.tables.dead"),
    ),
    (
        "postgresql.prepared.old",
        "prepared-transaction-forgotten",
        6,
        "db-slow",
        ("postgresql.xmin.pinned", "postgresql.tables.dead", "postgresql.locks.*"),
    ),
    (
        "postgresql.query.long",
        "long-query",
        7,
        "db-slow",
        (*_POOL_SUFFERS, "postgresql.temp.high", "postgresql.xmin.pinned"),
    ),
    ("postgresql.xid.age", "transaction-ids-near-wraparound", 6, "db-slow", ()),
    (
        "postgresql.tables.not_analyzed",
        "statistics-stale",
        8,
        "db-slow",
        ("postgresql.query.long", "postgresql.cache.low"),
    ),
    ("postgresql.index.invalid", "invalid-index", 9, "db-slow", ()),
    ("pgbouncer.login.stuck", "pgbouncer-login-stuck", 6, "api-down", (*_POOL_SUFFERS,)),
    (
        "pgbouncer.pool.waiting",
        "pgbouncer-pool-exhausted",
        8,
        "db-slow",
        (*_POOL_SUFFERS, "api.latency.*", "loadbalancer.vip.*"),
    ),
)


def _plain(view: View) -> Iterator[Candidate]:
    for code, cause_id, rank, runbook, effects in _PLAIN:
        for finding in view.bad(code):
            yield Candidate(
                id=cause_id,
                rank=rank,
                runbook=runbook,
                subject=finding.subject,
                title=finding.title,
                triggers=(finding,),
                effects=codes(*effects),
                verdict=Verdict.PROBABLE,
                speaks_for=(finding.detail or finding.title,),
                fixes=(
                    Fix(
                        "db.look",
                        Risk.SAFE,
                        _("See what it is before ending anything"),
                        (f"samaops explain {code}",),
                    ),
                ),
            )
