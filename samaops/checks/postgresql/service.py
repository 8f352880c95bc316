"""Judge PostgreSQL: whether it serves, how fast, with how many connections, set up how.

Its sessions, storage and tables are judged in the modules imported below.
"""

from __future__ import annotations

from collections.abc import Iterator

from samaops.checks.postgresql.units import difference, whole
from samaops.checks.registry import Context, access, check
from samaops.facts.postgresql import PostgresFacts, usable_connections
from samaops.i18n import _, joined, ngettext, some
from samaops.model.finding import Finding
from samaops.site.commands import direct, samaops

access(
    "postgresql.service.unreachable",
    PostgresFacts,
    title=lambda facts: _("PostgreSQL {version} accepts connections, login in {milliseconds} ms").format(
        version=facts.version.partition(" ")[0], milliseconds=facts.connect_ms
    ),
    evidence=lambda facts: {
        "version": facts.version,
        "connect_ms": facts.connect_ms,
        "uptime_seconds": facts.uptime_seconds,
    },
)


@check(
    "postgresql.latency.high",
    PostgresFacts,
    warning=100,  # the guide's KPI for the database: 100 ms good, 500 ms not acceptable
    critical=500,
    unit="ms",
)
def latency(facts: PostgresFacts, context: Context) -> Iterator[Finding]:
    yield context.above(
        facts.ping_ms,
        _("SELECT 1 takes {milliseconds} ms on PostgreSQL").format(milliseconds=facts.ping_ms),
        evidence={"ping_ms": facts.ping_ms, "connect_ms": facts.connect_ms},
        hint=context.on_server("uptime"),
    )


@check("postgresql.recovery.active", PostgresFacts)
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


@check(
    "postgresql.connections.high",
    PostgresFacts,
    needs=("connections", "settings"),
    warning=80,
    critical=95,
    unit="%",
)
def connections(facts: PostgresFacts, context: Context) -> Iterator[Finding]:
    assert facts.connections is not None
    assert facts.settings is not None
    used, limit = facts.connections.used, usable_connections(facts.settings)
    if limit is None:
        yield context.not_given("max_connections")
        return
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
            "max_connections": whole(facts.settings, "max_connections"),
            "by_state": facts.connections.by_state,
            "by_client": facts.connections.by_client,
            "started_within_10_s": facts.connections.started_within_10_s,
        },
        hint=samaops(context.site, "db connections"),
    )


@check("postgresql.settings.different", PostgresFacts, needs=("settings",), unit="settings")
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
    names = [f"{name}={value['actual']} ({value['expected']})" for name, value in sorted(different.items())]
    yield context.warn(
        ngettext(
            "{count} setting of PostgreSQL is not as expected or waits for a restart: {names}",
            "{count} settings of PostgreSQL are not as expected or wait for a restart: {names}",
            bad,
        ).format(count=bad, names=some(sorted({*different, *pending}), 4)),
        detail=joined((*names, *(_("{name} waits for a restart").format(name=name) for name in pending))),
        value=bad,
        evidence=evidence,
    )


@check("postgresql.extension.missing", PostgresFacts, needs=("extensions",))
def extensions(facts: PostgresFacts, context: Context) -> Iterator[Finding]:
    assert facts.extensions is not None
    missing = sorted(name for name, version in facts.extensions.items() if version is None)
    evidence = {
        "missing": missing,
        "installed": {name: version for name, version in facts.extensions.items() if version is not None},
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
