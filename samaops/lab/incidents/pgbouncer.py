"""The pool: paused, too small."""

from __future__ import annotations

from samaops.i18n import N_, _
from samaops.lab import pgbouncer
from samaops.lab.incidents.incident import Fault, Incident, Root
from samaops.lab.incidents.mechanisms import held
from samaops.lab.incidents.site import Site
from samaops.lab.incidents.tools import hold, sessions
from samaops.lab.layout import DATABASE

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
)
