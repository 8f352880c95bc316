"""Count at the hops of a query's way what was seen in one look at the pool and at PostgreSQL."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from samaops.facts.observation import Snapshot
from samaops.facts.pgbouncer import PgBouncerFacts, Pool
from samaops.facts.postgresql import Activity, PostgresFacts
from samaops.i18n import _
from samaops.model.status import Status
from samaops.site.site import Site
from samaops.workflows.troubleshooting.hops import SeenHop, uncounted


def count(hop: str, snapshot: Snapshot, site: Site) -> SeenHop:
    """Return one hop with its count."""
    if hop in ("waiting", "connected"):
        return _of_pool(hop, snapshot, site)
    if site.settings.postgresql is None:
        return SeenHop(hop, Status.SKIPPED, detail=_("[postgresql] is not configured"), unit="sessions")
    facts = next((facts for _observation, facts in snapshot.facts_of(PostgresFacts)), None)
    activity = facts.activity if facts else None
    if facts is None or activity is None or (hop == "locked" and facts.locks is None):
        reason = _("PostgreSQL's sessions could not be read")
        return uncounted(hop, "sessions", reason, "postgresql", site)
    if hop == "locked":
        waits = facts.locks.waits if facts.locks else ()
        longest = max((wait.seconds for wait in waits), default=0.0)
        return _counted(hop, len({wait.pid for wait in waits}), _longest(longest), seconds=longest)
    return {"running": _running, "planned": _planned, "ended": _ended}[hop](activity)


def _of_pool(hop: str, snapshot: Snapshot, site: Site) -> SeenHop:
    """Count the clients that wait for a connection of the pool, or its connections that work for one."""
    unit = "clients" if hop == "waiting" else "connections"
    if site.settings.pgbouncer is None:
        return SeenHop(hop, Status.SKIPPED, detail=_("[pgbouncer] is not configured"), unit=unit)
    facts = next((facts for _observation, facts in snapshot.facts_of(PgBouncerFacts)), None)
    if facts is None or facts.console is None:
        reason = _("PgBouncer's console could not be read")
        return uncounted(hop, unit, reason, "pgbouncer", site)
    pools = facts.console.pools
    if hop == "waiting":
        clients = sum(pool.clients_waiting for pool in pools)
        longest = max((pool.maxwait_seconds for pool in pools if pool.clients_waiting), default=0.0)
        return _counted(hop, clients, _longest(longest), unit, seconds=longest)
    numbers = {
        "busy": sum(pool.servers_busy for pool in pools),
        "free": sum(pool.servers_free for pool in pools),
        "login": sum(pool.servers_login for pool in pools),
    }
    words = _("{free} free, {login} logging in").format(**numbers)
    return _counted(hop, numbers["busy"], words, unit, **numbers, pools=_sizes(pools))


def _sizes(pools: Sequence[Pool]) -> dict[str, int]:
    return {f"{pool.database}/{pool.user}": pool.servers_busy for pool in pools}


def _running(activity: Activity) -> SeenHop:
    """Count the sessions that run a statement, and say what they wait for but locks."""
    by_type: Counter[str] = Counter()
    for wait, sessions in activity.waiting.items():
        by_type[wait.partition(":")[0]] += sessions
    by_type.pop("Lock", None)
    words = ", ".join(f"{name} {sessions}" for name, sessions in by_type.most_common())
    return _counted(
        "running", activity.active, words and _("waits: {names}").format(names=words), waits=dict(by_type)
    )


def _planned(activity: Activity) -> SeenHop:
    """Count the statements that have run for a second."""
    slow = [
        session.query_seconds or 0
        for session in activity.longest_queries
        if (session.query_seconds or 0) >= 1
    ]
    return _counted(
        "planned", len(slow), _longest(max(slow, default=0.0)), "queries", seconds=max(slow, default=0.0)
    )


def _ended(activity: Activity) -> SeenHop:
    """Count the transactions that wait for their client."""
    longest = max((session.state_seconds or 0 for session in activity.idle_in_transaction), default=0.0)
    return _counted(
        "ended", activity.idle_in_transaction_count, _longest(longest), "transactions", seconds=longest
    )


def _longest(seconds: float) -> str:
    return _("the longest for {seconds:.1f} s").format(seconds=seconds) if seconds else ""


def _counted(hop: str, number: int, detail: str, unit: str = "sessions", **evidence: Any) -> SeenHop:
    return SeenHop(hop, None, number, detail, evidence, unit)
