"""Judge the session that the application gets through the pool: where it leads, whether it may write."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address

from msgspec.structs import asdict

from samaops.checks.pgbouncer import logins
from samaops.checks.registry import Context, access, check
from samaops.facts.pgbouncer import PgBouncerFacts, PgBouncerProbe, PooledSession
from samaops.facts.postgresql import PostgresFacts
from samaops.i18n import _, ngettext
from samaops.model.finding import Finding
from samaops.model.status import Status
from samaops.site.commands import as_superuser, samaops

READ_ONLY = "default_transaction_read_only"
# The same server as the configured address, when PgBouncer is there too.
_ITSELF = ("127.0.0.1", "::1")

access(
    "pgbouncer.write.probe",
    PgBouncerProbe,
    title=lambda seen: _(
        "PostgreSQL took a write of the application in {table} and took it back in {ms} ms"
    ).format(table=seen.place, ms=seen.milliseconds),
    value=lambda seen: seen.milliseconds,
)


def _not_seen(context: Context) -> Finding:
    return context.skipped(_("not looked at, see {code}").format(code="pgbouncer.query.failed"))


def _server(context: Context) -> PostgresFacts | None:
    return next((facts for _look, facts in context.snapshot.facts_of(PostgresFacts)), None)


@check("pgbouncer.write.refused", PgBouncerFacts, needs=("session",))
def read_only(facts: PgBouncerFacts, context: Context) -> Iterator[Finding]:
    session = facts.query.session if facts.query else None
    if session is None:
        yield _not_seen(context)
        return
    evidence = asdict(session)
    if session.in_recovery:
        title = _("The pool leads the application to a standby: PostgreSQL refuses every write there")
        hint = samaops(context.site, "pool databases")
        yield context.crit(title, evidence={**evidence, "reason": "recovery"}, hint=hint)
    elif session.is_read_only:
        title = _("The sessions of {user} are read-only: PostgreSQL refuses the application's writes").format(
            user=session.user
        )
        level = _level_of_read_only(context)
        detail = _("default_transaction_read_only is on for: {level}").format(level=level)
        sql = "SELECT name, setting, source, sourcefile FROM pg_settings WHERE name LIKE '%read_only'"
        hint = as_superuser(context.site, sql)
        evidence = {**evidence, "reason": "read_only", "level": level}
        yield context.crit(title, detail=detail, evidence=evidence, hint=hint)
    else:
        title = _("The application's sessions may write ({user} in {database})")
        yield context.ok(title.format(user=session.user, database=session.database), evidence=evidence)


def _level_of_read_only(context: Context) -> str:
    server = _server(context)
    setting = server.application.settings.get(READ_ONLY) if server and server.application else None
    return setting.level if setting else "server"


@check("pgbouncer.route.different", PgBouncerFacts, needs=("session",))
def route(facts: PgBouncerFacts, context: Context) -> Iterator[Finding]:
    session = facts.query.session if facts.query else None
    if session is None:
        yield _where_it_looks(facts, context) or _not_seen(context)
        return
    differences = dict(_differences(session, context))
    evidence = {**asdict(session), "different": differences}
    if differences:
        words = ", ".join(f"{name} {actual}" for name, actual in differences.items())
        title = _("The pool leads the application elsewhere than configured: {words}").format(words=words)
        yield context.crit(title, evidence=evidence, hint=samaops(context.site, "pool databases"))
    else:
        title = _("The pool leads the application to {database} as {user}")
        yield context.ok(title.format(database=session.database, user=session.user), evidence=evidence)


def _where_it_looks(facts: PgBouncerFacts, context: Context) -> Finding | None:
    """Tell a pool that looks for PostgreSQL where none answers, while the configured one does."""
    postgresql, pool = context.site.settings.postgresql, context.site.settings.pgbouncer
    if postgresql is None or pool is None or _server(context) is None or not logins.is_asked_in_vain(facts):
        return None
    databases = facts.console.databases if facts.console else ()
    database = next((database for database in databases if database.name == pool.database), None)
    reason = logins.failure(facts, context)
    # Who answers there is not the wrong one because of its address; and nobody knows that a name is another server.
    if database is None or (logins.is_answered(reason) if reason else logins.tells_clients(facts)):
        return None
    configured = context.site.host_of(postgresql)
    is_other_host = (
        _is_address(database.host)
        and database.host not in _ITSELF
        and _is_address(configured)
        and database.host != configured
    )
    if not is_other_host and database.port in (None, postgresql.port):
        return None
    where = logins.address(database)
    title = _(
        "The pool looks for PostgreSQL at {address}, where none answers; the configured one is {host}:{port}"
    )
    return context.crit(
        title.format(address=where, host=configured, port=postgresql.port),
        detail=reason.words if reason else "",
        evidence={
            "different": {"server": where},
            "configured": f"{configured}:{postgresql.port}",
            **(reason.evidence if reason else {}),
        },
        hint=samaops(context.site, "pool databases"),
    )


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _differences(session: PooledSession, context: Context) -> Iterator[tuple[str, str]]:
    settings, server = context.site.settings, _server(context)
    if settings.pgbouncer and session.user != settings.pgbouncer.user:
        yield "user", session.user
    if settings.postgresql and session.database != settings.postgresql.database:
        yield "database", session.database
    if session.led_past:
        yield (
            "search_path",
            _("{path} (the tables are in {schemas})").format(
                path=session.search_path, schemas=", ".join(session.led_past)
            ),
        )
    started_at = server.started_at if server else None
    if started_at is not None and abs(started_at - session.server_started_at) > 0.01:
        yield "server", _("another one than [postgresql]")


@check(
    "pgbouncer.sequence.exhausted", PgBouncerFacts, needs=("sequences",), warning=80, critical=95, unit="%"
)
def sequences(facts: PgBouncerFacts, context: Context) -> Iterator[Finding]:
    seen = facts.query.sequences if facts.query else None
    if seen is None:
        yield _not_seen(context)
        return
    worst = context.worst(
        seen,
        by=lambda sequence: sequence.percent,
        title=lambda sequence: _("Sequence {name} is at {value} of {last} ({percent} %)").format(
            name=sequence.name, value=sequence.value, last=sequence.last, percent=sequence.percent
        ),
        evidence=lambda rows: {"sequences": [asdict(sequence) for sequence in rows]},
        none=_("The application sees no sequence that ends"),
    )
    not_asked = facts.query.sequences_not_asked if facts.query else 0
    yield _not_all_asked(worst, not_asked, context) if not_asked else worst


def _not_all_asked(worst: Finding, not_asked: int, context: Context) -> Finding:
    """Return what was found, with how many were not asked; what would be ok is unknown then."""
    detail = ngettext(
        "{count} sequence of the smallest tables was not asked",
        "{count} sequences, those of the smallest tables, were not asked",
        not_asked,
    ).format(count=not_asked)
    evidence = {**worst.evidence, "not_asked": not_asked}
    status = Status.UNKNOWN if worst.status is Status.OK else worst.status
    return context.finding(status, worst.title, value=worst.value, detail=detail, evidence=evidence)
