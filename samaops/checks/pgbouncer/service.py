"""Judge PgBouncer: whether it serves, and whether its settings are those expected. Pools: ``pools``."""

from __future__ import annotations

from collections.abc import Iterator

from samaops.checks.postgresql.units import difference
from samaops.checks.registry import Context, access, check
from samaops.facts.pgbouncer import PgBouncerFacts
from samaops.i18n import _, joined, ngettext, some
from samaops.model.failure import OUTAGE_KINDS, FailureKind
from samaops.model.finding import Finding
from samaops.model.status import Status
from samaops.site.commands import samaops

access(
    "pgbouncer.service.unreachable",
    PgBouncerFacts,
    title=lambda pgbouncer: (
        _("PgBouncer {version} answers on its console").format(version=pgbouncer.version or "?")
        if pgbouncer.looked_through == "console"
        else _("PgBouncer answers its clients")
    ),
    evidence=lambda pgbouncer: {"looked_through": pgbouncer.looked_through, "version": pgbouncer.version},
)


@check(
    "pgbouncer.query.failed",
    PgBouncerFacts,
    warning=100,  # the guide's KPIs for the database
    critical=500,
    unit="ms",
)
def query(facts: PgBouncerFacts, context: Context) -> Iterator[Finding]:
    seen = facts.query
    if seen is None:
        section = context.site.settings.pgbouncer
        yield context.skipped(
            _("this look did not observe it")
            if section and section.password
            else _("[pgbouncer] password is not configured: only the application's user can ask")
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
            hint=samaops(context.site, "pool databases"),
        )


@check("pgbouncer.settings.different", PgBouncerFacts, needs=("console",), unit="settings")
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
        size = expected.get("default_pool_size", "")
        if size.isdecimal() and database.pool_size != int(size):
            actual_size = str(database.pool_size)
            different[f"{database.name}.pool_size"] = {"expected": size, "actual": actual_size}
    if not different:
        title = _("{count} settings of PgBouncer are as expected").format(count=len(expected))
        yield context.ok(title, value=0, evidence={"different": {}})
        return
    names = [f"{name}={value['actual']} ({value['expected']})" for name, value in sorted(different.items())]
    yield context.warn(
        ngettext(
            "{count} setting of PgBouncer is not as expected: {names}",
            "{count} settings of PgBouncer are not as expected: {names}",
            len(different),
        ).format(count=len(different), names=some(sorted(different), 4)),
        detail=joined(names),
        value=len(different),
        evidence={"different": different},
        hint=samaops(context.site, "pool settings"),
    )
