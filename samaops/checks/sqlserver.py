"""Judge the external SQL Servers, rung by rung."""

from __future__ import annotations

from collections.abc import Iterator

from samaops.checks.registry import Context, Evidence, access, check
from samaops.facts.sqlserver import SqlServerFacts
from samaops.i18n import _
from samaops.model.failure import FailureKind
from samaops.model.finding import Finding
from samaops.model.status import Status

DRIVERS = "odbcinst -q -d"


access(
    "sqlserver.server.unreachable",
    SqlServerFacts,
    title=lambda server: _("{name} accepts connections on {address} in {ms} ms").format(
        name=server.name, address=server.address, ms=round(server.port_ms, 1)
    ),
)


@check("sqlserver.driver.missing", SqlServerFacts)
def driver(server: SqlServerFacts, context: Context) -> Iterator[Finding]:
    evidence = {"driver": server.driver, "installed": list(server.installed_drivers), "words": server.words}
    if server.broken_rung == "driver":
        title = _("{name}: the ODBC driver «{driver}» is not installed here").format(
            name=server.name, driver=server.driver
        )
        yield context.unknown(title, detail=server.words, evidence=evidence, hint=DRIVERS)
    else:
        yield context.ok(_("The ODBC driver «{driver}» is installed").format(driver=server.driver))


@check("sqlserver.login.refused", SqlServerFacts)
def login(server: SqlServerFacts, context: Context) -> Iterator[Finding]:
    if server.broken_rung == "login":
        title = _("{name} refuses our log-in").format(name=server.name)
        yield context.unknown(title, detail=server.words, evidence=_evidence(server))
    elif server.login_ms is None:
        yield _not_reached(context)
    else:
        title = _("{name}: logged in, in {ms} ms")
        yield context.ok(
            title.format(name=server.name, ms=round(server.login_ms, 1)), evidence=_evidence(server)
        )


@check("sqlserver.query.failing", SqlServerFacts)
def query(server: SqlServerFacts, context: Context) -> Iterator[Finding]:
    if server.broken_rung == "query":
        is_ours = server.failure_kind == FailureKind.PERMISSION
        status = Status.UNKNOWN if is_ours else Status.CRITICAL
        title = _("{name}: the query fails").format(name=server.name)
        yield context.finding(status, title, detail=server.words, evidence=_evidence(server))
    elif server.query_ms is None:
        yield _not_reached(context)
    else:
        yield context.ok(_("{name} answers the query").format(name=server.name))


@check(
    "sqlserver.latency.high",
    SqlServerFacts,
    # The guide's KPI for the response time of a database: target under 100 ms, critical from 500 ms.
    warning=100,
    critical=500,
    unit="ms",
)
def latency(server: SqlServerFacts, context: Context) -> Iterator[Finding]:
    if server.query_ms is None:
        yield _not_reached(context)
        return
    title = _("{name} answers the query in {ms} ms").format(name=server.name, ms=round(server.query_ms, 1))
    yield context.above(round(server.query_ms, 1), title, evidence=_evidence(server))


def _not_reached(context: Context) -> Finding:
    return context.skipped(_("a rung below it broke"))


def _evidence(server: SqlServerFacts) -> Evidence:
    return {
        "address": server.address,
        "broken_rung": server.broken_rung,
        "kind": server.failure_kind,
        "name_ms": server.name_ms,
        "port_ms": server.port_ms,
        "login_ms": server.login_ms,
        "query_ms": server.query_ms,
    }
