"""Judge the external SQL Servers, rung by rung."""

from __future__ import annotations

from collections.abc import Iterator

from samaops.checks.registry import Context, Evidence, access, check
from samaops.facts.sqlserver import SqlServerFacts
from samaops.i18n import N_, _
from samaops.model.failure import FailureKind
from samaops.model.finding import Finding
from samaops.model.status import Status

DRIVERS = "odbcinst -q -d"
# What SQL Server means by an error number (learn.microsoft.com/sql/relational-databases/errors-events).
_REFUSALS = {
    18452: N_("it does not trust the domain of this Windows account"),
    18470: N_("the account is disabled"),
    18486: N_("the account is locked"),
    18487: N_("the password has expired"),
    18488: N_("the password must be changed first"),
    17892: N_("a trigger of that server ends it"),
    916: N_("the account may not use the database"),
    40615: N_("its firewall does not know the address of this machine"),
    40914: N_("its firewall does not know the network of this machine"),
    47073: N_("it takes nobody from a public network"),
}
_ABSENT = N_("offline, being restored, absent, or not open to this account")
_RECOVERING, _NO_REPLICA = N_("it is being recovered"), N_("its replica there takes no queries")
_CLOSED = {
    911: N_("there is none of that name"),
    921: _RECOVERING,
    922: _RECOVERING,
    923: N_("only its owners may use it"),
    924: N_("somebody has it alone (single user)"),
    926: N_("it is marked as suspect"),
    927: N_("it is being restored"),
    941: N_("it is not started"),
    942: N_("it is offline"),
    945: N_("its files, memory or disk space are missing"),
    952: N_("it is in transition"),
    **dict.fromkeys((954, 955, 956, 976, 978, 979, 982, 983, 988), _NO_REPLICA),
    40613: N_("it is not available now"),
}


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
    if server.broken_rung == "driver" and server.failure_kind != FailureKind.MISSING:
        title = _("{name}: the ODBC driver «{driver}» cannot be used here")
        title = title.format(name=server.name, driver=server.driver)
        yield context.unknown(title, detail=server.words, evidence=evidence, hint=DRIVERS)
    elif server.broken_rung == "driver":
        title = _("{name}: the ODBC driver «{driver}» is not installed here").format(
            name=server.name, driver=server.driver
        )
        yield context.unknown(title, detail=server.words, evidence=evidence, hint=DRIVERS)
    else:
        yield context.ok(_("The ODBC driver «{driver}» is installed").format(driver=server.driver))


@check("sqlserver.login.refused", SqlServerFacts)
def login(server: SqlServerFacts, context: Context) -> Iterator[Finding]:
    if server.broken_rung == "login":
        reason = _REFUSALS.get(server.error_number or 0)
        title = _("{name} refuses our log-in: {reason}") if reason else _("{name} refuses our log-in")
        title = title.format(name=server.name, reason=_(reason) if reason else "")
        yield context.unknown(title, detail=server.words, evidence=_evidence(server))
    elif server.login_ms is None:
        yield _not_reached(context)
    else:
        title = _("{name}: logged in, in {ms} ms")
        yield context.ok(
            title.format(name=server.name, ms=round(server.login_ms, 1)), evidence=_evidence(server)
        )


@check("sqlserver.database.unavailable", SqlServerFacts)
def database(server: SqlServerFacts, context: Context) -> Iterator[Finding]:
    if server.broken_rung == "database":
        title = _("{name}: the database {database} cannot be opened: {reason}").format(
            name=server.name,
            database=server.database,
            reason=_(_CLOSED.get(server.error_number or 0, _ABSENT)),
        )
        yield context.crit(title, detail=server.words, evidence=_evidence(server))
    elif server.login_ms is None:
        yield _not_reached(context)
    else:
        yield context.ok(_("{name} opens its database").format(name=server.name))


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
        "error_number": server.error_number,
        "name_ms": server.name_ms,
        "port_ms": server.port_ms,
        "login_ms": server.login_ms,
        "query_ms": server.query_ms,
    }
