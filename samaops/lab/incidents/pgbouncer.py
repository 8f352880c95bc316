"""The pool: paused, too small, refused by PostgreSQL."""

from __future__ import annotations

import secrets

from samaops.i18n import N_, _
from samaops.lab import pgbouncer
from samaops.lab.incidents.incident import Fault, Incident, Root
from samaops.lab.incidents.mechanisms import held
from samaops.lab.incidents.site import Site
from samaops.lab.incidents.tools import hold, sessions
from samaops.lab.layout import DATABASE, DATABASE_USER
from samaops.lab.processes import log_file

SMALL = 2


def _is_paused(site: Site) -> str | None:
    pools = sessions.show(site, "DATABASES")
    if not any(pool["name"] == DATABASE and str(pool["paused"]) == "1" for pool in pools):
        return None
    return _("SHOW DATABASES: {database} is paused").format(database=DATABASE)


def _resume(site: Site) -> None:
    if _is_paused(site):
        sessions.command(site, f"RESUME {DATABASE}")
    sessions.await_pool(site)


def _is_disabled(site: Site) -> str | None:
    pools = sessions.show(site, "DATABASES")
    if not any(pool["name"] == DATABASE and str(pool["disabled"]) == "1" for pool in pools):
        return None
    return _("SHOW DATABASES: {database} is disabled").format(database=DATABASE)


def _enable(site: Site) -> None:
    if _is_disabled(site):
        sessions.command(site, f"ENABLE {DATABASE}")
    sessions.await_pool(site)


def _set_size(site: Site, size: str) -> None:
    """Give the pools a size, and close those connections that are more."""
    for words in (f"SET default_pool_size = {size}", f"RECONNECT {DATABASE}"):
        sessions.command(site, words)


def _is_too_small(site: Site) -> str | None:
    sizes = [pool["pool_size"] for pool in sessions.show(site, "DATABASES") if pool["name"] == DATABASE]
    waited = sessions.longest_wait(site)
    if [int(size) for size in sizes] != [SMALL] or waited < 1:
        return None
    return _("the pool has {size} connections, and its clients wait for {seconds} s").format(
        size=SMALL, seconds=waited
    )


def _grow_again(site: Site) -> None:
    _set_size(site, pgbouncer.SETTINGS["default_pool_size"])
    sessions.await_pool(site)


def _change_password(site: Site) -> None:
    """Give the role a password that PgBouncer does not have, and close the sessions that it had before."""
    _set_secret(site, secrets.token_hex(16))
    sessions.command(site, f"RECONNECT {DATABASE}")


def _set_secret(site: Site, secret: str) -> None:
    with sessions.administrator(site) as session:
        session.execute(sessions.sql("keep_secret"), {"secret": secret})
        session.execute(sessions.sql("set_password"))


def _is_refused(site: Site) -> str | None:
    pools = [pool for pool in sessions.show(site, "POOLS") if pool["user"] == DATABASE_USER]
    if any(int(pool[servers]) for pool in pools for servers in ("sv_active", "sv_idle", "sv_used")):
        return None
    words = sessions.refusal(site)
    return words if "password authentication failed" in words else None


def _take_password_back(site: Site) -> None:
    """Give PostgreSQL the secret again that PgBouncer has."""
    if site.record("postgresql"):
        _set_secret(site, pgbouncer.secret_of(site.server("db"), DATABASE_USER))
    sessions.await_pool(site)
    # What it has said of the refusals would be told of for minutes more.
    log_file(site.layout, "pgbouncer").write_bytes(b"")


INCIDENTS = (
    Incident(
        id="pgbouncer-paused",
        runbook="api-down",
        title=N_("The connection pool is paused"),
        does=N_("PAUSE samaconso on the console of PgBouncer, and nobody said RESUME."),
        notice=N_("/health is fine; whatever reads the database hangs, then fails."),
        root=Root("pgbouncer-paused", "pgbouncer/db"),
        fault=Fault(
            break_=lambda site: sessions.command(site, f"PAUSE {DATABASE}"), evidence=_is_paused, heal=_resume
        ),
    ),
    Incident(
        id="pgbouncer-disabled",
        runbook="api-down",
        title=N_("The database is disabled in the pool"),
        does=N_("DISABLE samaconso on the console of PgBouncer, and nobody said ENABLE."),
        notice=N_("Who is connected goes on; whoever comes anew is refused."),
        root=Root("pgbouncer-database-disabled", "pgbouncer/db"),
        fault=Fault(
            break_=lambda site: sessions.command(site, f"DISABLE {DATABASE}"),
            evidence=_is_disabled,
            heal=_enable,
        ),
    ),
    Incident(
        id="pool-too-small",
        runbook="db-slow",
        title=N_("The pool is too small for its clients"),
        does=N_("The pool has two connections in place of twenty, and twelve clients that take turns."),
        notice=N_("Requests wait for the pool, and the database has nothing to do."),
        root=Root("setting-differs", "pgbouncer/db"),
        fault=held((hold.REPEATING_NAME,), _is_too_small, "repeated", "occupy", "12", is_pooled=True).then(
            lambda site: _set_size(site, str(SMALL)), _grow_again
        ),
    ),
    Incident(
        id="pgbouncer-login-refused",
        runbook="api-down",
        title=N_("PgBouncer has an old password"),
        does=N_("The application's role is given another password in PostgreSQL, and nobody told PgBouncer."),
        notice=N_(
            "Nothing at first; as the pool's connections are closed, whatever reads the database fails."
        ),
        root=Root("pgbouncer-login-stuck", "pgbouncer/db"),
        fault=Fault(break_=_change_password, evidence=_is_refused, heal=_take_password_back),
    ),
)
