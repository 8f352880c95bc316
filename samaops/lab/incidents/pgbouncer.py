"""The pool: paused."""

from __future__ import annotations

from samaops.i18n import N_, _
from samaops.lab.incidents.incident import Fault, Incident, Root
from samaops.lab.incidents.site import Site
from samaops.lab.incidents.tools import sessions
from samaops.lab.layout import DATABASE


def _is_paused(site: Site) -> str | None:
    pools = sessions.show(site, "DATABASES")
    if not any(pool["name"] == DATABASE and str(pool["paused"]) == "1" for pool in pools):
        return None
    return _("SHOW DATABASES: {database} is paused").format(database=DATABASE)


def _resume(site: Site) -> None:
    if _is_paused(site):
        sessions.command(site, f"RESUME {DATABASE}")
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
)
