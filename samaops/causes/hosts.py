"""Roots in the ground: a server, its memory, its disks, its clock, our way into it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from samaops.causes.effects import Effects, codes, produced, same_server, same_subject
from samaops.causes.mechanism import cannot_save, ended_with_error, is_outage, killed_at
from samaops.causes.root import (
    Rank,
    Root,
    destructive,
    disruptive,
    each,
    root,
    safe,
    together,
    words_of,
)
from samaops.causes.topology import SERVER_GONE, effects_of_server
from samaops.causes.view import View, failed, not_ok
from samaops.i18n import _
from samaops.model.cause import Fix, Verdict
from samaops.model.finding import Finding
from samaops.model.status import Status
from samaops.site.commands import as_superuser, direct, on_server, sql_text, whole_number

_FULL_DISK = ("servers.disk.full", "servers.disk.inodes")
_WAL_SUFFERS = ("postgresql.wal.large", "postgresql.xmin.pinned")
# Who cannot write on the server whose disk it is, and only in the ways in which that shows: what was stopped on
# request, paused, or is full of keys or locked, is a fault of its own.
_LITTLE_SPACE = same_server("rabbitmq.alarm.disk", "rabbitmq.disk.low", "rabbitmq.connection.blocked")
_CANNOT_WRITE = (
    *_LITTLE_SPACE,
    *same_server(
        "postgresql.recovery.active",
        "postgresql.archiver.failing",
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


@root("server-down", on="servers.host.unreachable", rank=Rank.SERVER, runbook="api-down", effects=SERVER_GONE)
def server_down(finding: Finding, view: View) -> Root:
    """A server does not answer."""
    text = _("Look at its console (hypervisor), then start it; call the network team if it runs")
    ping = f"ping -c 3 {view.site.address_of(finding.server or '')}"
    return Root(
        _("Server {name} does not answer").format(name=finding.server),
        (disruptive("server.start", text, ping),),
    )


@root(
    "server-unresponsive",
    on=together(failed("*.unreachable", "silent", "no_answer")),
    rank=Rank.SERVER,
    runbook="api-down",
    effects=SERVER_GONE,
    distinguished_from=("ssh-unusable",),
)
def server_unresponsive(_finding: Finding, view: View) -> Iterator[Root]:
    """On which server is every service silent at once? Not each of them has a fault of its own."""
    for name in view.site.settings.servers:
        services = [finding for finding in view.findings if _is_access(finding, name)]
        silent = tuple(
            access for access in services if access.evidence.get("kind") in ("silent", "no_answer")
        )
        if len(silent) < 2 or len(silent) < len(services):
            continue
        text = _(
            "Look at its console (hypervisor) and ask the network team for the firewall, before any restart"
        )
        title = _("No service on server {name} answers: it is frozen, or a firewall drops")
        yield Root(
            title.format(name=name),
            (safe("server.console", text, f"ping -c 3 {view.site.address_of(name)}"),),
            Verdict.PROBABLE,
            subject=f"servers/{name}",
            triggers=silent,
            effects=effects_of_server(view.site, name),
            speaks_for=tuple(finding.title for finding in silent),
            speaks_against=tuple(host.title for host in view.ok("servers.host.unreachable", name)),
        )


def _is_access(finding: Finding, server: str) -> bool:
    """Return whether this is the look at a service of the server itself, and it was made."""
    return (
        finding.server == server
        and finding.code.endswith(".unreachable")
        and finding.code != "servers.host.unreachable"
        and finding.status is not Status.SKIPPED
        and finding.evidence.get("kind") != "dependency"
    )


# After this long the memory is given back, what was killed is started again or is another's fault.
_KILL_SECONDS = 900.0
_STARVED = ("servers.memory.low", "servers.swap.used")
_KILLED = ("docker.container.stopped", "docker.container.restarting")


@root(
    "host-out-of-memory",
    on="servers.oom.killed",
    rank=Rank.RESOURCE,
    runbook="api-down",
    effects=(*same_server(*_STARVED), *same_server(*_KILLED, when=killed_at(()))),
    distinguished_from=("container-oom-killed", "container-stopped", "container-crashed"),
)
def host_out_of_memory(finding: Finding, view: View) -> Root | None:
    """The kernel killed a process for its memory, now and not hours ago."""
    kills = finding.evidence.get("kills") or ()
    killed = killed_at(kill.get("at") for kill in kills)
    ended = [
        container.title
        for code in _KILLED
        for container in view.bad(code, finding.server)
        if killed(container)
    ]
    starved = [low.title for code in _STARVED for low in view.bad(code, finding.server)]
    is_recent = any((kill.get("ago_seconds") or 0.0) <= _KILL_SECONDS for kill in kills) or not kills
    if not (is_recent or ended or starved):
        return None  # it has given the memory back long since, and nothing that it ended is still down
    title = _("Server {name} ran out of memory and the kernel killed a process").format(name=finding.server)
    look = on_server(view.site, finding.server, "ps aux --sort=-rss | head -15")
    text = _("See who holds the memory before restarting anything")
    return Root(
        title,
        (safe("server.memory.owner", text, look),),
        Verdict.PROBABLE,
        effects=(
            *codes(*_STARVED, server=finding.server),
            *codes(*_KILLED, server=finding.server, when=killed),
        ),
        speaks_for=(finding.title, *ended, *starved),
        speaks_against=() if starved else (_("the server has memory again"),),
    )


@root(
    "filesystem-read-only",
    on="servers.disk.readonly",
    rank=Rank.RESOURCE,
    runbook="disk-full",
    effects=(*_CANNOT_WRITE, *same_subject("servers.disk.*")),
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
    effects=(*_CANNOT_WRITE, *_FULL_DISK_BESIDE, *same_server(*_WAL_SUFFERS)),
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
    suffering = _LITTLE_SPACE if all(map(_has_space, full)) else _CANNOT_WRITE
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
    drop = f"SELECT pg_drop_replication_slot({sql_text(str(slot))})"
    return _filled_by(
        finding,
        view,
        destructive("postgresql.slot.drop", text.format(slot=slot), as_superuser(view.site, drop)),
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
    text = _("Make process {pid} reopen its log (its own reload), or restart it: the space returns at once")
    look = on_server(view.site, finding.server, f"ls -l /proc/{whole_number(pid, 'PID')}/fd")
    return _filled_by(finding, view, disruptive("process.reopen_log", text.format(pid=pid), look))


@_filler("container-log-grown", on="docker.log.large")
def container_log_grown(finding: Finding, view: View) -> Root:
    """A container writes without a limit."""
    path = shlex.quote(str(finding.evidence.get("path", "")))
    text = _(
        "Keep a copy of its end, then empty the log in place (never rm); set max-size on the container later"
    )
    empty = f"tail -c 10M {path} | gzip > /tmp/log.gz && truncate -s 0 {path}"
    return _filled_by(
        finding, view, destructive("docker.log.truncate", text, on_server(view.site, finding.server, empty))
    )


@_filler("query-temporary-files", on="postgresql.temp.high")
def query_temporary_files(finding: Finding, view: View) -> Root | None:
    """A sort or a join that does not fit in work_mem."""
    return _filled_by_what_is_untidy(
        finding, view, disruptive("postgresql.query.cancel", _("Cancel the query that writes them"))
    )


@_filler("backups-not-expired", on="backup.retention.exceeded")
def backups_not_expired(finding: Finding, view: View) -> Root | None:
    """Backups past their retention."""
    return _filled_by_what_is_untidy(
        finding,
        view,
        destructive("backup.prune", _("Verify the newest backup, then remove those past retention")),
    )


@_filler("docker-images-grown", on="docker.disk.reclaimable")
def docker_images_grown(finding: Finding, view: View) -> Root | None:
    """Images that nothing uses."""
    text = _("Remove dangling images only; never --volumes, never the image a rollback needs")
    prune = on_server(view.site, finding.server, "docker image prune --filter until=168h")
    return _filled_by_what_is_untidy(finding, view, safe("docker.image.prune", text, prune))


@root(
    "disk-full",
    on=each(*_FULL_DISK),
    rank=Rank.RESOURCE,
    runbook="disk-full",
    effects=(*_CANNOT_WRITE, *_FULL_DISK_BESIDE, *same_server(*_WAL_SUFFERS)),
    distinguished_from=("broker-disk-alarm", "container-crashed"),
)
def disk_full(finding: Finding, view: View) -> Root | None:
    """A disk is full, and nothing that was seen has filled it."""
    fillers = [filler for code in _FILLERS for filler in view.bad(code)]
    if any(finding in _filled(filler, view) for filler in fillers):
        return None
    mount = shlex.quote(str(finding.evidence.get("mount", "/")))
    biggest = finding.evidence.get("biggest") or ()
    look = on_server(view.site, finding.server, f"du -xh -d 3 {mount} | sort -rh | head -20")
    return Root(
        fixes=(safe("disk.owner", _("See what fills it before deleting anything"), look),),
        effects=_suffering(finding, (finding,), view),
        speaks_for=(finding.title, *(_size_of(entry) for entry in biggest[:3])),
    )


def _size_of(entry: Mapping[str, Any]) -> str:
    return _("{path}: {megabytes} MB").format(path=entry["path"], megabytes=round(entry["size_bytes"] / 1e6))


@root(
    "ssh-unusable",
    on=not_ok("servers.ssh.unreachable"),
    rank=Rank.ENGINE,
    effects=same_server("servers.*", "docker.*", "backup.*", "redis.memory.over_container"),
    distinguished_from=("server-unresponsive",),
)
def ssh_unusable(finding: Finding, view: View) -> Root | None:
    """We cannot log in, or can and run nothing."""
    if finding.evidence.get("kind") == "deadline":
        return None  # we did not wait: that says nothing of the log-in
    if finding.evidence.get("stage") in _LOGGED_IN:
        title = _("Server {name} lets us log in and runs nothing for us: what only it can tell is unknown")
        text = _(
            "Read what it says: sshd's MaxSessions, a ForceCommand, an expired password or the account's shell may be why"
        )
    else:
        title = _("We cannot log in to server {name}: what only it can tell is unknown")
        text = _("Try the log-in by hand and read its reason")
    fix = safe("ssh.test", text, on_server(view.site, finding.server, "true"))
    return Root(title.format(name=finding.server), (fix,))


# The stages of a look that come after the log-in.
_LOGGED_IN = ("ssh session", "ssh command", "script")


@root(
    "clock-skew",
    on="servers.clock.skewed",
    rank=Rank.RESOURCE,
    runbook="notifications",
    effects=codes("celery.tasks.failing", "flower.worker*", "certificates.*"),
)
def clock_skew(finding: Finding, view: View) -> Root:
    """A server has another time."""
    set_it = on_server(view.site, finding.server, "chronyc makestep")
    return Root(fixes=(disruptive("chrony.makestep", _("Set the clock from the time server again"), set_it),))
