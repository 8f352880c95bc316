"""Disks that are full of one owner's files each: logs, temporary files, WAL, volumes, uploads, dumps, images, backups; and of files."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Callable
from functools import partial
from pathlib import Path

from msgspec.structs import replace

from samaops.i18n import N_, _, joined
from samaops.lab import database
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
from samaops.lab.incidents.site import Site, server_of
from samaops.lab.incidents.tools import hold, sessions
from samaops.lab.layout import DATABASE_USER
from samaops.lab.processes import StartError
from samaops.lab.starting import wait_until
from samaops.lab.storage import BACKUPS

WORKERS = "servers/workers:/data"
DATABASE_DISK = "servers/db:/data"
TALKING = "samaconso_celery_worker_2"
GROWING = Path("/data/logs/facturation.log")
GROWING_ID = "application-log-grown"
SPOOL = Path("/data/spool/sms")
SPARE_INODES = 3000
SORT_SECONDS = 60.0
_LINE = b"2026-01-31 03:12:00 INFO facture envoyee, reste dans la boucle de reprise: tentative suivante\n"
_BLOCK = 1024 * 1024
# Of what a row of the sort, or of the table, takes on the disk.
_ROW_BYTES = 1000


def _write_lines(path: Path, line: bytes) -> None:
    """Add lines to a file until its disk is as full as wanted."""
    block = line * (_BLOCK // len(line))
    with path.open("ab", buffering=0) as file:
        while (missing := bytes_to_fill(path.parent)) > len(line):
            file.write(block[: max(1, missing // len(line)) * len(line)])


def _log_of(site: Site) -> Path:
    """Return the file that holds the log of the container that talks too much."""
    path = site.docker(TALKING, "inspect", "--format", "{{.LogPath}}", TALKING).strip()
    return site.server(server_of(TALKING)).outer(Path(path))


def _talk(site: Site) -> None:
    """Let a container's log grow as one does that writes each step of a loop."""
    path = _log_of(site)
    site.remember([str(path.stat().st_size)])
    entry = {"log": _LINE.decode("ascii"), "stream": "stdout", "time": "2026-01-31T03:12:00.000000000Z"}
    _write_lines(path, json.dumps(entry).encode("ascii") + b"\n")


def _container_has_talked(site: Site) -> str | None:
    full = fullness(site, "workers")
    if full is None or not site.is_container(TALKING):
        return None
    size = _log_of(site).stat().st_size
    if size < _BLOCK * 50:
        return None
    text = _("the log of {name} has {size} MB")
    return joined((text.format(name=TALKING, size=size // _BLOCK), full))


def _forget_talk(site: Site) -> None:
    if not site.is_container(TALKING) or not site.has_own_disk("workers"):
        return
    path = _log_of(site)
    before = int((site.remembered() or ("0",))[0])
    if path.stat().st_size > before:
        os.truncate(path, before)
    for kept in path.parent.glob(f"{path.name}.*.gz"):  # the end that samaops kept of it
        kept.unlink()


def _without_containers(site: Site) -> str | None:
    if not site.has_containers:
        return _("no container engine runs here")
    return own_disk("workers")(site)


def _let_log_grow(site: Site) -> None:
    """Let a program keep a log open to which it adds, and nobody rotate it."""
    outer = site.server("workers").outer(GROWING)
    outer.parent.mkdir(exist_ok=True)
    outer.touch()
    site.spawn("workers", ["/bin/sh", "-c", f"exec 3>>{shlex.quote(str(GROWING))} && exec sleep 3600"])
    _write_lines(outer, _LINE)


def _log_has_grown(site: Site) -> str | None:
    full = fullness(site, "workers")
    outer = site.server("workers").outer(GROWING)
    if full is None or not outer.exists() or not site.programs(GROWING_ID):
        return None
    return joined(
        (
            _("{path} is open and has {size} MB").format(path=GROWING, size=outer.stat().st_size // _BLOCK),
            full,
        )
    )


def _remove_log(site: Site) -> None:
    site.end(GROWING_ID)
    if site.has_own_disk("workers"):
        outer = site.server("workers").outer(GROWING)
        for path in outer.parent.glob(f"{GROWING.name}*"):
            path.unlink()


def _inodes(site: Site) -> os.statvfs_result:
    return os.statvfs(site.server("workers").outer(Path("/data")))


def _use_up_inodes(site: Site) -> None:
    """Leave next to no inodes, by many small files; the limit is lowered so that some thousands are many."""
    disk = _inodes(site)
    site.remember([str(disk.f_files)])
    most = disk.f_files - disk.f_ffree + SPARE_INODES
    site.run("workers", ["mount", "-o", f"remount,nr_inodes={most}", "/data"])
    spool = site.server("workers").outer(SPOOL)
    spool.mkdir(parents=True, exist_ok=True)
    for number in range(_inodes(site).f_ffree - SPARE_INODES // 50):
        (spool / f"sms-{number}.json").touch()


def _inodes_are_used_up(site: Site) -> str | None:
    if not site.has_own_disk("workers"):
        return None
    disk = _inodes(site)
    percent = 100 * (disk.f_files - disk.f_ffree) / max(1, disk.f_files)
    if percent < LIVE_PERCENT or not site.server("workers").outer(SPOOL).exists():
        return None
    return _("{percent:.0f} % of the inodes of /data of {server} are used").format(
        percent=percent, server="workers"
    )


def _give_inodes_back(site: Site) -> None:
    if not site.has_own_disk("workers"):
        return
    spool = site.server("workers").outer(SPOOL)
    if spool.exists():
        for path in spool.iterdir():
            path.unlink()
        spool.rmdir()
        if not any(spool.parent.iterdir()):
            spool.parent.rmdir()
    for before in site.remembered():
        site.run("workers", ["mount", "-o", f"remount,nr_inodes={before}", "/data"])


def _rows_to_fill(site: Site) -> int:
    return bytes_to_fill(site.server("db").outer(Path("/data"))) // _ROW_BYTES


def _sort_much(site: Site) -> None:
    sessions.hold(site, "sort", str(_rows_to_fill(site)))
    if not wait_until(lambda: used_percent(site, "db") >= LIVE_PERCENT, SORT_SECONDS):
        raise StartError(_("the sort does not fill the disk"))


def _sorts(site: Site) -> str | None:
    full = fullness(site, "db")
    if full is None or not sessions.count(site, hold.SORTING_NAME, "active"):
        return None
    return joined((_("a query of {name} sorts on the disk").format(name=hold.SORTING_NAME), full))


def _end_sort(site: Site) -> None:
    site.end("query-temporary-files")
    sessions.end(site, hold.SORTING_NAME)


def _write_wal(site: Site) -> None:
    """Write WAL until the disk is nearly full; never until PostgreSQL stops."""
    sessions.run(site, "reload")
    with sessions.administrator(site) as session:
        for _number in range(64):
            if used_percent(site, "db") >= LIVE_PERCENT + 1:
                return
            session.execute(sessions.sql("write_wal"))
    raise StartError(_("the WAL does not fill the disk"))


def _wal_is_kept(site: Site) -> str | None:
    kept = sessions.run(site, "show_wal_keep")
    full = fullness(site, "db")
    if not kept or full is None:
        return None
    return joined((_("wal_keep_size is {size} MB").format(size=kept[0]), full))


def _let_wal_go(site: Site) -> None:
    sessions.run(site, "reload")
    sessions.run(site, "checkpoint_now")
    sessions.run(site, "forget_checkpoints")


def _fill_table(site: Site) -> None:
    """Load a table of the application's own, and have it analysed, as after any load."""
    with database.connection(site.secrets, DATABASE_USER) as session:
        session.execute(sessions.sql("fill_table"), {"rows": _rows_to_fill(site)})
        session.execute(sessions.sql("analyze_filled_table"))
    sessions.run(site, "checkpoint_now")


def _table_is_filled(site: Site) -> str | None:
    full = fullness(site, "db")
    if full is None or not sessions.has_row(site, "filled_table_exists"):
        return None
    return joined((_("the table archives_sms holds the disk"), full))


def _drop_filled_table(site: Site) -> None:
    sessions.run(site, "drop_filled_table")
    _let_wal_go(site)


def _alone(server: str, path: str, keep: str = "/data") -> Fault:
    """One big file, in directories that are made for it and go with it, up to ``keep``."""
    fault = filled(server, Path(path))

    def fill(site: Site) -> None:
        site.server(server).outer(Path(path)).parent.mkdir(parents=True, exist_ok=True)
        fault.break_(site)

    def free(site: Site) -> None:
        if not site.has_own_disk(server):
            return
        site.server(server).outer(Path(path)).unlink(missing_ok=True)
        for above in Path(path).parents:
            outer = site.server(server).outer(above)
            if str(above) in (keep, "/data") or (outer.exists() and any(outer.iterdir())):
                return
            if outer.exists():
                outer.rmdir()

    return replace(fault, break_=fill, heal=free)


def _old_backup(site: Site, days: int = 400) -> None:
    outer = site.server("db").outer(Path("/data") / BACKUPS / OLD_BACKUP)
    before = outer.stat().st_mtime - days * 86_400
    os.utime(outer, (before, before))


OLD_BACKUP = "samaconso_20241001_030000.backup"
_FILES: tuple[tuple[str, str, str, str, str, Callable[[], Fault]], ...] = (
    (
        "docker-volume-filled", "docker-volume-grown", WORKERS,
        N_("A volume of Docker fills the disk"),
        N_("One big file in the volume outil_export holds most of the disk of server workers."),
        partial(_alone, "workers", "/data/docker/volumes/outil_export/_data/base.dat", "/data/docker/volumes"),
    ),
    (
        "images-filled", "docker-images-grown", WORKERS,
        N_("Layers of old images fill the disk"),
        N_("A layer that no image names any more holds most of the disk of server workers."),
        partial(_alone, "workers", "/data/docker/overlay2/abandonnee/diff/couche.bin", "/data/docker/overlay2"),
    ),
    (
        "redis-save-left", "redis-files-grown", WORKERS,
        N_("Saves of Redis that failed fill the disk"),
        N_("The file of a save that was broken off, temp-4711.rdb, holds most of the disk of server workers."),
        partial(_alone, "workers", "/data/docker/volumes/redis_ancien/_data/temp-4711.rdb", "/data/docker/volumes"),
    ),
    (
        "core-dumps", "core-dumps-left", WORKERS,
        N_("Core dumps fill the disk"),
        N_("A core dump of a worker in /data/coredump holds most of the disk of server workers."),
        partial(_alone, "workers", "/data/coredump/core.celery.4711"),
    ),
    (
        "uploads-unfinished", "uploads-left-unfinished", DATABASE_DISK,
        N_("Uploads that were never finished fill the disk"),
        N_("A part of an upload to MinIO that nobody ended holds most of the disk of server db."),
        partial(_alone, "db", "/data/depot/.minio.sys/multipart/abandonne/part.1"),
    ),
)  # fmt: skip


INCIDENTS = (
    Incident(
        id="container-log-grown",
        runbook="disk-full",
        title=N_("The log of a container fills the disk"),
        does=N_("The json-file log of samaconso_celery_worker_2 grows without a limit on server workers."),
        notice=N_("Nothing, until Redis cannot save and tasks fail."),
        root=Root("container-log-grown", f"docker/{TALKING}"),
        fault=Fault(_talk, _container_has_talked, _forget_talk, _without_containers),
    ),
    Incident(
        id=GROWING_ID,
        runbook="disk-full",
        title=N_("A log that nobody rotates fills the disk"),
        does=N_("A program of server workers adds to /data/logs/facturation.log; no logrotate knows it."),
        notice=N_("Nothing, until Redis cannot save and tasks fail."),
        root=Root("application-logs-grown", WORKERS),
        fault=Fault(_let_log_grow, _log_has_grown, _remove_log, own_disk("workers")),
    ),
    Incident(
        id="inodes-exhausted",
        runbook="disk-full",
        title=N_("No file can be made, though there is space"),
        does=N_("Thousands of small files in /data/spool/sms of server workers take the last inodes."),
        notice=N_("No new file can be made: no save of Redis, no new container."),
        root=Root("inodes-exhausted", WORKERS),
        fault=Fault(_use_up_inodes, _inodes_are_used_up, _give_inodes_back, own_disk("workers")),
    ),
    Incident(
        id="wal-kept-by-setting",
        runbook="disk-full",
        title=N_("A setting keeps more WAL than the disk holds"),
        does=N_("wal_keep_size is set to 900 MB, and WAL is written until the disk is nearly full."),
        notice=N_("Nothing, until PostgreSQL stops for want of space."),
        root=Root("wal-kept-by-setting", DATABASE_DISK),
        fault=replace(sql("keep_wal", "keep_no_wal", evidence=_wal_is_kept), refuse=own_disk("db")).then(
            _write_wal, _let_wal_go
        ),
    ),
    Incident(
        id="query-temporary-files",
        runbook="disk-full",
        title=N_("A query sorts on the disk until it is full"),
        does=N_(
            "A report sorts much more than work_mem holds; its temporary files fill the disk of server db."
        ),
        notice=N_("Nothing, until PostgreSQL stops for want of space."),
        root=Root("query-temporary-files", DATABASE_DISK),
        fault=Fault(_sort_much, _sorts, _end_sort, own_disk("db")),
    ),
    Incident(
        id="database-grown",
        runbook="disk-full",
        title=N_("The tables have grown to the end of the disk"),
        does=N_("A table archives_sms is loaded until the disk of server db is nearly full."),
        notice=N_("Nothing, until PostgreSQL stops for want of space."),
        root=Root("database-grown", DATABASE_DISK),
        fault=Fault(_fill_table, _table_is_filled, _drop_filled_table, own_disk("db")),
    ),
    Incident(
        id="backups-not-expired",
        runbook="disk-full",
        title=N_("Backups that nobody removes fill the disk"),
        does=N_("A backup of more than a year ago holds most of the disk of server db."),
        notice=N_("Nothing, until the next backup fails."),
        root=Root("backups-not-expired", "backup/db"),
        fault=_alone("db", f"/data/{BACKUPS}/{OLD_BACKUP}", f"/data/{BACKUPS}").then(_old_backup),
    ),
    *(
        Incident(
            id=id_,
            runbook="disk-full",
            title=title,
            does=does,
            notice=N_("Nothing, until what writes there is refused."),
            root=Root(cause, subject),
            fault=make(),
        )
        for id_, cause, subject, title, does, make in _FILES
    ),
)
