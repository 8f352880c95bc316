"""Roots in what PostgreSQL has to do: one statement of many, an index or statistics that are missing, tables uncleaned."""

from __future__ import annotations

from msgspec.structs import replace

from samaops.causes.effects import Effects, codes, in_part
from samaops.causes.root import Rank, Root, disruptive, each, look_first, root, safe, words_of
from samaops.causes.topology import POOL_RUNS_DRY
from samaops.causes.view import View
from samaops.i18n import _
from samaops.model.cause import Fix, Verdict
from samaops.model.finding import Finding
from samaops.site.commands import direct, samaops
from samaops.site.shell_words import operands

_SLOW: Effects = codes(
    *POOL_RUNS_DRY,
    "postgresql.query.crowd",
    "postgresql.query.long",
    "postgresql.sessions.waiting",
    "postgresql.latency.high",
    "postgresql.connections.high",
    "postgresql.cache.low",
    "api.latency.*",
    "loadbalancer.vip.*",
)


# Above this a call is not cheap, whatever makes it so: the guide logs statements from 500 ms on.
_CHEAP_MS = 500.0


@root(
    "index-missing",
    "statistics-stale",
    on="postgresql.query.crowd",
    rank=Rank.WORK,
    runbook="db-slow",
    effects=(*_SLOW, *in_part(codes("postgresql.tables.not_analyzed"))),
    distinguished_from=("query-storm",),
)
def index_missing(finding: Finding, view: View) -> Root | None:
    """Each call of the statement reads a large table row by row; with wrong statistics, though an index is there."""
    table = finding.evidence.get("scanned")
    if not table:
        return None
    stale = [known for known in view.bad("postgresql.tables.not_analyzed") if _is_about(known, table)]
    if stale:
        text = _("Analyse {table}: it takes a sample, and stops nobody").format(table=table)
        fix = safe("db.analyze", text, samaops(view.site, f"db analyze {operands(str(table))}"))
        effects = codes("postgresql.tables.not_analyzed", when=lambda known: _is_about(known, table))
        return Root(
            stale[0].title,
            (fix,),
            Verdict.PROBABLE,
            speaks_for=(words_of(finding), stale[0].title),
            id="statistics-stale",
            triggers=(*stale, finding),
            effects=(*_SLOW, *effects),
        )
    title = _("{table} is read row by row for each call of one statement: an index is missing, or not used")
    text = _("See its plan and which index it lacks; samaops db index create builds it beside the writes")
    looks = (samaops(view.site, words) for words in ("db slow --over 10", "db indexes"))
    return Root(title.format(table=table), (safe("db.index", text, *looks),), Verdict.PROBABLE, effects=_SLOW)


def _is_about(finding: Finding, table: object) -> bool:
    return bool(finding.evidence.get("relation") == table)


@root(
    "query-storm",
    on="postgresql.query.crowd",
    rank=Rank.WORK,
    runbook="db-slow",
    effects=_SLOW,
    distinguished_from=("index-missing",),
)
def query_storm(finding: Finding, view: View) -> Root | None:
    """One statement comes more often than the server can answer, and each call is cheap."""
    calls, ms = finding.evidence.get("calls_per_second"), finding.evidence.get("mean_ms")
    is_costly = calls is not None and (not calls or not isinstance(ms, (int, float)) or ms > _CHEAP_MS)
    if finding.evidence.get("scanned") or is_costly:
        return None
    applications = ", ".join(finding.evidence.get("applications") or ())
    text = _(
        "Ask {application} why it sends it so often (a loop, a retry without a pause, a cache that is empty)"
    )
    look = samaops(view.site, "db activity --state active")
    is_known = calls is not None
    return Root(
        fixes=(safe("db.storm", text.format(application=applications or "?"), look),),
        verdict=Verdict.CONFIRMED if is_known else Verdict.PROBABLE,
        speaks_for=(finding.title, words_of(finding)),
    )


@root(
    "application-holds-transactions",
    on="postgresql.transaction.held",
    rank=Rank.PART,
    runbook="db-slow",
    effects=codes(*POOL_RUNS_DRY, "postgresql.transaction.idle", "api.latency.*", "loadbalancer.vip.*"),
    distinguished_from=("idle-in-transaction", "pgbouncer-pool-exhausted"),
)
def application_holds_transactions(finding: Finding, view: View) -> Root:
    """The application has its transactions open while it waits for something else: SQL Server, FCM, a file."""
    elsewhere = tuple(
        known.title for code in ("sqlserver.*", "firebase.*", "proxy.*") for known in view.bad(code)
    )
    application = finding.evidence.get("application") or "?"
    text = _(
        "Repair what {application} waits for; end no session first. Then let it commit before it asks anybody else"
    )
    look = samaops(view.site, "db activity --state 'idle in transaction'")
    return Root(
        fixes=(safe("db.held", text.format(application=application), look),),
        verdict=Verdict.CONFIRMED if elsewhere else Verdict.PROBABLE,
        speaks_for=(words_of(finding), *elsewhere),
    )


_KEPT: Effects = codes(
    "postgresql.tables.dead",
    "postgresql.tables.bloated",
    "postgresql.xmin.pinned",
    "postgresql.transaction.idle",
    "postgresql.query.long",
    "postgresql.prepared.old",
)


@root(
    "idle-in-transaction",
    "long-query",
    "prepared-transaction-forgotten",
    on="postgresql.vacuum.held",
    rank=Rank.PART,
    runbook="db-slow",
    effects=_KEPT,
)
def cleaning_held(finding: Finding, view: View) -> Root | None:
    """A session still sees the rows that a vacuum would remove, or a transaction that has none any more."""
    kind, state = finding.evidence.get("kind"), str(finding.evidence.get("state"))
    if kind == "client backend":
        name = "idle-in-transaction" if state.startswith("idle in transaction") else "long-query"
    elif kind == "prepared transaction":
        name = "prepared-transaction-forgotten"
    else:
        return None
    return Root(fixes=(_ask_holder(finding, view),), id=name)


@root(
    "cleaning-held-by-replica",
    on="postgresql.vacuum.held",
    rank=Rank.PART,
    runbook="db-slow",
    effects=_KEPT,
)
def cleaning_held_by_replica(finding: Finding, view: View) -> Root | None:
    """A slot or a standby does; since when a slot does nobody knows."""
    if finding.evidence.get("kind") in ("client backend", "prepared transaction"):
        return None
    return Root(fixes=(_ask_holder(finding, view),), verdict=Verdict.PROBABLE)


def _ask_holder(finding: Finding, view: View) -> Fix:
    text = _("Ask whose {kind} {name} is; once it ends, the next vacuum removes the rows")
    words = {key: finding.evidence.get(key) for key in ("kind", "name")}
    return safe("db.holder", text.format(**words), samaops(view.site, "db xmin"))


@root(
    "autovacuum-off",
    on="postgresql.autovacuum.off",
    rank=Rank.STATE,
    runbook="db-slow",
    effects=codes(
        "postgresql.tables.*", "postgresql.xid.age", "postgresql.query.long", "postgresql.cache.low"
    ),
    distinguished_from=("vacuum-due",),
)
def autovacuum_off(finding: Finding, view: View) -> Root:
    """Somebody told autovacuum to leave the tables alone."""
    if finding.evidence.get("setting"):
        text = _("Ask who switched it off; switch it on again, then vacuum what needs it first")
        on, off = (samaops(view.site, f"db set autovacuum {value}") for value in ("on", "off"))
        return Root(fixes=(safe("db.autovacuum", text, on, undo=off),))
    relation = str(finding.evidence.get("relation"))
    text = _("Ask who told it to leave {relation} alone; take the option back, or vacuum it by plan")
    look = direct(view.site, "SELECT oid::regclass, reloptions FROM pg_class WHERE reloptions IS NOT NULL")
    only = codes("postgresql.tables.*", when=lambda table: table.evidence.get("relation") == relation)
    return Root(fixes=(safe("db.autovacuum", text.format(relation=relation), look),), effects=only)


@root(
    "autovacuum-starved",
    on="postgresql.autovacuum.busy",
    rank=Rank.WORK,
    runbook="db-slow",
    effects=codes("postgresql.tables.dead", "postgresql.tables.not_analyzed"),
    distinguished_from=("vacuum-due",),
)
def autovacuum_starved(finding: Finding, view: View) -> Root:
    """There is more to clean than its workers can do."""
    text = _(
        "See on what they work; vacuum {relation} by hand, and give them a higher cost limit rather than more workers"
    )
    relation = str(finding.evidence.get("relation"))
    do = [samaops(view.site, words) for words in ("db progress", f"db vacuum {operands(relation)}")]
    return Root(fixes=(safe("db.workers", text.format(relation=relation), *do),))


@root("vacuum-due", on="postgresql.tables.dead", rank=Rank.CONSUMER, runbook="db-slow")
def vacuum_due(finding: Finding, view: View) -> Root:
    """A table is full of dead rows, and nothing is seen that keeps vacuum from it."""
    relation = str(finding.evidence.get("relation"))
    text = _("Vacuum {relation}: straight on PostgreSQL's own port, when little is written")
    do = samaops(view.site, f"db vacuum {operands(relation)}")
    return Root(fixes=(safe("db.vacuum", text.format(relation=relation), do),), verdict=Verdict.PROBABLE)


@root(
    "table-bloated",
    on="postgresql.tables.bloated",
    rank=Rank.CONSUMER,
    runbook="db-slow",
    effects=codes("postgresql.cache.low", "postgresql.query.long"),
    distinguished_from=("vacuum-due",),
)
def table_bloated(finding: Finding, _view: View) -> Root:
    """Its rows were removed, and their place is still read."""
    return replace(look_first(finding), speaks_for=(words_of(finding),))


@root(
    "checkpoints-on-request",
    on="postgresql.checkpoints.requested",
    rank=Rank.CONSUMER,
    runbook="db-slow",
    effects=codes("postgresql.latency.high", "postgresql.sessions.waiting"),
)
def checkpoints_on_request(finding: Finding, view: View) -> Root:
    """Each writes all that is dirty at once, in place of a little at a time."""
    text = _("See what writes so much or asks for them (a load, a backup, a script); then raise max_wal_size")
    look = direct(view.site, "SELECT checkpoints_timed, checkpoints_req, stats_reset FROM pg_stat_bgwriter")
    waits = view.bad("postgresql.sessions.waiting")
    return Root(
        fixes=(safe("db.checkpoints", text, look),),
        verdict=Verdict.CONFIRMED if waits else Verdict.PROBABLE,
        speaks_for=(words_of(finding), *(wait.title for wait in waits)),
    )


@root(
    "prepared-statements-in-pool",
    on=each("servers.log.trouble", "docker.log.trouble"),
    rank=Rank.PART,
    runbook="db-slow",
    effects=codes(
        "servers.log.trouble",
        "docker.log.trouble",
        "celery.tasks.failing",
        when=lambda known: (
            "prepared statement" in str(known.evidence) or known.evidence.get("reason") == "prepared"
        ),
    ),
)
def prepared_statements_in_pool(finding: Finding, view: View) -> Root | None:
    """A driver keeps prepared statements, and the pool gives it another connection for each transaction."""
    if finding.evidence.get("reason") != "prepared":
        return None
    text = _(
        "Switch the driver's prepared statements off (prepare_threshold=None, statement_cache_size=0), or use"
        " PgBouncer 1.21 or newer with max_prepared_statements; never set pool_mode to session for it"
    )
    return Root(fixes=(disruptive("pool.prepared", text, direct(view.site, "SELECT version()")),))
