"""Judge what PostgreSQL keeps on disk beside its tables: WAL, slots, archiving, temporary files, checkpoints."""

from __future__ import annotations

from collections.abc import Iterator

from samaops.checks.postgresql.units import quantity
from samaops.checks.registry import Context, Evidence, check
from samaops.facts.postgresql import PostgresFacts, Setting, Slot, Standby
from samaops.i18n import _, ngettext
from samaops.model.finding import Finding
from samaops.model.status import Status
from samaops.site.commands import direct, on_server

MEGABYTE = 1024**2
SLOTS = "SELECT slot_name, active, wal_status, pg_size_pretty(pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)) FROM pg_replication_slots"


def _bytes(settings: dict[str, Setting], name: str) -> float:
    """Return a size setting in bytes; 0 when it is absent, negative when it means "no limit"."""
    setting = settings.get(name)
    return 0.0 if setting is None else quantity(setting.setting, setting.unit) or 0.0


@check(
    "postgresql.slot.inactive",
    PostgresFacts,
    needs=("slots", "settings"),
    # Retained WAL as a share of what PostgreSQL keeps anyway (max_wal_size): from twice that on the disk is
    # being filled by the slot. Any inactive slot is a warning.
    critical=200,
    unit="%",
)
def slots(facts: PostgresFacts, context: Context) -> Iterator[Finding]:
    assert facts.slots is not None
    assert facts.settings is not None
    usable = [slot for slot in facts.slots if not slot.is_lost]
    percents = {slot.name: _retained_percent(slot, facts.settings) for slot in usable}
    filling = {name for name, percent in percents.items() if context.critical and percent >= context.critical}
    # A standby copies the slots of its primary for the day it is promoted: nobody is connected to them.
    idle = [slot for slot in usable if not slot.is_active and not slot.is_synced]
    ending = [slot for slot in usable if slot.wal_status == "unreserved"]
    bad = ending or idle or [slot for slot in usable if slot.name in filling]
    if not bad:
        title = _("No replication slot is without its reader")
        yield context.ok(title, value=0, evidence={"slots": [slot.name for slot in facts.slots]})
        return
    worst = max(bad, key=lambda slot: slot.retained_bytes or 0)
    if ending:
        title = _(
            "The reader of replication slot {name}, {size} MB behind, loses its WAL at the next checkpoint"
        )
    elif worst.is_active:
        title = _("The reader of replication slot {name} is far behind: it holds back {size} MB of WAL")
    elif worst.retained_bytes is None:
        title = _("Replication slot {name} was never used: it holds back no WAL yet")
    else:
        title = _("Nobody uses replication slot {name}: it holds back {size} MB of WAL")
    is_critical = ending or (worst.name in filling and not worst.is_active)
    yield context.finding(
        Status.CRITICAL if is_critical else Status.WARNING,
        title.format(name=worst.name, size=round((worst.retained_bytes or 0) / MEGABYTE)),
        value=percents[worst.name],
        evidence={**_slot(worst), "active": worst.is_active, "slots": [_slot(slot) for slot in bad]},
        hint=direct(context.site, SLOTS),
    )


@check("postgresql.slot.lost", PostgresFacts, needs=("slots",))
def lost_slots(facts: PostgresFacts, context: Context) -> Iterator[Finding]:
    lost = [slot for slot in facts.slots or () if slot.is_lost]
    if not lost:
        yield context.ok(_("No replication slot has lost what its reader needs"))
        return
    names = ", ".join(slot.name for slot in lost)
    yield context.crit(
        _("The reader of replication slot {name} has lost its WAL: it must be rebuilt").format(name=names),
        evidence={"slots": [_slot(slot) for slot in lost]},
        hint=direct(context.site, SLOTS),
    )


def _slot(slot: Slot) -> Evidence:
    return {
        "slot": slot.name,
        "type": slot.type,
        "wal_status": slot.wal_status,
        "retained_bytes": slot.retained_bytes,
        "safe_bytes": slot.safe_bytes,
        "invalidation_reason": slot.reason,
    }


def _retained_percent(slot: Slot, settings: dict[str, Setting]) -> float:
    return round(100 * (slot.retained_bytes or 0) / (_bytes(settings, "max_wal_size") or 1024 * MEGABYTE), 1)


@check(
    "postgresql.wal.large",
    PostgresFacts,
    needs=("wal", "settings"),
    # max_wal_size is a soft limit: a burst may pass it, twice as much has a reason (a slot, failing archiving).
    warning=200,
    critical=400,
    unit="%",
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
            "max_wal_bytes": round(_bytes(facts.settings, "max_wal_size")),
            "wal_keep_bytes": round(max(0.0, _bytes(facts.settings, "wal_keep_size"))),
            "waiting_to_archive": facts.wal.waiting_to_archive,
            "inactive_slots": [
                slot.name for slot in facts.slots or () if not slot.is_active and not slot.is_lost
            ],
            "archiver_failing": bool(facts.archiver and facts.archiver.last_attempt_failed),
        },
    )


@check(
    "postgresql.archiver.failing",
    PostgresFacts,
    needs=("archiver", "wal"),
    critical=64,  # segments of 16 MB: from 1 GB on it is the disk that is at stake
    unit="segments",
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
    "postgresql.archiver.late",
    PostgresFacts,
    needs=("archiver", "wal"),
    # Segments of 16 MB that wait: what was committed in them is lost with the disk. Some wait in any burst of writing; from
    # half a gigabyte on the archive does not keep up.
    warning=8,
    critical=32,
    unit="segments",
)
def archive_late(facts: PostgresFacts, context: Context) -> Iterator[Finding]:
    backup = context.site.settings.backup
    is_needed = backup is not None and backup.engine == "pgbackrest"
    assert facts.archiver is not None
    waiting = facts.wal.waiting_to_archive if facts.wal else 0
    seconds = facts.archiver.archived_seconds
    evidence = {"mode": facts.archiver.mode, "waiting_to_archive": waiting, "seconds_since_success": seconds}
    if facts.archiver.mode == "off" and is_needed:
        title = _(
            "Archiving is off, and pgBackRest is the engine: no moment since the last backup can be restored"
        )
        yield context.crit(title, evidence=evidence, hint=direct(context.site, "SHOW archive_mode"))
        return
    if facts.archiver.mode == "off":
        yield context.ok(_("Archiving of WAL is off"), evidence=evidence)
        return
    hint = direct(context.site, "SELECT * FROM pg_stat_archiver")
    if backup is not None and is_needed:
        command = f"sudo -u {backup.os_user} pgbackrest --stanza={backup.stanza} check"
        hint = on_server(context.site, backup.server, command)
    title = _("{count} segments of the log wait to be archived").format(count=waiting)
    yield context.above(waiting, title, evidence=evidence, hint=hint)


@check(
    "postgresql.temp.high",
    PostgresFacts,
    needs=("temp_files", "databases"),
    # General experience on a data disk of 100 GB: 1 GB is a query to look at, 10 GB endangers the disk.
    warning=1024,
    critical=10240,
    unit="MB",
)
def temp_files(facts: PostgresFacts, context: Context) -> Iterator[Finding]:
    assert facts.temp_files is not None
    assert facts.databases is not None
    now = sum(file.size_bytes for file in facts.temp_files)
    per_day = sum(
        database.temp_bytes / max(1.0, (database.counted_seconds or 0) / 86_400)
        for database in facts.databases
    )
    sessions = facts.activity.longest_queries if facts.activity else ()
    queries = {session.pid: session.query for session in sessions}
    evidence = {
        "bytes_now": now,
        "bytes_per_day": round(per_day),
        "by_pid": [
            {"pid": file.pid, "size_bytes": file.size_bytes, "query": queries.get(file.pid, "")}
            for file in facts.temp_files
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
    PostgresFacts,
    needs=("checkpoints",),
    # PostgreSQL's documentation wants checkpoints by time, not by max_wal_size; half forced is a clear sign.
    warning=50,
    unit="%",
)
def checkpoints(facts: PostgresFacts, context: Context) -> Iterator[Finding]:
    assert facts.checkpoints is not None
    seen = facts.checkpoints
    total = seen.timed + seen.requested
    evidence = {
        "timed": seen.timed,
        "requested": seen.requested,
        "counted_seconds": seen.counted_seconds,
        "max_wal_size_bytes": _bytes(facts.settings or {}, "max_wal_size") or None,
    }
    if total < LEAST_CHECKPOINTS:
        title = _("Only {count} checkpoints since counting began: too few to judge").format(count=total)
        yield context.ok(title, evidence=evidence)
        return
    percent = round(100 * seen.requested / total, 1)
    title = _("{percent} % of the checkpoints were forced before their time").format(percent=percent)
    yield context.above(percent, title, evidence=evidence)


@check("postgresql.replication.lag", PostgresFacts, needs=("standbys",), warning=60, critical=600, unit="s")
def replication_lag(facts: PostgresFacts, context: Context) -> Iterator[Finding]:
    yield context.worst(
        facts.standbys or (),
        by=lambda standby: round(standby.lag_seconds or 0, 1),
        title=lambda standby: _("Standby {name} is {seconds:.0f} s behind").format(
            name=standby.name, seconds=standby.lag_seconds or 0
        ),
        evidence=lambda standbys: {"standbys": [_standby(standby) for standby in standbys]},
        none=_("No standby is connected"),
    )


def _standby(standby: Standby) -> Evidence:
    return {
        "name": standby.name,
        "client": standby.client,
        "state": standby.state,
        "lag_bytes": standby.lag_bytes,
        "lag_seconds": standby.lag_seconds,
    }
