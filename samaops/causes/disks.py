"""Roots in the disks of a server: full, what has filled them, read-only."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from msgspec.structs import replace

from samaops.causes import filled_by
from samaops.causes.effects import Effects, codes, produced, same_server, same_subject
from samaops.causes.mechanism import cannot_save, ended_with_error, is_outage
from samaops.causes.root import (
    Rank,
    Root,
    destructive,
    disruptive,
    each,
    root,
    safe,
    words_of,
)
from samaops.causes.view import View
from samaops.i18n import _
from samaops.model.cause import Fix
from samaops.model.finding import Finding
from samaops.site.commands import direct, on_server, samaops, whole_number
from samaops.site.shell_words import operands, quoted

_FULL_DISK = ("servers.disk.full", "servers.disk.inodes")
_WAL_SUFFERS = ("postgresql.wal.large", "postgresql.xmin.pinned", "postgresql.archiver.late")
# Who cannot write on the server whose disk it is, and only in the ways in which that shows: what was stopped on
# request, paused, or is full of keys or locked, is a fault of its own.
_LITTLE_SPACE = same_server("rabbitmq.alarm.disk", "rabbitmq.disk.low", "rabbitmq.connection.blocked")
CANNOT_WRITE = (
    *_LITTLE_SPACE,
    *same_server(
        "postgresql.recovery.active",
        "postgresql.archiver.failing",
        "postgresql.archiver.late",
        "postgresql.wal.large",
        "postgresql.checkpoints.requested",
        "postgresql.latency.high",
        "rabbitmq.node.down",
        "redis.persistence.failing",
        "redis.write.probe",
        "docker.container.unhealthy",
        "minio.health.failing",
        "backup.newest.*",
        "backup.size.changed",
        "backup.unfinished.left",
    ),
    *same_server(
        "postgresql.service.unreachable",
        "pgbouncer.service.unreachable",
        "rabbitmq.service.unreachable",
        "rabbitmq.amqp.unreachable",
        "redis.service.unreachable",
        "docker.engine.unreachable",
        "minio.service.unreachable",
        when=is_outage,
    ),
    *same_server("docker.container.stopped", "docker.container.restarting", when=ended_with_error),
    *same_server("redis.memory.refusing_writes", when=cannot_save),
)
# The same disk seen twice, and what is untidy on it without being a fault alone.
_FULL_DISK_BESIDE = (
    *same_subject(*_FULL_DISK),
    *same_server("docker.disk.reclaimable", "postgresql.temp.high", "backup.retention.exceeded"),
)


@root(
    "filesystem-read-only",
    on="servers.disk.readonly",
    rank=Rank.RESOURCE,
    runbook="disk-full",
    effects=(*CANNOT_WRITE, *same_subject("servers.disk.*")),
)
def filesystem_read_only(finding: Finding, view: View) -> Root:
    """The kernel remounted a file system."""
    text = _("Read why the kernel remounted it, then call the storage team; clean nothing")
    return Root(
        fixes=(safe("storage.repair", text, on_server(view.site, finding.server, "dmesg | tail -50")),),
        speaks_for=(words_of(finding), _("the mount is read-only, not full")),
    )


# What may have filled a disk: their codes, the most specific first.
_FILLERS = (
    "postgresql.slot.inactive",
    "postgresql.archiver.failing",
    "servers.disk.deleted_open",
    "docker.log.large",
    "postgresql.temp.high",
    "backup.retention.exceeded",
    "docker.disk.reclaimable",
)
_filler = partial(
    root,
    rank=Rank.RESOURCE,
    runbook="disk-full",
    effects=(*CANNOT_WRITE, *_FULL_DISK_BESIDE, *same_server(*_WAL_SUFFERS)),
)


def _filled_by(finding: Finding, view: View, fix: Fix) -> Root:
    """Return the cause of the disks that something has filled; of none yet, where it is a fault even so."""
    full = _filled(finding, view)
    return Root(
        fixes=(fix,),
        triggers=(finding, *full),
        effects=_suffering(finding, full, view) if full else codes(*_WAL_SUFFERS, server=finding.server),
        speaks_for=tuple(seen.title for seen in (finding, *full)),
        speaks_against=() if full else (_why_not(finding, view),),
    )


def _filled_by_what_is_untidy(finding: Finding, view: View, fix: Fix) -> Root | None:
    """Return the cause as above; None while nothing is full: it broke nothing."""
    return _filled_by(finding, view, fix) if _filled(finding, view) else None


# Nearly full is a warning to people; a program is refused when there is next to nothing.
_NO_SPACE_SHARE = 0.02


def _suffering(finding: Finding, full: tuple[Finding, ...], view: View) -> Effects:
    """Return what full disks produce: with some space left only the broker stops, by a limit of its own."""
    suffering = _LITTLE_SPACE if all(map(_has_space, full)) else CANNOT_WRITE
    return produced((*suffering, *_FULL_DISK_BESIDE, *same_server(*_WAL_SUFFERS)), finding, view.site)


def _has_space(disk: Finding) -> bool:
    available, size = (disk.evidence.get(key) for key in ("available_bytes", "size_bytes"))
    if disk.code != "servers.disk.full" or not isinstance(available, int) or not isinstance(size, int):
        return False
    return available > _NO_SPACE_SHARE * size


def _why_not(filler: Finding, view: View) -> str:
    if any(view.bad(code, filler.server) for code in _FULL_DISK):
        return _("it is little of what the full disk of its server holds, or on another one")
    return _("no disk is near its limit yet")


def _filled(filler: Finding, view: View) -> tuple[Finding, ...]:
    """Return the full disks that something may have filled."""
    full = [disk for code in _FULL_DISK for disk in view.bad(code)]
    return tuple(
        disk
        for disk in full
        if disk.server == filler.server and _is_on(disk, filler) and _is_much(filler, disk)
    )


# What a filler holds, by the names that the checks give it.
_HELD = ("held_bytes", "retained_bytes", "log_bytes", "bytes_now", "bytes")
_LEAST_SHARE = 0.02


def _is_much(filler: Finding, disk: Finding) -> bool:
    """Return whether what a filler holds matters to a disk; where one of the two is not known, it may."""
    sizes = (filler.evidence.get(name) for name in _HELD)
    held = next((size for size in sizes if isinstance(size, int)), None)
    size = disk.evidence.get("size_bytes")
    return held is None or not isinstance(size, int) or held >= _LEAST_SHARE * size


def _is_on(disk: Finding, filler: Finding) -> bool:
    mount, path = disk.evidence.get("mount"), filler.evidence.get("path")
    if filler.evidence.get("mount"):
        return bool(filler.evidence["mount"] == mount)
    if path and mount:
        return str(path).startswith(str(mount).rstrip("/") + "/")
    return True


@_filler("inactive-replication-slot", on="postgresql.slot.inactive")
def inactive_replication_slot(finding: Finding, view: View) -> Root:
    """A slot that nobody reads keeps the WAL."""
    slot = finding.evidence.get("slot") or finding.subject.rpartition("/")[2]
    text = _(
        "Ask who owns slot {slot}; when nobody does, drop it: a replica that still needs it must be rebuilt"
    )
    drop = samaops(view.site, f"db slot drop {operands(str(slot))}")
    return _filled_by(
        finding,
        view,
        destructive("postgresql.slot.drop", text.format(slot=slot), drop),
    )


@_filler("wal-archiving-failing", on="postgresql.archiver.failing")
def wal_archiving_failing(finding: Finding, view: View) -> Root:
    """What is not archived is kept."""
    text = _("Repair what archive_command writes to; the WAL goes away by itself. Never delete in pg_wal")
    return _filled_by(
        finding,
        view,
        safe("postgresql.archive.repair", text, direct(view.site, "SELECT * FROM pg_stat_archiver")),
    )


@_filler("deleted-file-still-open", on="servers.disk.deleted_open")
def deleted_file_still_open(finding: Finding, view: View) -> Root:
    """A process holds the space of a file that is gone."""
    pid = finding.evidence.get("pid")
    if finding.evidence.get("is_write_only"):
        text = _("Empty it where it is: nobody can read it any more, and process {pid} writes on")
        command = f"disk clean --server {quoted(str(finding.server))} --only deleted"
        fix = disruptive("disk.empty_deleted", text.format(pid=pid), samaops(view.site, command))
    else:
        text = _(
            "Make process {pid} reopen its log (its own reload), or restart it: the space returns at once"
        )
        look = on_server(view.site, finding.server, f"ls -l /proc/{whole_number(pid, 'PID')}/fd")
        fix = disruptive("process.reopen_log", text.format(pid=pid), look)
    return _filled_by(finding, view, fix)


@_filler("container-log-grown", on="docker.log.large")
def container_log_grown(finding: Finding, view: View) -> Root:
    """A container writes without a limit."""
    text = _("Keep its end and empty it in place (never rm); set max-size on it later")
    command = f"disk clean --server {quoted(str(finding.server))} --only container-logs"
    return _filled_by(finding, view, destructive("disk.container_logs", text, samaops(view.site, command)))


@_filler("query-temporary-files", on="postgresql.temp.high")
def query_temporary_files(finding: Finding, view: View) -> Root | None:
    """A sort or a join that does not fit in work_mem."""
    writing = [row.get("pid") for row in finding.evidence.get("by_pid") or () if row.get("pid")]
    cancel = samaops(view.site, f"db cancel {whole_number(writing[0], 'PID')}" if writing else "db activity")
    fix = disruptive("db.cancel_filling", _("Cancel the query that writes them"), cancel)
    return _filled_by_what_is_untidy(finding, view, fix)


@_filler("backups-not-expired", on="backup.retention.exceeded")
def backups_not_expired(finding: Finding, view: View) -> Root | None:
    """Backups past their retention."""
    return _filled_by_what_is_untidy(
        finding,
        view,
        destructive(
            "backup.prune",
            _("Prove the backups that are kept, then remove those past retention"),
            samaops(view.site, "backup verify --all"),
            samaops(view.site, "backup prune"),
        ),
    )


@_filler("docker-images-grown", on="docker.disk.reclaimable")
def docker_images_grown(finding: Finding, view: View) -> Root | None:
    """Images that nothing uses."""
    text = _("Remove images that nothing uses; never --volumes, never the image a rollback needs")
    prune = samaops(view.site, f"docker cleanup {quoted(str(finding.server))}")
    return _filled_by_what_is_untidy(finding, view, safe("docker.cleanup", text, prune))


@root(
    *filled_by.IDS,
    on=each(*_FULL_DISK),
    rank=Rank.RESOURCE,
    runbook="disk-full",
    effects=(*CANNOT_WRITE, *_FULL_DISK_BESIDE, *same_server(*_WAL_SUFFERS)),
)
def filled_by_its_owner(finding: Finding, view: View) -> Root | None:
    """No fault was seen that fills a disk: then whoever holds the most of it, or what is no file at all."""
    if _has_filler(finding, view):
        return None
    found = filled_by.root_of(finding, view)
    return found and replace(found, effects=_suffering(finding, (finding,), view))


def _has_filler(disk: Finding, view: View) -> bool:
    fillers = [filler for code in _FILLERS for filler in view.bad(code)]
    return any(disk in _filled(filler, view) for filler in fillers)


@root(
    "disk-full",
    on=each(*_FULL_DISK),
    rank=Rank.RESOURCE,
    runbook="disk-full",
    effects=(*CANNOT_WRITE, *_FULL_DISK_BESIDE, *same_server(*_WAL_SUFFERS)),
    distinguished_from=("broker-disk-alarm", "container-crashed"),
)
def disk_full(finding: Finding, view: View) -> Root | None:
    """A disk is full, and nothing that was seen has filled it, nor anybody that is known."""
    if _has_filler(finding, view) or filled_by.root_of(finding, view):
        return None
    biggest = finding.evidence.get("biggest") or ()
    look = samaops(view.site, f"disk usage --server {quoted(str(finding.server))}")
    return Root(
        fixes=(safe("disk.owner_of_files", _("See what fills it before deleting anything"), look),),
        effects=_suffering(finding, (finding,), view),
        speaks_for=(finding.title, *(_size_of(entry) for entry in biggest[:3])),
    )


def _size_of(entry: Mapping[str, Any]) -> str:
    return _("{path}: {megabytes} MB").format(path=entry["path"], megabytes=round(entry["size_bytes"] / 1e6))
