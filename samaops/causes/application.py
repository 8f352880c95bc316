"""Roots between the application and its database: the log-in, the session, the rights that PostgreSQL gives it."""

from __future__ import annotations

from collections.abc import Callable

from samaops.causes.effects import Effects, codes
from samaops.causes.root import Rank, Root, disruptive, each, root, safe, together, words_of
from samaops.causes.topology import effects_of_system, effects_on_dependents
from samaops.causes.view import View, failed
from samaops.i18n import _
from samaops.model.cause import Fix, Verdict
from samaops.model.finding import Finding
from samaops.model.status import Status
from samaops.site.commands import as_superuser, console, sql_name, sql_text, whole_number
from samaops.site.site import Site

_POOL_SUFFERS = ("pgbouncer.query.failed", "pgbouncer.pool.waiting", "pgbouncer.login.stuck")
_NO_WORK: Effects = effects_on_dependents("pgbouncer")
_READ_ONLY = ("pgbouncer.write.refused", "postgresql.application.read_only")


def _names(site: Site, finding: Finding) -> tuple[str, str]:
    """Return the application's user and its database, as SQL takes them."""
    pool = site.settings.pgbouncer
    user = finding.evidence.get("user") or (pool.user if pool else "samaconso_user")
    database = finding.evidence.get("database") or (pool.database if pool else "samaconso")
    return sql_name(str(user)), sql_name(str(database))


def _is_of_login(log: Finding) -> bool:
    return log.evidence.get("reason") in ("login", "limit", "absent")


@root(
    "database-read-only",
    "database-is-a-standby",
    on=together("postgresql.recovery.active", *_READ_ONLY),
    rank=Rank.STATE,
    runbook="api-down",
    effects=(*codes(*_READ_ONLY, "postgresql.recovery.active"), *_NO_WORK),
)
def no_writes(_finding: Finding, view: View) -> Root:
    """The application reads and cannot write: a server that follows another, or a setting."""
    seen = view.bad("postgresql.recovery.active") + tuple(
        refusal for code in _READ_ONLY for refusal in view.bad(code)
    )
    words = tuple(dict.fromkeys(words_of(refusal) for refusal in seen))
    if any(
        refusal.evidence.get("reason") == "recovery" or refusal.code.endswith("active") for refusal in seen
    ):
        text = _(
            "See whom it follows. Promote it only when the primary is gone for good: two primaries lose data"
        )
        look = as_superuser(view.site, "SELECT status, sender_host FROM pg_stat_wal_receiver")
        promote = as_superuser(view.site, "SELECT pg_promote()")
        fix = disruptive("db.promote", text, look, promote)
        return Root(fixes=(fix,), id="database-is-a-standby", triggers=seen, speaks_for=words)
    levels = {str(refusal.evidence.get("level")) for refusal in seen}
    fixes = _read_only_again(view.site, seen[0], levels)
    answers = view.ok("postgresql.recovery.active")
    against = tuple(_("PostgreSQL is no standby") for _answer in answers)
    return Root(fixes=fixes, triggers=seen, speaks_for=(*words, *against))


def _alter(site: Site, finding: Finding) -> dict[str, str]:
    """Return by whose setting it is, the strongest first, how the statement begins that changes it."""
    user, database = _names(site, finding)
    return {
        "role in database": f"ALTER ROLE {user} IN DATABASE {database}",
        "role": f"ALTER ROLE {user}",
        "database": f"ALTER DATABASE {database}",
        "all roles": "ALTER ROLE ALL",
        "server": "ALTER SYSTEM",
    }


def _read_only_again(site: Site, finding: Finding, levels: set[str]) -> tuple[Fix, ...]:
    _user, database = _names(site, finding)
    of_level = _alter(site, finding)
    level = next((level for level in of_level if level in levels), "server")
    statement, setting = of_level[level], "default_transaction_read_only"
    do, undo = f"{statement} RESET {setting}", f"{statement} SET {setting} = on"
    reload = []
    if level == "server":
        do = f"{statement} SET {setting} = off"
        reload = [as_superuser(site, "SELECT pg_reload_conf()")]
    text = _("Ask who made it read-only; take that back, then let the pool open new sessions")
    # A session of the superuser is read-only as well, unless it says otherwise.
    writable = f"SET {setting} = off"
    commands = (as_superuser(site, do, before=writable), *reload, console(site, f"RECONNECT {database}"))
    return (safe("db.writable", text, *commands, undo=as_superuser(site, undo, before=writable)),)


@root(
    "application-login-refused",
    on="postgresql.application.login",
    rank=Rank.STATE,
    runbook="api-down",
    effects=(
        *codes(*_POOL_SUFFERS, "postgresql.application.rights"),
        *codes("servers.log.trouble", "docker.log.trouble", when=_is_of_login),
        *_NO_WORK,
    ),
)
def login_refused(finding: Finding, view: View) -> Root | None:
    """PostgreSQL gives the application's user no new session."""
    if finding.status is not Status.CRITICAL:
        return None
    user, database = _names(view.site, finding)
    evidence = finding.evidence
    statements = {
        "nologin": (f"ALTER ROLE {user} LOGIN", f"ALTER ROLE {user} NOLOGIN"),
        "expired": (f"ALTER ROLE {user} VALID UNTIL 'infinity'", None),
        "database_closed": (
            f"ALTER DATABASE {database} ALLOW_CONNECTIONS true",
            f"ALTER DATABASE {database} ALLOW_CONNECTIONS false",
        ),
        "no_connect": (
            f"GRANT CONNECT ON DATABASE {database} TO {user}",
            f"REVOKE CONNECT ON DATABASE {database} FROM {user}",
        ),
        "role_limit": _limit(f"ALTER ROLE {user}", evidence.get("role_limit")),
        "database_limit": _limit(f"ALTER DATABASE {database}", evidence.get("database_limit")),
    }
    reason = str(evidence.get("reason"))
    if reason in statements:
        do, undo = statements[reason]
        text = _("Ask who changed it; give the application its log-in back")
        back = None if undo is None else as_superuser(view.site, undo, "postgres")
        fix = safe("db.login", text, as_superuser(view.site, do, "postgres"), undo=back)
    else:
        text = _("See which roles and databases there are, before you make one")
        fix = safe("db.look", text, as_superuser(view.site, "SELECT rolname FROM pg_roles", "postgres"))
    answers = tuple(_("PostgreSQL itself answers") for _answer in view.ok("postgresql.service.unreachable"))
    return Root(fixes=(fix,), speaks_for=(words_of(finding), *answers))


@root(
    "database-connection-limit",
    on=failed("postgresql.service.unreachable", "unavailable"),
    rank=Rank.SERVICE,
    runbook="db-slow",
    effects=effects_of_system("postgresql"),
)
def limit_of_its_own(finding: Finding, view: View) -> Root | None:
    """PostgreSQL has connections left, and our role or our database may have no more of them."""
    if finding.evidence.get("stage") != "limit":
        return None
    _user, database = _names(view.site, finding)
    text = _(
        "See which limit it is and who set it; take that of the database back. A superuser is not limited"
    )
    sql = "SELECT datname, datconnlimit FROM pg_database"
    do = f"ALTER DATABASE {database} CONNECTION LIMIT -1"
    fix = safe("db.limit", text, *(as_superuser(view.site, statement, "postgres") for statement in (sql, do)))
    title = _(
        "PostgreSQL refuses new sessions: the connection limit of the database or of the role is reached"
    )
    return Root(title, (fix,), speaks_for=(words_of(finding), _("PostgreSQL itself answers")))


def _limit(statement: str, limit: object) -> tuple[str, str]:
    words = f"{statement} CONNECTION LIMIT"
    return f"{words} -1", f"{words} {whole_number(limit, 'LIMIT')}"


def _rights(finding: Finding, view: View) -> Root:
    user, _database = _names(view.site, finding)
    hidden = finding.evidence.get("hidden") or ()
    if hidden and not finding.evidence.get("lost"):
        text = _("Ask who enabled it: write the policy that is missing, or take row level security back")
        look = "SELECT oid::regclass, relforcerowsecurity FROM pg_class WHERE relrowsecurity"
        # It may protect somebody's rows from others: only who enabled it knows.
        return Root(fixes=(safe("db.rows", text, as_superuser(view.site, look)),))
    text = _("Give the application's user its rights back; ask which release or restore took them")
    statements = (
        f"GRANT USAGE ON SCHEMA public TO {user}",
        f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {user}",
        f"GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO {user}",
    )
    return Root(fixes=(safe("db.grant", text, *(as_superuser(view.site, grant) for grant in statements)),))


def _timeouts(finding: Finding, view: View) -> Root:
    _user, database = _names(view.site, finding)
    name = str(finding.evidence.get("name") or "statement_timeout")
    of_level = _alter(view.site, finding)
    statement = of_level.get(str(finding.evidence.get("level")), of_level["role"])
    text = _("Ask who set it; take it back, then let the pool open new sessions")
    do = as_superuser(view.site, f"{statement} RESET {sql_name(name)}")
    return Root(fixes=(safe("db.timeout", text, do, console(view.site, f"RECONNECT {database}")),))


def _sequence(finding: Finding, view: View) -> Root:
    text = _(
        "See which column it fills: an integer column becomes bigint in a window (ALTER TABLE rewrites the table); a"
        " sequence with an end of its own only needs a later one (ALTER SEQUENCE ... MAXVALUE)"
    )
    look = as_superuser(
        view.site, "SELECT schemaname, sequencename, data_type, last_value, max_value FROM pg_sequences"
    )
    is_over = finding.status is Status.CRITICAL
    return Root(
        fixes=(safe("db.sequence", text, look),),
        verdict=Verdict.CONFIRMED if is_over else Verdict.PROBABLE,
    )


def _commits(finding: Finding, view: View) -> Root:
    text = _(
        "Repair the standby, or, where none is needed (the guide has none), ask for none: commits that wait go on at once"
    )
    setting = "ALTER SYSTEM SET synchronous_standby_names = "
    do = (as_superuser(view.site, statement) for statement in (f"{setting}''", "SELECT pg_reload_conf()"))
    before = sql_text(str(finding.evidence.get("synchronous_standby_names") or ""))
    return Root(fixes=(safe("db.standbys", text, *do, undo=as_superuser(view.site, f"{setting}{before}")),))


# Who finds no table writes so into every log.
_PAST: Effects = (
    *codes(
        "servers.log.trouble",
        "docker.log.trouble",
        when=lambda log: log.evidence.get("reason") == "absent",
    ),
    *codes(*_POOL_SUFFERS),
    *_NO_WORK,
)


def _route(finding: Finding, view: View) -> Root:
    if list(finding.evidence.get("different") or ()) == ["search_path"]:
        text = _("Ask who set search_path and for whom; take it back, then let the pool open new sessions")
        look = as_superuser(
            view.site, "SELECT setdatabase, setrole::regrole, setconfig FROM pg_db_role_setting"
        )
        _user, database = _names(view.site, finding)
        fix = safe("db.search_path", text, look, console(view.site, f"RECONNECT {database}"))
        return Root(fixes=(fix,), effects=_PAST)
    text = _("Compare the line of the database in pgbouncer.ini with the guide's, correct it, then RELOAD")
    commands = (console(view.site, words) for words in ("SHOW DATABASES", "RELOAD"))
    return Root(fixes=(safe("pool.route", text, *commands),))


def _pool_limit(_finding: Finding, view: View) -> Root:
    text = _("See who holds the connections; raise the limit only to what PostgreSQL accepts")
    return Root(
        fixes=(safe("pool.limit", text, console(view.site, "SHOW SERVERS")),), verdict=Verdict.PROBABLE
    )


# (cause, what shows it, rank, runbook, what it produces beside what follows for the application, what to do)
_ROWS: tuple[tuple[str, str, Rank, str, tuple[str, ...], Callable[[Finding, View], Root]], ...] = (
    ("application-lacks-rights", "postgresql.application.rights", Rank.STATE, "api-down", (), _rights),
    ("application-timeout-too-short", "postgresql.application.timeouts", Rank.STATE, "api-down", (), _timeouts),
    ("sequence-exhausted", "pgbouncer.sequence.exhausted", Rank.STATE, "api-down", (), _sequence),
    (
        "commits-wait-for-a-standby", "postgresql.commit.waiting", Rank.STATE, "db-slow",
        (*_POOL_SUFFERS, "pgbouncer.pool.saturated", "postgresql.sessions.waiting", "postgresql.query.long",
         "postgresql.query.crowd", "postgresql.locks.*"),
        _commits,
    ),
    ("pool-leads-elsewhere", "pgbouncer.route.different", Rank.STATE, "api-down",
     ("pgbouncer.write.refused", *_POOL_SUFFERS), _route),
    ("pool-limit-reached", "pgbouncer.limit.reached", Rank.PART, "db-slow",
     (*_POOL_SUFFERS, "pgbouncer.pool.saturated"), _pool_limit),
)  # fmt: skip
for cause_id, code, rank, runbook, patterns, find in _ROWS:
    root(cause_id, on=each(code), rank=rank, runbook=runbook, effects=(*codes(*patterns), *_NO_WORK))(find)
