"""Judge PgBouncer: whether it serves, and whether its settings are those expected. Pools: ``pgbouncer_pools``."""

from __future__ import annotations

from collections.abc import Iterator

from samaops.checks.postgresql.units import difference
from samaops.checks.registry import Context, Explanation, check
from samaops.facts.pgbouncer import PgBouncerFacts
from samaops.i18n import N_, _, ngettext
from samaops.model.failure import OUTAGE_KINDS, FailureKind
from samaops.model.finding import Finding
from samaops.model.status import Status
from samaops.site.commands import CONSOLE, console


@check(
    "pgbouncer.service.unreachable",
    title=N_("PgBouncer answers"),
    facts=PgBouncerFacts,
    access=True,
    explain=Explanation(
        meaning=N_(
            "The application reaches its database through PgBouncer only: without it every request fails."
        ),
        confirm=("pg_isready -h <serveur db> -p 6432", "ssh <serveur db> systemctl status pgbouncer"),
        fix=N_("Read the end of its log (/var/log/postgresql/pgbouncer.log), then start it."),
        avoid=N_("Do not point the API to 5432: 200 connections do not carry it."),
    ),
)
def answers(facts: PgBouncerFacts, context: Context) -> Iterator[Finding]:
    if facts.looked_through == "console":
        title = _("PgBouncer {version} answers on its console").format(version=facts.version or "?")
    else:
        title = _("PgBouncer answers its clients")
    yield context.ok(title, evidence={"looked_through": facts.looked_through, "version": facts.version})


@check(
    "pgbouncer.query.failed",
    title=N_("SELECT 1 through the pool"),
    facts=PgBouncerFacts,
    warning=100,  # the guide's KPIs for the database
    critical=500,
    unit="ms",
    explain=Explanation(
        meaning=N_(
            "PgBouncer lets us in, but a query gets no server: paused, disabled, full, or PostgreSQL is down."
        ),
        confirm=(
            'psql -h <serveur db> -p 6432 -U samaconso_user -d samaconso -c "SELECT 1"',
            CONSOLE.format("SHOW POOLS"),
            CONSOLE.format("SHOW DATABASES"),
        ),
        fix=N_(
            "See whether PostgreSQL itself answers on 5432; then SHOW DATABASES (paused, disabled), then SHOW POOLS."
        ),
        avoid=N_("Do not restart PgBouncer: thousands of clients would reconnect at once."),
    ),
)
def query(facts: PgBouncerFacts, context: Context) -> Iterator[Finding]:
    seen = facts.query
    if seen is None:
        yield context.finding(
            Status.SKIPPED,
            _(context.rule.title),
            detail=_("the one connection of this run went to the console; ask with --only {code}").format(
                code=context.rule.code
            ),
        )
    elif seen.milliseconds is not None:
        title = _("SELECT 1 takes {milliseconds} ms through the pool").format(milliseconds=seen.milliseconds)
        yield context.above(seen.milliseconds, title, evidence={"query_ms": seen.milliseconds})
    else:
        kind = FailureKind(seen.kind)
        is_outage = kind in OUTAGE_KINDS or kind is FailureKind.DEPENDENCY
        yield context.finding(
            Status.CRITICAL if is_outage else Status.UNKNOWN,
            _("SELECT 1 gets no answer through the pool: {error}").format(error=seen.error),
            evidence={"kind": seen.kind, "stage": seen.stage, "error": seen.error},
            hint=console(context.site, "SHOW DATABASES"),
        )


@check(
    "pgbouncer.settings.different",
    title=N_("PgBouncer settings against those expected"),
    facts=PgBouncerFacts,
    needs=("console",),
    unit="settings",
    explain=Explanation(
        meaning=N_(
            "Settings in force differ from [pgbouncer.expected_settings], or a database overrides pool_mode."
        ),
        confirm=(CONSOLE.format("SHOW CONFIG"), CONSOLE.format("SHOW DATABASES")),
        fix=N_("Correct pgbouncer.ini, then RELOAD on the console; only listen addresses need a restart."),
        avoid=N_("Do not change pool_mode to session to hide an error: the pool would be full at once."),
    ),
)
def settings_in_force(facts: PgBouncerFacts, context: Context) -> Iterator[Finding]:
    if facts.console is None:
        return
    expected = context.site.settings.pgbouncer.expected_settings if context.site.settings.pgbouncer else {}
    actual = facts.console.settings
    different = {
        name: {"expected": value, "actual": actual.get(name)}
        for name, value in expected.items()
        if name not in actual or difference(value, actual[name], actual[name], None)
    }
    for database in facts.console.databases:
        mode = database.pool_mode
        if mode and mode != expected.get("pool_mode", mode):
            different[f"{database.name}.pool_mode"] = {"expected": expected["pool_mode"], "actual": mode}
    if not different:
        title = _("{count} settings of PgBouncer are as expected").format(count=len(expected))
        yield context.ok(title, value=0, evidence={"different": {}})
        return
    names = [f"{name}={one['actual']} ({one['expected']})" for name, one in sorted(different.items())]
    yield context.warn(
        ngettext(
            "{count} setting of PgBouncer is not as expected: {names}",
            "{count} settings of PgBouncer are not as expected: {names}",
            len(different),
        ).format(
            count=len(different), names=", ".join(sorted(different)[:4]) + ("…" if len(different) > 4 else "")
        ),
        detail="; ".join(names),
        value=len(different),
        evidence={"different": different},
        hint=console(context.site, "SHOW CONFIG"),
    )
