"""Judge what PostgreSQL's sessions do: long queries, idle transactions, waits, what holds old rows back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from samaops.checks.registry import Context, Explanation, check
from samaops.facts.postgresql import Holder, PostgresFacts, Session
from samaops.i18n import N_, _
from samaops.model.finding import Finding
from samaops.site.commands import PSQL, direct

SHOWN = 5
ONE_SESSION = "SELECT pid, usename, application_name, state, xact_start, wait_event, query FROM pg_stat_activity WHERE pid = {pid}"


def _session(session: Session) -> dict[str, Any]:
    return {
        "pid": session.pid,
        "user": session.user,
        "database": session.database,
        "application": session.application,
        "client": session.client,
        "state": session.state,
        "wait": session.wait,
        "query_seconds": session.query_seconds,
        "transaction_seconds": session.transaction_seconds,
        "state_seconds": session.state_seconds,
        "query": session.query,
    }


def _hint(context: Context, value: float, pid: int) -> dict[str, str]:
    is_bad = context.warning is not None and value >= context.warning
    return {"hint": direct(context.site, ONE_SESSION.format(pid=pid))} if is_bad else {}


@check(
    "postgresql.query.long",
    title=N_("Longest running query"),
    facts=PostgresFacts,
    needs=("activity",),
    warning=60,
    critical=300,  # the guide ends queries after 5 minutes
    unit="s",
    explain=Explanation(
        meaning=N_(
            "A client's query runs for minutes. Dumps, base backups, replication and autovacuum are left out: "
            "they run long by nature."
        ),
        confirm=(
            PSQL.format("SELECT pid, now() - query_start, wait_event, left(query, 80) FROM pg_stat_activity WHERE state = 'active' AND backend_type = 'client backend' ORDER BY 2 DESC"),
        ),
        fix=N_("See whether it waits for a lock; then ask its owner; then pg_cancel_backend(pid) for this one pid."),
        avoid=N_("Do not end every query older than 5 minutes: the backup is one of them."),
    ),
)  # fmt: skip
def long_query(facts: PostgresFacts, context: Context) -> Iterator[Finding]:
    assert facts.activity is not None
    if not facts.activity.longest_queries:
        yield context.ok(_("No query is running"), value=0, evidence={"active": facts.activity.active})
        return
    longest = facts.activity.longest_queries[0]
    seconds = longest.query_seconds or 0
    shown = facts.activity.longest_queries[:SHOWN]
    yield context.above(
        seconds,
        _("The longest query runs for {seconds:.0f} s: pid {pid} of {user}").format(
            seconds=seconds, pid=longest.pid, user=longest.user
        ),
        detail=longest.query,
        evidence={
            **_session(longest),
            "active": facts.activity.active,
            "longest": [_session(one) for one in shown],
        },
        **_hint(context, seconds, longest.pid),
    )


@check(
    "postgresql.transaction.idle",
    title=N_("Longest idle transaction"),
    facts=PostgresFacts,
    needs=("activity",),
    warning=60,
    critical=300,
    unit="s",
    explain=Explanation(
        meaning=N_(
            "A session has begun a transaction and does nothing in it: it keeps its locks, its connection of the pool, "
            "and every old row version. Often the application waits for another system (ODBC, FCM) inside it."
        ),
        confirm=(
            PSQL.format("SELECT pid, application_name, now() - state_change, left(query, 80) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%' ORDER BY 3 DESC"),
        ),
        fix=N_(
            "Look at what its application waits for and repair that. Else pg_terminate_backend(pid) for this one pid "
            "(cancel does nothing here); then set idle_in_transaction_session_timeout."
        ),
        avoid=N_("Do not restart PostgreSQL for one session."),
    ),
)  # fmt: skip
def idle_transaction(facts: PostgresFacts, context: Context) -> Iterator[Finding]:
    assert facts.activity is not None
    if not facts.activity.idle_in_transaction:
        yield context.ok(_("No transaction is idle"), value=0)
        return
    longest = facts.activity.idle_in_transaction[0]
    seconds = longest.state_seconds or 0
    shown = facts.activity.idle_in_transaction[:SHOWN]
    applications = Counter(one.application for one in facts.activity.idle_in_transaction)
    yield context.above(
        seconds,
        _("A transaction is idle for {seconds:.0f} s: pid {pid} of {user}, {application}").format(
            seconds=seconds, pid=longest.pid, user=longest.user, application=longest.application or "?"
        ),
        detail=longest.query,
        evidence={
            **_session(longest),
            "count": facts.activity.idle_in_transaction_count,
            "by_application": dict(applications),
            "longest": [_session(one) for one in shown],
        },
        **_hint(context, seconds, longest.pid),
    )


@check(
    "postgresql.sessions.waiting",
    title=N_("Active sessions held up in the server"),
    facts=PostgresFacts,
    needs=("activity",),
    # The guide's database server has 4 cores: more than a few held-up sessions is a queue. General experience.
    warning=8,
    critical=32,
    unit="sessions",
    explain=Explanation(
        meaning=N_(
            "Active sessions wait inside the server. Lock: for each other; IO: for the disk; LWLock, BufferPin: for "
            "shared memory; IPC: for another process."
        ),
        confirm=(
            PSQL.format("SELECT wait_event_type, wait_event, count(*) FROM pg_stat_activity WHERE state = 'active' GROUP BY 1, 2 ORDER BY 3 DESC"),
        ),
        fix=N_("Lock: see postgresql.locks.chain. IO: see load and disk of the server, and who reads or writes most."),
        avoid=N_("Do not raise the pool's size: more sessions would wait."),
    ),
)  # fmt: skip
def waiting_sessions(facts: PostgresFacts, context: Context) -> Iterator[Finding]:
    assert facts.activity is not None
    count = sum(facts.activity.waiting.values())
    by_type: Counter[str] = Counter()
    for wait, sessions in facts.activity.waiting.items():
        by_type[wait.partition(":")[0]] += sessions
    most = ", ".join(f"{name} {sessions}" for name, sessions in by_type.most_common())
    yield context.above(
        count,
        _("{count} active sessions wait in the server ({most})").format(count=count, most=most)
        if count
        else _("No active session waits in the server"),
        evidence={
            "by_type": dict(by_type),
            "by_event": facts.activity.waiting,
            "active": facts.activity.active,
        },
    )


@check(
    "postgresql.xmin.pinned",
    title=N_("Old row versions that cannot be removed"),
    facts=PostgresFacts,
    needs=("activity", "prepared", "slots", "standbys"),
    # In transactions. A million is more than an hour of this application; from a half of the default
    # autovacuum_freeze_max_age (200 million) on, freezing itself is held up.
    warning=1_000_000,
    critical=100_000_000,
    unit="transactions",
    explain=Explanation(
        meaning=N_(
            "Something old still needs row versions that everybody else has forgotten: vacuum cannot remove them, "
            "tables grow and all queries become slower."
        ),
        confirm=(
            PSQL.format("SELECT pid, age(backend_xmin), state, left(query, 60) FROM pg_stat_activity WHERE backend_xmin IS NOT NULL ORDER BY 2 DESC"),
            PSQL.format("SELECT slot_name, active, age(xmin), age(catalog_xmin) FROM pg_replication_slots"),
            PSQL.format("SELECT gid, age(transaction) FROM pg_prepared_xacts"),
        ),
        fix=N_("End what holds it: the idle transaction, the forgotten prepared transaction, the unused slot."),
        avoid=N_("Do not VACUUM FULL: as long as it is held, nothing can be removed."),
    ),
)  # fmt: skip
def pinned(facts: PostgresFacts, context: Context) -> Iterator[Finding]:
    holders = sorted(_holders(facts), key=lambda holder: -holder.xmin_age)
    if not holders:
        yield context.ok(_("Nothing holds old row versions back"), value=0)
        return
    oldest = holders[0]
    evidence = [{"kind": one.kind, "name": one.name, "xmin_age": one.xmin_age} for one in holders[:SHOWN]]
    yield context.above(
        oldest.xmin_age,
        _("Row versions of the last {age} transactions are held back, by {kind} {name}").format(
            age=oldest.xmin_age, kind=oldest.kind, name=oldest.name
        ),
        evidence={"kind": oldest.kind, "name": oldest.name, "xmin_age": oldest.xmin_age, "holders": evidence},
    )


def _holders(facts: PostgresFacts) -> Iterator[Holder]:
    yield from facts.activity.holders if facts.activity else ()
    for prepared in facts.prepared or ():
        yield Holder("prepared transaction", prepared.gid, prepared.xid_age)
    for slot in facts.slots or ():
        if slot.xmin_age is not None:
            yield Holder("replication slot", slot.name, slot.xmin_age)
    for standby in facts.standbys or ():
        if standby.xmin_age is not None:
            yield Holder("standby", standby.name, standby.xmin_age)


@check(
    "postgresql.prepared.old",
    title=N_("Prepared transactions"),
    facts=PostgresFacts,
    needs=("prepared",),
    warning=60,
    critical=3600,
    unit="s",
    explain=Explanation(
        meaning=N_(
            "A prepared transaction was never ended: it keeps its locks and old rows, over restarts too. This "
            "application uses none, so somebody's tool has left it."
        ),
        confirm=(PSQL.format("SELECT gid, owner, database, prepared FROM pg_prepared_xacts"),),
        fix=N_("Ask the owner; then ROLLBACK PREPARED 'gid' or COMMIT PREPARED 'gid', in its own database."),
        avoid=N_("Do not restart: it survives that."),
    ),
)
def prepared(facts: PostgresFacts, context: Context) -> Iterator[Finding]:
    assert facts.prepared is not None
    if not facts.prepared:
        yield context.ok(_("No prepared transaction is open"), value=0)
        return
    oldest = max(facts.prepared, key=lambda one: one.seconds)
    transactions = [
        {"gid": one.gid, "owner": one.owner, "database": one.database, "seconds": round(one.seconds)}
        for one in facts.prepared[:SHOWN]
    ]
    is_bad = context.warning is not None and oldest.seconds >= context.warning
    yield context.above(
        round(oldest.seconds, 1),
        _("Prepared transaction {gid} is open for {seconds:.0f} s").format(
            gid=oldest.gid, seconds=oldest.seconds
        ),
        evidence={"gid": oldest.gid, "count": len(facts.prepared), "transactions": transactions},
        **({"hint": direct(context.site, "SELECT * FROM pg_prepared_xacts")} if is_bad else {}),
    )
