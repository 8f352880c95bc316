"""Judge what PostgreSQL keeps on disk beside its tables: WAL, slots, archiving, temporary files, checkpoints."""

from __future__ import annotations

from collections.abc import Iterator

from samaops.checks.postgresql.units import quantity
from samaops.checks.registry import Context, Explanation, check
from samaops.facts.postgresql import PostgresFacts, Setting, Slot
from samaops.i18n import N_, _, ngettext
from samaops.model.finding import Finding
from samaops.model.status import Status
from samaops.site.commands import PSQL, direct

MEGABYTE = 1024**2
SLOTS = "SELECT slot_name, active, wal_status, pg_size_pretty(pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)) FROM pg_replication_slots"


def _bytes(settings: dict[str, Setting], name: str) -> float:
    """Return a size setting in bytes; 0 when it is absent, negative when it means "no limit"."""
    setting = settings.get(name)
    return 0.0 if setting is None else quantity(setting.setting, setting.unit) or 0.0


@check(
    "postgresql.slot.inactive",
    title=N_("Replication slots that nobody uses"),
    facts=PostgresFacts,
    needs=("slots", "settings"),
    # Retained WAL as a share of what PostgreSQL keeps anyway (max_wal_size): from twice that on the disk is
    # being filled by the slot. Any inactive slot is a warning.
    critical=200,
    unit="%",
    explain=Explanation(
        meaning=N_(
            "Nobody is connected to a replication slot: PostgreSQL keeps all WAL since then, until the disk is full. "
            "wal_status unreserved or lost: its reader can no longer catch up."
        ),
        confirm=(PSQL.format(SLOTS),),
        fix=N_(
            "Ask whose slot it is and start its reader; when nobody owns it, pg_drop_replication_slot(name). "
            "Then set max_slot_wal_keep_size."
        ),
        avoid=N_("Never delete files in pg_wal: the database would not start again."),
    ),
)
def slots(facts: PostgresFacts, context: Context) -> Iterator[Finding]:
    assert facts.slots is not None
    assert facts.settings is not None
    bad = [slot for slot in facts.slots if not slot.is_active or slot.wal_status in ("unreserved", "lost")]
    if not bad:
        yield context.ok(
            _("No replication slot is without its reader"),
            value=0,
            evidence={"slots": [one.name for one in facts.slots]},
        )
        return
    worst = max(bad, key=lambda slot: slot.retained_bytes or 0)
    percent = _retained_percent(worst, facts.settings)
    is_critical = (context.critical is not None and percent >= context.critical) or any(
        slot.wal_status in ("unreserved", "lost") for slot in bad
    )
    yield context.finding(
        Status.CRITICAL if is_critical else Status.WARNING,
        _("Nobody uses replication slot {name}: it holds back {size} MB of WAL").format(
            name=worst.name, size=round((worst.retained_bytes or 0) / MEGABYTE)
        ),
        value=percent,
        evidence={
            "slot": worst.name,
            "type": worst.type,
            "active": worst.is_active,
            "wal_status": worst.wal_status,
            "retained_bytes": worst.retained_bytes,
            "slots": [
                {"slot": slot.name, "retained_bytes": slot.retained_bytes, "wal_status": slot.wal_status}
                for slot in bad
            ],
        },
        hint=direct(context.site, SLOTS),
    )


def _retained_percent(slot: Slot, settings: dict[str, Setting]) -> float:
    return round(100 * (slot.retained_bytes or 0) / (_bytes(settings, "max_wal_size") or 1024 * MEGABYTE), 1)


@check(
    "postgresql.wal.large",
    title=N_("Size of pg_wal against what the settings allow"),
    facts=PostgresFacts,
    needs=("wal", "settings"),
    # max_wal_size is a soft limit: a burst may pass it, twice as much has a reason (a slot, failing archiving).
    warning=200,
    critical=400,
    unit="%",
    explain=Explanation(
        meaning=N_(
            "WAL is not recycled: a slot, failing archiving or wal_keep_size holds it back; the disk fills up."
        ),
        confirm=(
            PSQL.format("SELECT count(*), pg_size_pretty(sum(size)) FROM pg_ls_waldir()"),
            PSQL.format(SLOTS),
            PSQL.format("SELECT * FROM pg_stat_archiver"),
        ),
        fix=N_(
            "Repair the reason (slot, archive_command): PostgreSQL then removes the files itself at a checkpoint."
        ),
        avoid=N_("Never delete files in pg_wal, whatever their age: the database would not start again."),
    ),
)
def wal(facts: PostgresFacts, context: Context) -> Iterator[Finding]:
    assert facts.wal is not None
    assert facts.settings is not None
    allowed = _bytes(facts.settings, "max_wal_size") + max(0.0, _bytes(facts.settings, "wal_keep_size"))
    percent = round(100 * facts.wal.size_bytes / (allowed or 1024 * MEGABYTE), 1)
    yield context.above(
        percent,
        _("pg_wal holds {size} MB, {percent} % of what the settings ask for").format(
            size=round(facts.wal.size_bytes / MEGABYTE), percent=percent
        ),
        evidence={
            "size_bytes": facts.wal.size_bytes,
            "files": facts.wal.files,
            "allowed_bytes": round(allowed),
            "waiting_to_archive": facts.wal.waiting_to_archive,
            "inactive_slots": [slot.name for slot in facts.slots or () if not slot.is_active],
            "archiver_failing": bool(facts.archiver and facts.archiver.last_attempt_failed),
        },
    )


@check(
    "postgresql.archiver.failing",
    title=N_("Archiving of WAL"),
    facts=PostgresFacts,
    needs=("archiver",),
    critical=64,  # segments of 16 MB: from 1 GB on it is the disk that is at stake
    unit="segments",
    explain=Explanation(
        meaning=N_(
            "archive_command fails: WAL stays until it succeeds, and the backup has a hole that grows."
        ),
        confirm=(
            PSQL.format("SELECT * FROM pg_stat_archiver"),
            "ssh <serveur db> tail -50 /var/log/postgresql/*.log",
        ),
        fix=N_(
            "Repair what archive_command writes to (space, mount, rights, network); WAL then goes away by itself."
        ),
        avoid=N_(
            "Never delete in pg_wal. Do not set archive_command to /bin/true: the backup would be worthless."
        ),
    ),
)
def archiver(facts: PostgresFacts, context: Context) -> Iterator[Finding]:
    assert facts.archiver is not None
    state = facts.archiver
    waiting = facts.wal.waiting_to_archive if facts.wal else None
    evidence = {
        "mode": state.mode,
        "archived": state.archived,
        "failed": state.failed,
        "last_failed_wal": state.last_failed_wal,
        "seconds_since_success": state.archived_seconds,
        "seconds_since_failure": state.failed_seconds,
        "waiting_to_archive": waiting,
    }
    if state.mode == "off":
        yield context.ok(_("Archiving of WAL is off"), evidence=evidence)
    elif not state.last_attempt_failed:
        yield context.ok(_("Archiving of WAL works"), evidence=evidence)
    else:
        is_critical = waiting is not None and context.critical is not None and waiting >= context.critical
        yield context.finding(
            Status.CRITICAL if is_critical else Status.WARNING,
            _("Archiving of WAL fails: the last attempt, {wal}, did not succeed").format(
                wal=state.last_failed_wal
            ),
            value=waiting,
            evidence=evidence,
            hint=direct(context.site, "SELECT * FROM pg_stat_archiver"),
        )


@check(
    "postgresql.temp.high",
    title=N_("Temporary files of queries"),
    facts=PostgresFacts,
    needs=("temp_files", "databases"),
    # General experience on a data disk of 100 GB: 1 GB is a query to look at, 10 GB endangers the disk.
    warning=1024,
    critical=10240,
    unit="MB",
    explain=Explanation(
        meaning=N_("Queries sort or join more than work_mem allows and write temporary files: slow, and they fill the disk."),
        confirm=(
            PSQL.format("SELECT * FROM pg_ls_tmpdir() ORDER BY size DESC"),
            PSQL.format("SELECT datname, temp_files, pg_size_pretty(temp_bytes) FROM pg_stat_database"),
        ),
        fix=N_("pg_cancel_backend(pid) of the one query: its files are gone at once. Then its plan, and temp_file_limit."),
        avoid=N_("Do not delete pgsql_tmp while the server runs; do not raise work_mem for everybody."),
    ),
)  # fmt: skip
def temp_files(facts: PostgresFacts, context: Context) -> Iterator[Finding]:
    assert facts.temp_files is not None
    assert facts.databases is not None
    now = sum(one.size_bytes for one in facts.temp_files)
    per_day = sum(one.temp_bytes / max(1.0, (one.counted_seconds or 0) / 86_400) for one in facts.databases)
    queries = {one.pid: one.query for one in facts.activity.longest_queries} if facts.activity else {}
    evidence = {
        "bytes_now": now,
        "bytes_per_day": round(per_day),
        "by_pid": [
            {"pid": one.pid, "size_bytes": one.size_bytes, "query": queries.get(one.pid, "")}
            for one in facts.temp_files
        ],
    }
    if facts.temp_files:
        title = ngettext(
            "{count} query uses {size} MB of temporary files now",
            "{count} queries use {size} MB of temporary files now",
            len(facts.temp_files),
        ).format(count=len(facts.temp_files), size=round(now / MEGABYTE))
    else:
        title = _("No query writes temporary files now; {size} MB a day in the mean").format(
            size=round(per_day / MEGABYTE)
        )
    yield context.above(round(now / MEGABYTE, 1), title, evidence=evidence)


LEAST_CHECKPOINTS = 20


@check(
    "postgresql.checkpoints.requested",
    title=N_("Checkpoints forced before their time"),
    facts=PostgresFacts,
    needs=("checkpoints",),
    # PostgreSQL's documentation wants checkpoints by time, not by max_wal_size; half forced is a clear sign.
    warning=50,
    unit="%",
    explain=Explanation(
        meaning=N_("Checkpoints come because WAL grows faster than max_wal_size allows: bursts of writes, slow queries."),
        confirm=(PSQL.format("SELECT checkpoints_timed, checkpoints_req, stats_reset FROM pg_stat_bgwriter"),),
        fix=N_("Raise max_wal_size (a reload is enough) as far as the disk allows, or spread the load that writes."),
        avoid=N_("Do not switch fsync or full_page_writes off."),
    ),
)  # fmt: skip
def checkpoints(facts: PostgresFacts, context: Context) -> Iterator[Finding]:
    assert facts.checkpoints is not None
    seen = facts.checkpoints
    total = seen.timed + seen.requested
    evidence = {"timed": seen.timed, "requested": seen.requested, "counted_seconds": seen.counted_seconds}
    if total < LEAST_CHECKPOINTS:
        title = _("Only {count} checkpoints since counting began: too few to judge").format(count=total)
        yield context.ok(title, evidence=evidence)
        return
    percent = round(100 * seen.requested / total, 1)
    title = _("{percent} % of the checkpoints were forced before their time").format(percent=percent)
    yield context.above(percent, title, evidence=evidence)


@check(
    "postgresql.replication.lag",
    title=N_("Lag of the standbys"),
    facts=PostgresFacts,
    needs=("standbys",),
    warning=60,
    critical=600,
    unit="s",
    explain=Explanation(
        meaning=N_(
            "A standby replays what happened here late: after a failover this much would be lost or missing."
        ),
        confirm=(PSQL.format("SELECT application_name, state, replay_lag FROM pg_stat_replication"),),
        fix=N_("Look at the standby's disk and network, and at long queries there that hold up its replay."),
        avoid=N_("Do not rebuild the standby as long as it still catches up."),
    ),
)
def replication_lag(facts: PostgresFacts, context: Context) -> Iterator[Finding]:
    assert facts.standbys is not None
    if not facts.standbys:
        yield context.ok(_("No standby is connected"), value=0)
        return
    worst = max(facts.standbys, key=lambda one: one.lag_seconds or 0)
    standbys = [
        {"name": one.name, "client": one.client, "state": one.state, "lag_bytes": one.lag_bytes, "lag_seconds": one.lag_seconds}
        for one in facts.standbys
    ]  # fmt: skip
    title = _("Standby {name} is {seconds:.0f} s behind").format(
        name=worst.name, seconds=worst.lag_seconds or 0
    )
    yield context.above(round(worst.lag_seconds or 0, 1), title, evidence={"standbys": standbys})
