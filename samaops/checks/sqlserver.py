"""Judge the external SQL Servers, rung by rung."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from samaops.checks.registry import Context, Explanation, check
from samaops.facts.sqlserver import SqlServerFacts
from samaops.i18n import N_, _
from samaops.model.failure import FailureKind
from samaops.model.finding import Finding
from samaops.model.status import Status

NC = "nc -vz -w 3 <serveur sql> 1433"
DRIVERS = "odbcinst -q -d"
IN_CONTAINER = (
    "ssh <serveur api> docker exec samaconso_api_1 python -c 'import pyodbc; print(pyodbc.drivers())'"
)


@check(
    "sqlserver.server.unreachable",
    title=N_("The SQL Server is reached"),
    facts=SqlServerFacts,
    access=True,
    explain=Explanation(
        meaning=N_(
            "Name, port or the answer on the port fails. Customers see no consumption or bills of that system, "
            "and API calls that wait for it hold database connections meanwhile."
        ),
        confirm=("getent hosts <serveur sql>", NC),
        fix=N_(
            "The stage names the rung: a name is for the DNS, a port for the network or the server's team."
        ),
        avoid=N_("Do not restart the API: it will hang on the same server again."),
    ),
)
def reached(server: SqlServerFacts, context: Context) -> Iterator[Finding]:
    title = _("{name} accepts connections on {address} in {ms} ms")
    yield context.ok(title.format(name=server.name, address=server.address, ms=round(server.port_ms, 1)))


@check(
    "sqlserver.driver.missing",
    title=N_("The ODBC driver is installed"),
    facts=SqlServerFacts,
    explain=Explanation(
        meaning=N_(
            "The machine where samaops runs has no such ODBC driver, so log-in and query could not be tried. The "
            "containers have drivers of their own; the same error there (Can't open lib) stops the application."
        ),
        confirm=(DRIVERS, IN_CONTAINER),
        fix=N_(
            "Install the driver named in [[sqlserver]] driver (Debian: msodbcsql18), or name an installed one."
        ),
    ),
)
def driver(server: SqlServerFacts, context: Context) -> Iterator[Finding]:
    evidence = {"driver": server.driver, "installed": list(server.installed_drivers), "words": server.words}
    if server.broken_rung == "driver":
        title = _("{name}: the ODBC driver «{driver}» is not installed here")
        titled = title.format(name=server.name, driver=server.driver)
        yield context.unknown(titled, detail=server.words, evidence=evidence, hint=DRIVERS)
    else:
        yield context.ok(_("The ODBC driver «{driver}» is installed").format(driver=server.driver))


@check(
    "sqlserver.login.refused",
    title=N_("The SQL Server lets us log in"),
    facts=SqlServerFacts,
    explain=Explanation(
        meaning=N_(
            "The server answers but refuses the configured user, password or database. It says nothing about the "
            "server's health; the application has credentials of its own."
        ),
        confirm=(NC, "isql -v <dsn> <user>"),
        fix=N_(
            "Check user, password and database of [[sqlserver]]; an expired password is for the server's team."
        ),
        avoid=N_("Do not try passwords: SQL Server locks the account after some failures."),
    ),
)
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


@check(
    "sqlserver.query.failing",
    title=N_("The SQL Server answers a query"),
    facts=SqlServerFacts,
    explain=Explanation(
        meaning=N_(
            "The log-in works and the query does not: the database there is offline, locked or overloaded."
        ),
        confirm=(NC,),
        fix=N_(
            "Give the server's words to its team; ask for blocking sessions and the state of the database."
        ),
        avoid=N_("Do not raise the application's timeouts: more of its connections would wait."),
    ),
)
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
    title=N_("The SQL Server answers in time"),
    facts=SqlServerFacts,
    # The guide's KPI for the response time of a database: target under 100 ms, critical from 500 ms.
    warning=100,
    critical=500,
    unit="ms",
    explain=Explanation(
        meaning=N_(
            "Each API call that needs this server takes at least that long, and holds its thread and its "
            "PostgreSQL connection meanwhile."
        ),
        confirm=("time nc -vz -w 3 <serveur sql> 1433",),
        fix=N_("Compare the rungs: a slow port is the network, a slow query the server."),
    ),
)
def latency(server: SqlServerFacts, context: Context) -> Iterator[Finding]:
    if server.query_ms is None:
        yield _not_reached(context)
        return
    title = _("{name} answers the query in {ms} ms").format(name=server.name, ms=round(server.query_ms, 1))
    yield context.above(round(server.query_ms, 1), title, evidence=_evidence(server))


def _not_reached(context: Context) -> Finding:
    detail = _("a rung below it broke")
    return context.finding(Status.SKIPPED, _(context.rule.title), detail=detail)


def _evidence(server: SqlServerFacts) -> dict[str, Any]:
    return {
        "address": server.address,
        "broken_rung": server.broken_rung,
        "kind": server.failure_kind,
        "name_ms": server.name_ms,
        "port_ms": server.port_ms,
        "login_ms": server.login_ms,
        "query_ms": server.query_ms,
    }
