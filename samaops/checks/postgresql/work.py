"""Judge what work the sessions do together: one statement of many, transactions that wait for their clients."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from samaops.checks.postgresql.tables import LEAST_ROWS
from samaops.checks.registry import Context, Evidence, check
from samaops.facts.postgresql import PostgresFacts, Rates
from samaops.i18n import _, joined, ngettext
from samaops.model.finding import Finding
from samaops.site.commands import samaops

# An application that works on its transaction sends the next statement within milliseconds.
IDLE_SECONDS = 1.0


@check(
    "postgresql.query.crowd",
    PostgresFacts,
    needs=("activity",),
    # As of sessions that wait: the guide's database server has 4 cores. General experience.
    warning=8,
    critical=32,
    unit="sessions",
)
def crowd(facts: PostgresFacts, context: Context) -> Iterator[Finding]:
    assert facts.activity is not None
    seen = facts.activity.crowd
    if seen is None or 2 * seen.sessions < facts.activity.active:
        yield context.ok(_("No statement occupies most sessions"), value=seen.sessions if seen else 0)
        return
    rates = facts.rates
    yield context.above(
        seen.sessions,
        ngettext(
            "{count} of {active} active session works on one statement",
            "{count} of {active} active sessions work on one statement",
            seen.sessions,
        ).format(count=seen.sessions, active=facts.activity.active),
        detail=joined((*(_costs(rates) if rates else ()), seen.query)),
        evidence={
            "query": seen.query,
            "query_id": str(seen.query_id),  # JSON readers round a number of that size
            "applications": seen.applications,
            **(_rates(rates) if rates else {}),
        },
        hint=samaops(context.site, "db slow --over 10"),
    )


def _costs(rates: Rates) -> Iterator[str]:
    if rates.calls:
        yield _("{calls:.0f} calls a second of {ms:.1f} ms each").format(
            calls=rates.calls / rates.seconds, ms=rates.milliseconds / rates.calls
        )
    for scan in rates.scans[:1]:
        if _is_scanned(rates):
            text = _("{rows:.0f} rows a second of {relation} are read one after the other")
            yield text.format(rows=scan.rows_read / rates.seconds, relation=scan.relation)


def _is_scanned(rates: Rates) -> bool:
    """Return whether a large table is read in large parts for each call; a call that runs has not been counted yet."""
    return bool(rates.scans) and rates.scans[0].rows_read >= LEAST_ROWS * max(1, rates.calls) / 2


def _rates(rates: Rates) -> Evidence:
    return {
        "seconds": rates.seconds,
        "calls_per_second": round(rates.calls / rates.seconds, 1),
        "mean_ms": round(rates.milliseconds / rates.calls, 2) if rates.calls else None,
        "rows_per_call": round(rates.rows / rates.calls, 1) if rates.calls else None,
        "blocks_per_call": round(rates.blocks / rates.calls, 1) if rates.calls else None,
        "scanned": rates.scans[0].relation if _is_scanned(rates) else None,
        "rows_scanned_per_second": round(rates.scans[0].rows_read / rates.seconds) if rates.scans else 0,
    }


@check("postgresql.transaction.held", PostgresFacts, needs=("activity",), warning=5, unit="transactions")
def held_transactions(facts: PostgresFacts, context: Context) -> Iterator[Finding]:
    """Several at once: not one forgotten session, but what an application does with its connections."""
    assert facts.activity is not None
    held = [
        session
        for session in facts.activity.idle_in_transaction
        if (session.state_seconds or 0) >= IDLE_SECONDS
    ]
    if not held:
        yield context.ok(_("No transaction waits for its client"), value=0)
        return
    # The list of facts ends at ten: where each of them is held, the count of all is nearer.
    is_cut = len(held) == len(facts.activity.idle_in_transaction)
    count = facts.activity.idle_in_transaction_count if is_cut else len(held)
    applications = Counter(session.application for session in held)
    yield context.above(
        count,
        ngettext(
            "{count} transaction waits for its client for over a second ({application})",
            "{count} transactions wait for their clients for over a second, most of {application}",
            count,
        ).format(count=count, application=applications.most_common(1)[0][0] or "?"),
        detail=held[0].query,
        evidence={
            "by_application": dict(applications),
            "application": applications.most_common(1)[0][0],
            "seconds": held[0].state_seconds,
            "sessions": [
                {"pid": session.pid, "client": session.client, "wait": session.wait, "query": session.query}
                for session in held[:5]
            ],
        },
        hint=samaops(context.site, "db activity --state 'idle in transaction'"),
    )
