"""Judge PostgreSQL: whether it serves, how fast, with how many connections, set up how.

Its sessions, storage and tables are judged in the modules imported below.
"""

from __future__ import annotations

from collections.abc import Iterator

from samaops.checks.postgresql.units import difference
from samaops.checks.registry import Context, Explanation, check
from samaops.facts.postgresql import PostgresFacts, Setting
from samaops.i18n import N_, _, ngettext
from samaops.model.finding import Finding
from samaops.site.commands import PSQL, direct


@check(
    "postgresql.service.unreachable",
    title=N_("PostgreSQL accepts connections"),
    facts=PostgresFacts,
    access=True,
    explain=Explanation(
        meaning=N_(
            "Nobody can log in to the database on its own port: the API answers errors as soon as the pool has no "
            "connection left. The finding says whether nothing listens, nothing answers, or all connections are taken."
        ),
        confirm=("pg_isready -h <serveur db> -p 5432", "ssh <serveur db> tail -50 /var/log/postgresql/*.log"),
        fix=N_(
            "Read the end of the server's log first. Out of disk: free space elsewhere. Starting up or in recovery: "
            "wait. Too many clients: end idle clients that bypass the pool. Stopped: start it."
        ),
        avoid=N_("Do not restart during recovery: it begins again. Never delete anything in pg_wal."),
    ),
)
def accepts(facts: PostgresFacts, context: Context) -> Iterator[Finding]:
    yield context.ok(
        _("PostgreSQL {version} accepts connections, login in {milliseconds} ms").format(
            version=facts.version.split()[0], milliseconds=facts.connect_ms
        ),
        evidence={
            "version": facts.version,
            "connect_ms": facts.connect_ms,
            "uptime_seconds": facts.uptime_seconds,
        },
    )


@check(
    "postgresql.latency.high",
    title=N_("Latency of SELECT 1 on PostgreSQL"),
    facts=PostgresFacts,
    warning=100,  # the guide's KPI for the database: 100 ms good, 500 ms not acceptable
    critical=500,
    unit="ms",
    explain=Explanation(
        meaning=N_("The simplest statement takes long: the machine or the network is busy, not a query."),
        confirm=("time " + PSQL.format("SELECT 1"), "ssh <serveur db> uptime", "ping -c 5 <serveur db>"),
        fix=N_("Look at load, swap and disk of the database server; stop the job that competes with it."),
        avoid=N_("Do not restart PostgreSQL: its cache would be cold and everything slower still."),
    ),
)
def latency(facts: PostgresFacts, context: Context) -> Iterator[Finding]:
    yield context.above(
        facts.ping_ms,
        _("SELECT 1 takes {milliseconds} ms on PostgreSQL").format(milliseconds=facts.ping_ms),
        evidence={"ping_ms": facts.ping_ms, "connect_ms": facts.connect_ms},
        hint=f"ssh {context.site.address_of(context.observation.server or '')} uptime"
        if context.observation
        else None,
    )


@check(
    "postgresql.recovery.active",
    title=N_("PostgreSQL accepts writes"),
    facts=PostgresFacts,
    explain=Explanation(
        meaning=N_(
            "The server is in recovery: a standby, or a restore that is not finished. It refuses every write."
        ),
        confirm=(PSQL.format("SELECT pg_is_in_recovery(), pg_last_wal_replay_lsn()"),),
        fix=N_(
            "Find out whether this is the right server. A restore: let it finish. A standby: point to the primary."
        ),
        avoid=N_(
            "Do not promote it before you are sure that the old primary is stopped: two primaries lose data."
        ),
    ),
)
def recovery(facts: PostgresFacts, context: Context) -> Iterator[Finding]:
    if facts.in_recovery:
        yield context.crit(
            _("PostgreSQL is in recovery: it refuses every write"),
            value=True,
            evidence={"in_recovery": True},
            hint=direct(context.site, "SELECT pg_is_in_recovery(), pg_last_wal_replay_lsn()"),
        )
    else:
        yield context.ok(
            _("PostgreSQL accepts writes: it is not in recovery"), evidence={"in_recovery": False}
        )


def _number(settings: dict[str, Setting], name: str) -> int:
    return int(settings[name].setting) if name in settings else 0


def usable_connections(settings: dict[str, Setting]) -> int:
    """Return how many connections are left for users without the right to a reserved one."""
    reserved = _number(settings, "superuser_reserved_connections") + _number(settings, "reserved_connections")
    return max(1, _number(settings, "max_connections") - reserved)


@check(
    "postgresql.connections.high",
    title=N_("PostgreSQL connections against max_connections"),
    facts=PostgresFacts,
    needs=("connections", "settings"),
    warning=80,
    critical=95,
    unit="%",
    explain=Explanation(
        meaning=N_(
            "Nearly all connections are taken; when none is left, the pool and every new client is refused with "
            "'too many clients already'. The evidence says which user, application and address holds how many."
        ),
        confirm=(
            PSQL.format("SELECT usename, application_name, state, count(*) FROM pg_stat_activity GROUP BY 1, 2, 3 ORDER BY 4 DESC"),
        ),
        fix=N_("Bring who bypasses PgBouncer behind it; shrink the pools so that their sum fits max_connections."),
        avoid=N_("Do not raise max_connections in a hurry: it needs a restart and memory for each connection."),
    ),
)  # fmt: skip
def connections(facts: PostgresFacts, context: Context) -> Iterator[Finding]:
    assert facts.connections is not None
    assert facts.settings is not None
    used, limit = facts.connections.used, usable_connections(facts.settings)
    percent = round(100 * used / limit, 1)
    biggest = next(iter(facts.connections.by_client), "")
    yield context.above(
        percent,
        _("{used} of {limit} usable connections of PostgreSQL are taken ({percent} %)").format(
            used=used, limit=limit, percent=percent
        ),
        detail=_("most of them by {client}").format(client=biggest) if biggest else "",
        evidence={
            "used": used,
            "limit": limit,
            "max_connections": _number(facts.settings, "max_connections"),
            "by_state": facts.connections.by_state,
            "by_client": facts.connections.by_client,
            "started_within_10_s": facts.connections.started_within_10_s,
        },
        **_hint_when_bad(
            context,
            percent,
            "SELECT usename, application_name, state, count(*) FROM pg_stat_activity GROUP BY 1, 2, 3",
        ),
    )


def _hint_when_bad(context: Context, value: float, statement: str) -> dict[str, str]:
    is_bad = context.warning is not None and value >= context.warning
    return {"hint": direct(context.site, statement)} if is_bad else {}


@check(
    "postgresql.settings.different",
    title=N_("PostgreSQL settings against those expected"),
    facts=PostgresFacts,
    needs=("settings",),
    unit="settings",
    explain=Explanation(
        meaning=N_("Settings in force differ from [postgresql.expected_settings], or wait for a restart."),
        confirm=(PSQL.format("SELECT name, setting, unit, source, pending_restart FROM pg_settings WHERE source <> 'default'"),),
        fix=N_("Correct postgresql.conf, then SELECT pg_reload_conf(); what waits for a restart needs a window."),
        avoid=N_("Do not change memory settings on a loaded server without counting all of its services."),
    ),
)  # fmt: skip
def settings_in_force(facts: PostgresFacts, context: Context) -> Iterator[Finding]:
    assert facts.settings is not None
    expected = context.site.settings.postgresql.expected_settings if context.site.settings.postgresql else {}
    seen = {name: facts.settings[name] for name in expected if name in facts.settings}
    different = {
        name: {"expected": expected[name], "actual": setting.shown}
        for name, setting in seen.items()
        if difference(expected[name], setting.shown, setting.setting, setting.unit)
    }
    pending = sorted(name for name, setting in facts.settings.items() if setting.pending_restart)
    evidence = {
        "different": different,
        "pending_restart": pending,
        "not_visible": sorted({*expected} - {*seen}),
    }
    bad = len({*different, *pending})
    if not bad:
        yield context.ok(
            _("{count} settings of PostgreSQL are as expected").format(count=len(seen)),
            value=0,
            evidence=evidence,
        )
        return
    names = [f"{name}={one['actual']} ({one['expected']})" for name, one in sorted(different.items())]
    yield context.warn(
        ngettext(
            "{count} setting of PostgreSQL is not as expected or waits for a restart: {names}",
            "{count} settings of PostgreSQL are not as expected or wait for a restart: {names}",
            bad,
        ).format(count=bad, names=", ".join(sorted({*different, *pending})[:4]) + ("…" if bad > 4 else "")),
        detail="; ".join((*names, *(_("{name} waits for a restart").format(name=name) for name in pending))),
        value=bad,
        evidence=evidence,
    )


@check(
    "postgresql.extension.missing",
    title=N_("PostgreSQL extensions of the guide"),
    facts=PostgresFacts,
    needs=("extensions",),
    explain=Explanation(
        meaning=N_(
            "An extension of the guide is missing in this database: without pg_stat_statements slow queries cannot be "
            "named; without pg_trgm and uuid-ossp parts of the application fail."
        ),
        confirm=(PSQL.format("SELECT name, installed_version FROM pg_available_extensions WHERE installed_version IS NOT NULL"),),
        fix=N_("CREATE EXTENSION in this database; pg_stat_statements also needs shared_preload_libraries and a restart."),
        avoid=N_("Do not restart for it outside a window."),
    ),
)  # fmt: skip
def extensions(facts: PostgresFacts, context: Context) -> Iterator[Finding]:
    assert facts.extensions is not None
    missing = sorted(name for name, version in facts.extensions.items() if version is None)
    evidence = {
        "missing": missing,
        "installed": {name: v for name, v in facts.extensions.items() if v is not None},
    }
    preload = (facts.settings or {}).get("shared_preload_libraries")
    if preload is not None and "pg_stat_statements" not in preload.shown:
        evidence["not_preloaded"] = ["pg_stat_statements"]
    if missing:
        title = _("Extensions missing in the database: {names}").format(names=", ".join(missing))
        yield context.warn(title, evidence=evidence)
    elif "not_preloaded" in evidence:
        yield context.warn(
            _("pg_stat_statements is installed but not in shared_preload_libraries"), evidence=evidence
        )
    else:
        yield context.ok(_("All extensions of the guide are installed"), evidence=evidence)
