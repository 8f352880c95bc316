"""Let PgBouncer open its connections to PostgreSQL anew."""

from __future__ import annotations

from msgspec.structs import replace

from samaops.changes.pgbouncer.admin import (
    CONSOLE,
    SERVERS,
    Command,
    command,
    configured,
    console_in,
    databases_in,
    facts,
    missing,
    typed,
)
from samaops.changes.readings import UnreadableError, known, reading
from samaops.changes.verbs import verb
from samaops.facts.observation import Snapshot
from samaops.facts.pgbouncer import PooledServer
from samaops.i18n import _, ngettext
from samaops.model.plan import Condition, Plan, Risk, Scalar, Step
from samaops.site.site import Site


def _servers_of(snapshot: Snapshot, database: str) -> tuple[PooledServer, ...]:
    """Return the connections of a database that would be given to a client again. Raises UnreadableError."""
    servers = facts(snapshot).servers
    if servers is None:
        raise UnreadableError(missing(snapshot, "servers"))
    ours = [server for server in servers if server.database == database and server.pid]
    return tuple(server for server in ours if not known(server.is_closing, "close_needed"))


@reading("pgbouncer.keeps_connection", codes=(SERVERS,))
def keeps_connection(snapshot: Snapshot, database: str, *pids: int) -> Scalar:
    """Return whether any of these connections, by their processes in PostgreSQL, is still to be used again."""
    return any(server.pid in map(int, pids) for server in _servers_of(snapshot, database))


def _looks(site: Site, _database: str = "") -> tuple[str, ...]:
    configured(site)
    return (*CONSOLE, SERVERS)


@verb("pool reconnect", looks=_looks, typed=typed)
def plan_reconnect(snapshot: Snapshot, site: Site, database: str = "") -> Plan:
    """Plan that each connection to PostgreSQL is replaced once its transaction has ended; no client is cut off."""
    databases = databases_in(console_in(snapshot), database)
    title = _("Open the connections of {databases} to PostgreSQL anew").format(
        databases=database or _("every database of the pool")
    )
    plan = Plan("pool reconnect", (database,), title, target=database or "pgbouncer")
    pids = {each.name: [server.pid for server in _servers_of(snapshot, each.name)] for each in databases}
    steps = tuple(_step(site, name, of) for name, of in pids.items() if of)
    if not steps:
        return replace(plan, nothing_to_do=_("there is no connection to PostgreSQL that could be replaced"))
    note = _(
        "A connection that works is replaced when its transaction has ended, in session mode when its client leaves"
    )
    return replace(plan, steps=steps, notes=(note,))


def _step(site: Site, database: str, pids: list[int]) -> Step:
    of: tuple[Scalar, ...] = (database, *pids)
    count = ngettext("{count} connection of {database}", "{count} connections of {database}", len(pids))
    words = count.format(count=len(pids), database=database)
    used = _("{connections}: at least one is still used again").format(connections=words)
    replaced = _("{connections}: none is given to a client again").format(connections=words)
    return Step(
        id="pool.reconnect",
        title=_("Open the connections of {databases} to PostgreSQL anew").format(databases=database),
        risk=Risk.SAFE,
        operation=command(Command("reconnect", database), site),
        before=(Condition("pgbouncer.keeps_connection", of, True, used),),
        after=(Condition("pgbouncer.keeps_connection", of, False, replaced),),
        no_undo=_("the connections are new ones to the same server"),
        servers=(configured(site).server,),
    )
