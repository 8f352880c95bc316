"""Roots at the standbys of the database."""

from __future__ import annotations

from samaops.causes.root import Rank, Root, root, safe
from samaops.causes.view import View
from samaops.i18n import _
from samaops.model.finding import Finding
from samaops.site.commands import SUPERUSER, direct, on_server


def _asked(view: View, server: str | None, statement: str) -> str:
    """Return the command that asks a standby as the superuser of its server."""
    return on_server(view.site, server, f'sudo -u {SUPERUSER} psql -c "{statement}"')


@root("standby-promoted", on="postgresql.standby.promoted", rank=Rank.SERVICE, runbook="db-slow")
def standby_promoted(finding: Finding, view: View) -> Root:
    """Two databases take writes: somebody, or something, promoted the standby."""
    text = _(
        "Find out which of the two the application writes to, and since when the other does; let one of them take no more "
        "writes before anything else, and never let either follow the other before what both have was compared"
    )
    commands = (
        _asked(view, finding.server, "SELECT timeline_id, checkpoint_time FROM pg_control_checkpoint()"),
        direct(view.site, "SELECT timeline_id, checkpoint_time FROM pg_control_checkpoint()"),
    )
    # That the primary is gone may be why; two that take writes are a fault of their own all the same.
    return Root(fixes=(safe("postgresql.standby.compare", text, *commands),), is_proof=True)


@root("standby-disconnected", on="postgresql.standby.disconnected", rank=Rank.WORK, runbook="db-slow")
def standby_disconnected(finding: Finding, view: View) -> Root:
    """It follows nobody: it cannot reach the primary, is not let in, or what it needs next is gone there."""
    text = _(
        "Read in its log why: the primary is not reached, refuses it, or has removed the WAL that it needs next"
    )
    log = on_server(view.site, finding.server, "sudo tail -n 20 /var/log/postgresql/postgresql-15-main.log")
    seen = direct(view.site, "SELECT slot_name, active, wal_status FROM pg_replication_slots")
    return Root(fixes=(safe("postgresql.standby.log", text, log, seen),))
