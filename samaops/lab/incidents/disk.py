"""Runbook disk-full: a big file, a deleted file that is still open, a slot that keeps WAL. Each on /data of a server."""

from __future__ import annotations

from pathlib import Path

from msgspec.structs import replace

from samaops.i18n import N_, _
from samaops.lab import database
from samaops.lab.incidents import broker, sessions
from samaops.lab.incidents.incident import Fault, Incident, Root
from samaops.lab.incidents.mechanisms import (
    LIVE_PERCENT,
    bytes_to_fill,
    filled,
    fullness,
    own_disk,
    sql,
    used_percent,
)
from samaops.lab.incidents.site import Site
from samaops.lab.processes import StartError

DELETED = "deleted-open-file"
DELETED_LOG = Path("/data/logs/passerelle_sms.log")
HOLDING_SECONDS = 3600
SLOT = "ancien_replica"
WRITTEN_BYTES = 16 * 1024**2
LONGEST_WAL_BYTES = 1024**3


def _measure_broker_disk(site: Site) -> None:
    if site.has_own_disk("api") and site.stopped(broker.CONTAINER) is None:
        broker.measure_disk(site)


def _delete_open_log(site: Site) -> None:
    """Let a program keep a big log open that is then removed, as a careless clean-up does."""
    logs = site.server("workers").outer(DELETED_LOG.parent)
    logs.mkdir(exist_ok=True)
    script = (
        f"exec 3>>{DELETED_LOG} && fallocate -l {bytes_to_fill(logs)} {DELETED_LOG} && rm {DELETED_LOG} && "
        f"exec sleep {HOLDING_SECONDS}"
    )
    site.spawn("workers", ["/bin/sh", "-c", script])


def _deleted_log_is_open(site: Site) -> str | None:
    full = fullness(site, "workers")
    for program in site.programs(DELETED):
        descriptor = Path(f"/proc/{program.pid}/fd/3")
        target = str(descriptor.readlink())
        if full and target.endswith("(deleted)"):
            return f"{descriptor} -> {target}; {full}"
    return None


def _write_wal(site: Site) -> None:
    """Write WAL until the disk is nearly full; never until PostgreSQL stops."""
    with sessions.administrator(site) as session:
        for _number in range(LONGEST_WAL_BYTES // WRITTEN_BYTES):
            if used_percent(site, "db") >= LIVE_PERCENT + 1:
                return
            session.execute(sessions.sql("write_wal"))
    raise StartError(_("the WAL does not fill the disk"))


def _slot_keeps_wal(site: Site) -> str | None:
    kept = sessions.run(site, "slot_behind", {"slot": SLOT})
    full = fullness(site, "db")
    if not kept or full is None:
        return None
    text = _("inactive slot {slot} keeps {size} MB of WAL")
    return f"{text.format(slot=SLOT, size=int(kept[0]) // 1024**2)}; {full}"


def _remove_wal(site: Site) -> None:
    """Remove the WAL that the slot kept, and forget the checkpoints that filling the disk has forced."""
    with sessions.administrator(site) as session:
        for step in ("checkpoint", "reset_statistics"):
            session.execute(database.sql(step))


INCIDENTS = (
    Incident(
        id="disk-filled",
        runbook="disk-full",
        title=N_("A big file fills the disk"),
        does=N_("A complete export of all customers is left in /data/exports of server api."),
        notice=N_("The broker stops taking messages, logs and uploads cannot be written."),
        root=Root("disk-full", "servers/api:/data"),
        fault=filled("api", Path("/data/exports/export_clients_complet.csv")).then(heal=_measure_broker_disk),
    ),
    Incident(
        id=DELETED,
        runbook="disk-full",
        title=N_("A deleted log is still open"),
        does=N_("A program of server workers has a big log under /data open; the file was removed with rm."),
        notice=N_("The disk stays full although the big file is gone; du finds nothing."),
        root=Root("deleted-file-still-open", "servers/workers:/data"),
        fault=Fault(
            break_=_delete_open_log,
            evidence=_deleted_log_is_open,
            heal=lambda site: site.end(DELETED),
            refuse=own_disk("workers"),
        ),
    ),
    Incident(
        id="inactive-replication-slot",
        runbook="disk-full",
        title=N_("A forgotten replication slot keeps all WAL"),
        does=N_("The slot of a replica that is gone keeps every WAL file of PostgreSQL; the disk fills."),
        notice=N_("Nothing, until PostgreSQL stops for want of space."),
        root=Root("inactive-replication-slot", "postgresql/db"),
        fault=replace(
            sql("create_slot", "drop_slot", evidence=_slot_keeps_wal, slot=SLOT), refuse=own_disk("db")
        ).then(_write_wal, _remove_wal),
    ),
)
