"""Judge what PostgreSQL's sessions do: long queries, idle transactions, waits, what holds old rows back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from samaops.checks.registry import Context, Evidence, check
from samaops.facts.postgresql import Holder, PostgresFacts, Prepared, Session
from samaops.i18n import _
from samaops.model.finding import Finding
from samaops.site.commands import direct, samaops

SHOWN = 5
ONE_SESSION = "SELECT pid, usename, application_name, state, xact_start, wait_event, query FROM pg_stat_activity WHERE pid = {pid}"


def _session(session: Session) -> Evidence:
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


def _look_at(session: Session, context: Context) -> str:
    return direct(context.site, ONE_SESSION.format(pid=session.pid))


@check(
    "postgresql.query.long",
    PostgresFacts,
    needs=("activity",),
    warning=60,
    critical=300,  # the guide ends queries after 5 minutes
    unit="s",
)
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
            "longest": [_session(session) for session in shown],
        },
        hint=_look_at(longest, context),
    )


@check("postgresql.transaction.idle", PostgresFacts, needs=("activity",), warning=60, critical=300, unit="s")
def idle_transaction(facts: PostgresFacts, context: Context) -> Iterator[Finding]:
    assert facts.activity is not None
    if not facts.activity.idle_in_transaction:
        yield context.ok(_("No transaction is idle"), value=0)
        return
    longest = facts.activity.idle_in_transaction[0]
    seconds = longest.state_seconds or 0
    shown = facts.activity.idle_in_transaction[:SHOWN]
    applications = Counter(session.application for session in facts.activity.idle_in_transaction)
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
            "longest": [_session(session) for session in shown],
        },
        hint=_look_at(longest, context),
    )


@check(
    "postgresql.sessions.waiting",
    PostgresFacts,
    needs=("activity",),
    # The guide's database server has 4 cores: more than a few held-up sessions is a queue. General experience.
    warning=8,
    critical=32,
    unit="sessions",
)
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
    PostgresFacts,
    needs=("activity", "prepared", "slots", "standbys"),
    # In transactions. A million is more than an hour of this application; from a half of the default
    # autovacuum_freeze_max_age (200 million) on, freezing itself is held up.
    warning=1_000_000,
    critical=100_000_000,
    unit="transactions",
)
def pinned(facts: PostgresFacts, context: Context) -> Iterator[Finding]:
    yield context.worst(
        holders(facts),
        by=lambda holder: holder.xmin_age,
        title=lambda holder: _(
            "Row versions of the last {age} transactions are held back, by {kind} {name}"
        ).format(age=holder.xmin_age, kind=holder.kind, name=holder.name),
        evidence=lambda holders: {
            **_holder(holders[0]),
            "holders": [_holder(holder) for holder in holders[:SHOWN]],
        },
        none=_("Nothing holds old row versions back"),
    )


def _holder(holder: Holder) -> Evidence:
    return {"kind": holder.kind, "name": holder.name, "xmin_age": holder.xmin_age}


def holders(facts: PostgresFacts) -> Iterator[Holder]:
    """Yield who keeps old row versions: sessions, prepared transactions, slots, standbys."""
    yield from facts.activity.holders if facts.activity else ()
    for prepared in facts.prepared or ():
        yield Holder("prepared transaction", prepared.gid, prepared.xid_age, prepared.seconds)
    for slot in facts.slots or ():
        if slot.xmin_age is not None:
            yield Holder("replication slot", slot.name, slot.xmin_age)
    for standby in facts.standbys or ():
        if standby.xmin_age is not None:
            yield Holder("standby", standby.name, standby.xmin_age)


@check("postgresql.prepared.old", PostgresFacts, needs=("prepared",), warning=60, critical=3600, unit="s")
def prepared(facts: PostgresFacts, context: Context) -> Iterator[Finding]:
    yield context.worst(
        facts.prepared or (),
        by=lambda transaction: round(transaction.seconds, 1),
        title=lambda transaction: _("Prepared transaction {gid} is open for {seconds:.0f} s").format(
            gid=transaction.gid, seconds=transaction.seconds
        ),
        evidence=lambda transactions: {
            "gid": transactions[0].gid,
            "count": len(transactions),
            "transactions": [_transaction(transaction) for transaction in transactions[:SHOWN]],
        },
        none=_("No prepared transaction is open"),
        hint=samaops(context.site, "db xmin"),
    )


def _transaction(transaction: Prepared) -> Evidence:
    return {
        "gid": transaction.gid,
        "owner": transaction.owner,
        "database": transaction.database,
        "seconds": round(transaction.seconds),
    }
