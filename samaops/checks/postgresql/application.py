"""Judge what PostgreSQL holds ready for the application's user: its log-in, its settings, its rights, its commits."""

from __future__ import annotations

import re
from collections.abc import Iterator

from msgspec.structs import asdict

from samaops.checks.postgresql.units import difference, quantity
from samaops.checks.registry import Context, check
from samaops.facts.postgresql import Application, PostgresFacts
from samaops.i18n import _, some
from samaops.model.finding import Finding
from samaops.site.commands import as_superuser

# A password that ends within a week is to be renewed now; a limit that is nearly reached soon refuses.
SOON_SECONDS = 7 * 86400
CROWDED_PERCENT = 90
READ_ONLY = "default_transaction_read_only"
TIMEOUTS = (
    "statement_timeout",
    "lock_timeout",
    "transaction_timeout",
    "idle_in_transaction_session_timeout",
)


def _no_application(context: Context) -> Finding:
    return context.skipped(_("[pgbouncer] is not configured: the application's user is not known"))


@check("postgresql.application.login", PostgresFacts, needs=("application",))
def login(facts: PostgresFacts, context: Context) -> Iterator[Finding]:
    application = facts.application
    if application is None:
        yield _no_application(context)
        return
    evidence = {name: value for name, value in asdict(application).items() if name != "settings"}
    hint = as_superuser(
        context.site, "SELECT rolname, rolcanlogin, rolconnlimit, rolvaliduntil FROM pg_roles"
    )
    refusal = next(_refusals(application), None)
    if refusal is not None:
        reason, title = refusal
        words = title.format(user=application.user, database=application.database)
        yield context.crit(words, evidence={**evidence, "reason": reason}, hint=hint)
        return
    concern = next(_concerns(application), None)
    if concern is not None:
        yield context.warn(concern, evidence=evidence, hint=hint)
        return
    title = _("{user} may log in to {database}").format(user=application.user, database=application.database)
    yield context.ok(title, evidence=evidence)


def _refusals(application: Application) -> Iterator[tuple[str, str]]:
    """Yield why PostgreSQL refuses the next log-in of the application; sessions that are open go on."""
    if application.can_login is None:
        yield "role_missing", _("PostgreSQL has no role {user}: the application cannot log in")
    if application.can_login is False:
        yield "nologin", _("Role {user} may not log in (NOLOGIN): the application gets no new session")
    if application.valid_seconds is not None and application.valid_seconds <= 0:
        yield (
            "expired",
            _("The password of {user} has expired (VALID UNTIL): the application gets no new session"),
        )
    if application.allows_connections is False:
        yield "database_closed", _("Database {database} accepts no connections (ALLOW_CONNECTIONS false)")
    if application.database_limit == -2:
        yield "database_invalid", _("Database {database} is invalid: a DROP DATABASE was interrupted")
    if application.may_connect is False:
        yield "no_connect", _("{user} lacks the right CONNECT on {database}")
    for reason, limit, used, title in (
        ("role_limit", application.role_limit, application.role_sessions,
         _("The connection limit of role {user} is reached: {used} of {limit}")),
        ("database_limit", application.database_limit, application.database_sessions,
         _("The connection limit of database {database} is reached: {used} of {limit}")),
    ):  # fmt: skip
        if limit is not None and 0 <= limit <= used and not application.is_superuser:
            yield reason, title.replace("{used}", str(used)).replace("{limit}", str(limit))


def _concerns(application: Application) -> Iterator[str]:
    seconds = application.valid_seconds
    if seconds is not None and seconds < SOON_SECONDS:
        yield _("The password of {user} expires in {days:.1f} days (VALID UNTIL)").format(
            user=application.user, days=seconds / 86400
        )
    for name, limit, used in (
        (application.user, application.role_limit, application.role_sessions),
        (application.database, application.database_limit, application.database_sessions),
    ):
        if limit and limit > 0 and 100 * used >= CROWDED_PERCENT * limit:
            yield _("{used} of {limit} connections that {name} may have are taken").format(
                used=used, limit=limit, name=name
            )


@check("postgresql.application.read_only", PostgresFacts, needs=("application",))
def read_only(facts: PostgresFacts, context: Context) -> Iterator[Finding]:
    application = facts.application
    if application is None:
        yield _no_application(context)
        return
    setting = application.settings.get(READ_ONLY)
    if setting is not None and not difference("on", setting.value, setting.value, None):
        title = _("New sessions of {user} are read-only: {name} is on for {level}")
        words = title.format(user=application.user, name=READ_ONLY, level=setting.level)
        evidence = {"user": application.user, "database": application.database, "level": setting.level}
        yield context.crit(
            words, evidence=evidence, hint=as_superuser(context.site, "SELECT * FROM pg_db_role_setting")
        )
        return
    yield context.ok(_("No setting of role or database makes the application's sessions read-only"))


@check(
    "postgresql.application.timeouts",
    PostgresFacts,
    needs=("application",),
    warning=1000,
    critical=100,
    unit="ms",
    less_is_worse=True,
)
def timeouts(facts: PostgresFacts, context: Context) -> Iterator[Finding]:
    application = facts.application
    if application is None:
        yield _no_application(context)
        return
    limits = {
        name: value
        for name in TIMEOUTS
        if name in application.settings and (value := quantity(application.settings[name].value, "ms"))
    }
    if not limits:
        yield context.ok(_("No time limit of role or database ends the application's statements"))
        return
    name = min(limits, key=limits.__getitem__)
    title = _("{name} ends what {user} does after {ms:.0f} ms (set for {level})").format(
        name=name, user=application.user, ms=limits[name], level=application.settings[name].level
    )
    evidence = {"limits_ms": limits, "level": application.settings[name].level, "name": name}
    hint = as_superuser(context.site, "SELECT * FROM pg_db_role_setting")
    yield context.below(limits[name], title, evidence=evidence, hint=hint)


@check("postgresql.application.rights", PostgresFacts, needs=("rights",))
def rights(facts: PostgresFacts, context: Context) -> Iterator[Finding]:
    seen = facts.rights
    if seen is None:
        yield _no_application(context)
        return
    evidence = asdict(seen)
    lacking = [*seen.lost, *seen.sequences]
    postgresql = context.site.settings.postgresql
    table = postgresql.notifications_table if postgresql else ""
    if not seen.serves_notifications and not any(f".{name}".endswith(f".{table}") for name in lacking):
        lacking.append(table)
    hint = as_superuser(context.site, r"\dp")
    if seen.tables and not seen.readable:
        title = _("{user} may read none of the {count} tables: the application fails everywhere")
        yield context.crit(title.format(user=seen.user, count=seen.tables), evidence=evidence, hint=hint)
    elif lacking:
        title = _("{user} lacks rights on what the application writes: {names}")
        words = title.format(user=seen.user, names=some(lacking, 3))
        yield context.crit(words, value=len(lacking), evidence=evidence, hint=hint)
    elif seen.hidden:
        title = _("Row level security without a policy for {user} hides every row of {names}")
        words = title.format(user=seen.user, names=", ".join(seen.hidden[:3]))
        yield context.crit(words, value=len(seen.hidden), evidence=evidence, hint=hint)
    elif seen.unreadable and 2 * seen.readable > seen.tables:
        title = _("{user} may not read {names}").format(user=seen.user, names=", ".join(seen.unreadable[:3]))
        yield context.warn(title, value=len(seen.unreadable), evidence=evidence, hint=hint)
    else:
        yield context.ok(_("{user} has its rights on the tables").format(user=seen.user), evidence=evidence)


@check("postgresql.commit.waiting", PostgresFacts, needs=("settings",))
def commits(facts: PostgresFacts, context: Context) -> Iterator[Finding]:
    settings = facts.settings or {}
    names = settings["synchronous_standby_names"].shown if "synchronous_standby_names" in settings else ""
    own = facts.application.settings.get("synchronous_commit") if facts.application else None
    general = settings["synchronous_commit"].shown if "synchronous_commit" in settings else "on"
    if not names or (own.value if own else general) in ("off", "local"):
        yield context.ok(_("No commit waits for a standby"))
        return
    if facts.standbys is None:
        yield context.unknown(
            _("Commits wait for {names}; the standbys could not be seen").format(names=names)
        )
        return
    number = re.match(r"\s*(?:FIRST|ANY)?\s*(\d+)\s*\(", names, re.IGNORECASE)
    needed = int(number.group(1)) if number else 1
    there = sum(standby.sync_state in ("sync", "quorum") for standby in facts.standbys)
    evidence = {"synchronous_standby_names": names, "needed": needed, "synchronous": there}
    hint = as_superuser(context.site, "SELECT application_name, state, sync_state FROM pg_stat_replication")
    if there < needed:
        title = _(
            "Every commit waits without end: {needed} synchronous standbys are asked for, {there} are there"
        )
        yield context.crit(title.format(needed=needed, there=there), evidence=evidence, hint=hint)
    else:
        title = _("Commits wait for {needed} synchronous standbys, {there} are there")
        yield context.ok(title.format(needed=needed, there=there), evidence=evidence)
