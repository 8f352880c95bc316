"""Runbook disk-full: a big file, a deleted file that is still open, a slot that keeps WAL. Each on /data of a server."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import psycopg

from samaops.i18n import N_, _
from samaops.lab import database
from samaops.lab.incidents import broker, containers, looks, sessions
from samaops.lab.incidents.incident import Incident, Root
from samaops.lab.incidents.site import PROGRAM_VARIABLE, Site
from samaops.lab.layout import ADDRESSES
from samaops.lab.processes import StartError
from samaops.lab.specs import ProcessSpec

FULL_PERCENT = 93.0
LIVE_PERCENT = 90.0
EXPORT = Path("/data/exports/export_clients_complet.csv")
DELETED_LOG = Path("/data/logs/passerelle_sms.log")
HOLDING_SECONDS = 3600
SLOT = "ancien_replica"
LONGEST_WAL_BYTES = 1024**3
DELETED = "deleted-open-file"


def _own_disk(server: str) -> Callable[[Site], str | None]:
    def refuse(site: Site) -> str | None:
        if site.has_own_disk(server):
            return None
        if site.states.state.server(server) is not None:
            return _("server {server} does not run").format(server=server)
        return _("/data of {server} is on this machine's own disk, which is never filled").format(
            server=server
        )

    return refuse


def _data(site: Site, server: str) -> Path:
    return site.server(server).outer(Path("/data"))


def _bytes_to_fill(data: Path) -> int:
    """Return how many more bytes make a file system as full as wanted."""
    seen = os.statvfs(data)
    used = seen.f_blocks - seen.f_bfree
    return max(0, int((used + seen.f_bavail) * FULL_PERCENT / 100 - used) * seen.f_frsize)


def _fullness(site: Site, server: str) -> str | None:
    percent = looks.used_percent(_data(site, server)) if site.has_own_disk(server) else 0.0
    if percent < LIVE_PERCENT:
        return None
    return _("/data of {server} is {percent:.0f} % full").format(server=server, percent=percent)


def _fill_disk(site: Site) -> None:
    path = site.server("api").outer(EXPORT)
    path.parent.mkdir(exist_ok=True)
    with path.open("ab") as file:
        os.posix_fallocate(file.fileno(), file.tell(), _bytes_to_fill(path.parent))


def _disk_is_filled(site: Site) -> str | None:
    if not site.has_own_disk("api") or not site.server("api").outer(EXPORT).exists():
        return None
    return _fullness(site, "api")


def _free_disk(site: Site) -> None:
    if not site.has_own_disk("api"):
        return  # it went with its server; the path is this machine's now
    path = site.server("api").outer(EXPORT)
    path.unlink(missing_ok=True)
    if path.parent.exists():
        path.parent.rmdir()
    if site.is_alone and containers.is_stopped(site, broker.CONTAINER) is None:
        broker.measure_disk(site)


def _delete_open_log(site: Site) -> None:
    """Let a program keep a big log open that is then removed, as a careless clean-up does."""
    size = _bytes_to_fill(_data(site, "workers"))
    script = (
        f"exec 3>>{DELETED_LOG} && fallocate -l {size} {DELETED_LOG} && rm {DELETED_LOG} && "
        f"exec sleep {HOLDING_SECONDS}"
    )
    site.server("workers").outer(DELETED_LOG.parent).mkdir(exist_ok=True)
    site.spawn(
        ProcessSpec(
            name=DELETED,
            server="workers",
            address=ADDRESSES["workers"],
            port=0,
            argv=("/bin/sh", "-c", script),
            ready=lambda: True,
            environment={PROGRAM_VARIABLE: DELETED},
        )
    )


def _deleted_log_is_open(site: Site) -> str | None:
    pid = site.pid_of(DELETED)
    try:
        target = str(Path(f"/proc/{pid}/fd/3").readlink()) if pid else ""
    except OSError:
        return None
    full = _fullness(site, "workers")
    return f"/proc/{pid}/fd/3 -> {target}; {full}" if full and target.endswith("(deleted)") else None


def _close_deleted_log(site: Site) -> None:
    site.end(DELETED)


def _leave_slot(site: Site) -> None:
    """Leave a slot behind and write WAL until the disk is nearly full; never until PostgreSQL stops."""
    data = _data(site, "db")
    with sessions.administrator(site) as session:
        session.execute(sessions.sql("create_slot"), {"slot": SLOT})
        written = 0
        while looks.used_percent(data) < LIVE_PERCENT + 1:
            session.execute(sessions.sql("write_wal"))
            written += 16 * 1024**2
            if written > LONGEST_WAL_BYTES:
                raise StartError(_("the WAL does not fill the disk"))


def _slot_keeps_wal(site: Site) -> str | None:
    try:
        with sessions.administrator(site) as session:
            row = session.execute(sessions.sql("slot_behind"), {"slot": SLOT}).fetchone()
    except psycopg.Error:
        return None
    full = _fullness(site, "db")
    if row is None or full is None:
        return None
    megabytes = int(row[0]) // 1024**2
    kept = _("inactive slot {slot} keeps {size} MB of WAL").format(slot=SLOT, size=megabytes)
    return f"{kept}; {full}"


def _drop_slot(site: Site) -> None:
    """Drop the slot and its WAL, and forget the checkpoints that filling the disk has forced."""
    with sessions.administrator(site) as session:
        session.execute(sessions.sql("drop_slot"), {"slot": SLOT})
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
        break_=_fill_disk,
        is_live=_disk_is_filled,
        heal=_free_disk,
        refuse=_own_disk("api"),
    ),
    Incident(
        id=DELETED,
        runbook="disk-full",
        title=N_("A deleted log is still open"),
        does=N_("A program of server workers has a big log under /data open; the file was removed with rm."),
        notice=N_("The disk stays full although the big file is gone; du finds nothing."),
        root=Root("deleted-file-still-open", "servers/workers:/data"),
        break_=_delete_open_log,
        is_live=_deleted_log_is_open,
        heal=_close_deleted_log,
        refuse=_own_disk("workers"),
    ),
    Incident(
        id="inactive-replication-slot",
        runbook="disk-full",
        title=N_("A forgotten replication slot keeps all WAL"),
        does=N_("The slot of a replica that is gone keeps every WAL file of PostgreSQL; the disk fills."),
        notice=N_("Nothing, until PostgreSQL stops for want of space."),
        root=Root("inactive-replication-slot", "postgresql/db"),
        break_=_leave_slot,
        is_live=_slot_keeps_wal,
        heal=_drop_slot,
        refuse=_own_disk("db"),
    ),
)
