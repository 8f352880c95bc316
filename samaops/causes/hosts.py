"""Roots in the ground: a server, its disks, its clock."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from samaops.causes.candidate import Candidate, Matcher, View, any_of, codes
from samaops.causes.topology import effects_of_system
from samaops.i18n import _
from samaops.model.cause import Fix, Verdict
from samaops.model.finding import Finding
from samaops.model.plan import Risk
from samaops.model.status import Status
from samaops.site.commands import as_superuser, direct, on_server, sql_text, whole_number
from samaops.site.site import Site

_DISK_EFFECTS = (
    "servers.disk.*",
    "servers.load.high",
    "postgresql.*",
    "pgbouncer.*",
    "rabbitmq.*",
    "redis.persistence.*",
    "redis.memory.refusing_writes",
    "docker.*",
    "minio.*",
    "backup.*",
)


def candidates(view: View) -> Iterator[Candidate]:
    """Yield what is wrong with the servers themselves."""
    yield from _server_down(view)
    yield from _server_unresponsive(view)
    yield from _memory_short(view)
    yield from _disks(view)
    yield from _ssh_down(view)
    yield from _clock(view)


def _server_down(view: View) -> Iterator[Candidate]:
    for finding in view.bad("servers.host.unreachable"):
        name = finding.server
        yield Candidate(
            id="server-down",
            rank=0,
            runbook="api-down",
            subject=finding.subject,
            title=_("Server {name} does not answer").format(name=name),
            triggers=(finding,),
            effects=any_of(codes("*", server=name), _effects_of_roles(view.site, name)),
            speaks_for=(finding.detail or finding.title,),
            fixes=(
                Fix(
                    "server.start",
                    Risk.DISRUPTIVE,
                    _("Look at its console (hypervisor), then start it; call the network team if it runs"),
                    (f"ping -c 3 {view.site.address_of(name or '')}",),
                ),
            ),
        )


def _server_unresponsive(view: View) -> Iterator[Candidate]:
    """A server on which every service is silent at once: not each of them has a fault of its own."""
    for name in view.site.settings.servers:
        services = [one for one in view.findings if _is_access(one, name)]
        silent = tuple(one for one in services if one.evidence.get("kind") in ("silent", "no_answer"))
        if len(silent) < 2 or len(silent) < len(services):
            continue
        yield Candidate(
            id="server-unresponsive",
            rank=0,
            runbook="api-down",
            subject=f"servers/{name}",
            title=_("No service on server {name} answers: it is frozen, or a firewall drops").format(
                name=name
            ),
            triggers=silent,
            effects=any_of(codes("*", server=name), _effects_of_roles(view.site, name)),
            verdict=Verdict.PROBABLE,
            speaks_for=tuple(one.title for one in silent),
            speaks_against=tuple(one.title for one in view.ok("servers.host.unreachable", name)),
            fixes=(
                Fix(
                    "server.console",
                    Risk.SAFE,
                    _(
                        "Look at its console (hypervisor) and ask the network team for the firewall, before any restart"
                    ),
                    (f"ping -c 3 {view.site.address_of(name)}",),
                ),
            ),
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


def _effects_of_roles(site: Site, server: str | None) -> Matcher:
    """Return what follows elsewhere when everything that runs on a server is gone."""
    placed = {
        "postgresql": site.settings.postgresql,
        "pgbouncer": site.settings.pgbouncer,
        "redis": site.settings.redis,
        "rabbitmq": site.settings.rabbitmq,
        "minio": site.settings.minio,
        "flower": site.settings.flower,
    }
    here = [system for system, section in placed.items() if section is not None and section.server == server]
    if site.settings.api and any(member.server == server for member in site.settings.api.instances):
        here.append("api")
    if site.settings.celery and any(
        worker.server == server for worker in site.settings.celery.workers.values()
    ):
        here.append("celery")
    return any_of(*(effects_of_system(system) for system in here))


def _memory_short(view: View) -> Iterator[Candidate]:
    for finding in view.bad("servers.oom.killed"):
        yield Candidate(
            id="host-out-of-memory",
            rank=1,
            runbook="api-down",
            subject=finding.subject,
            title=_("Server {name} ran out of memory and the kernel killed a process").format(
                name=finding.server
            ),
            triggers=(finding,),
            effects=codes("servers.memory.low", "servers.swap.used", "docker.*", server=finding.server),
            verdict=Verdict.PROBABLE,
            speaks_for=(finding.title,),
            fixes=(
                Fix(
                    "server.memory.owner",
                    Risk.SAFE,
                    _("See who holds the memory before restarting anything"),
                    (on_server(view.site, finding.server, "ps aux --sort=-rss | head -15"),),
                ),
            ),
        )


# What may have filled a disk, the most specific first: (code, cause id, fix id).
_FILLERS = (
    ("postgresql.slot.inactive", "inactive-replication-slot"),
    ("postgresql.archiver.failing", "wal-archiving-failing"),
    ("servers.disk.deleted_open", "deleted-file-still-open"),
    ("docker.log.large", "container-log-grown"),
    ("postgresql.temp.high", "query-temporary-files"),
    ("backup.retention.exceeded", "backups-not-expired"),
    ("docker.disk.reclaimable", "docker-images-grown"),
)


def _disks(view: View) -> Iterator[Candidate]:
    yield from _read_only(view)
    full = view.bad("servers.disk.full") + view.bad("servers.disk.inodes")
    claimed: set[str] = set()
    for code, cause_id in _FILLERS:
        for finding in view.bad(code):
            suffering = tuple(
                one for one in full if one.server == finding.server and _same_mount(one, finding)
            )
            if not suffering and code in (
                "docker.disk.reclaimable",
                "backup.retention.exceeded",
                "postgresql.temp.high",
            ):
                continue  # untidy, but it broke nothing
            claimed |= {one.key for one in suffering}
            yield _filled_by(view, cause_id, finding, suffering)
    for finding in full:
        if finding.key not in claimed:
            yield _disk_full(view, finding)


def _same_mount(disk: Finding, filler: Finding) -> bool:
    mount, path = disk.evidence.get("mount"), filler.evidence.get("path")
    if filler.evidence.get("mount"):
        return bool(filler.evidence["mount"] == mount)
    if path and mount:
        return str(path).startswith(str(mount).rstrip("/") + "/")
    return True


def _read_only(view: View) -> Iterator[Candidate]:
    for finding in view.bad("servers.disk.readonly"):
        yield Candidate(
            id="filesystem-read-only",
            rank=1,
            runbook="disk-full",
            subject=finding.subject,
            title=finding.title,
            triggers=(finding,),
            effects=codes(*_DISK_EFFECTS, server=finding.server),
            speaks_for=(finding.detail or finding.title, _("the mount is read-only, not full")),
            fixes=(
                Fix(
                    "storage.repair",
                    Risk.SAFE,
                    _("Read why the kernel remounted it, then call the storage team; clean nothing"),
                    (on_server(view.site, finding.server, "dmesg | tail -50"),),
                ),
            ),
        )


def _filled_by(view: View, cause_id: str, filler: Finding, full: tuple[Finding, ...]) -> Candidate:
    against = () if full else (_("no disk is near its limit yet"),)
    return Candidate(
        id=cause_id,
        rank=1,
        runbook="disk-full",
        subject=filler.subject,
        title=filler.title,
        triggers=(filler, *full),
        effects=any_of(
            codes(*_DISK_EFFECTS, server=filler.server)
            if full
            else codes("postgresql.wal.large", server=filler.server),
            codes("postgresql.wal.large", "postgresql.xmin.pinned", server=filler.server),
        ),
        verdict=Verdict.CONFIRMED,
        speaks_for=tuple(one.title for one in (filler, *full)),
        speaks_against=against,
        fixes=tuple(_fixes_of_filler(view, cause_id, filler)),
    )


def _fixes_of_filler(view: View, cause_id: str, filler: Finding) -> Iterator[Fix]:
    on = partial(on_server, view.site)
    if cause_id == "inactive-replication-slot":
        slot = filler.evidence.get("slot") or filler.subject.rpartition("/")[2]
        yield Fix(
            "postgresql.slot.drop",
            Risk.DESTRUCTIVE,
            _(
                "Ask who owns slot {slot}; when nobody does, drop it: a replica that still needs it must be rebuilt"
            ).format(slot=slot),
            (as_superuser(view.site, f"SELECT pg_drop_replication_slot({sql_text(str(slot))})"),),
        )
    elif cause_id == "wal-archiving-failing":
        yield Fix(
            "postgresql.archive.repair",
            Risk.SAFE,
            _("Repair what archive_command writes to; the WAL goes away by itself. Never delete in pg_wal"),
            (direct(view.site, "SELECT * FROM pg_stat_archiver"),),
        )
    elif cause_id == "deleted-file-still-open":
        pid = filler.evidence.get("pid")
        yield Fix(
            "process.reopen_log",
            Risk.DISRUPTIVE,
            _(
                "Make process {pid} reopen its log (its own reload), or restart it: the space returns at once"
            ).format(pid=pid),
            (on(filler.server, f"ls -l /proc/{whole_number(pid, 'PID')}/fd"),),
        )
    elif cause_id == "container-log-grown":
        path = shlex.quote(str(filler.evidence.get("path", "")))
        yield Fix(
            "docker.log.truncate",
            Risk.DESTRUCTIVE,
            _(
                "Keep a copy of its end, then empty the log in place (never rm); set max-size on the container later"
            ),
            (on(filler.server, f"tail -c 10M {path} | gzip > /tmp/log.gz && truncate -s 0 {path}"),),
        )
    elif cause_id == "backups-not-expired":
        yield Fix(
            "backup.prune",
            Risk.DESTRUCTIVE,
            _("Verify the newest backup, then remove those past retention"),
            (),
        )
    elif cause_id == "docker-images-grown":
        yield Fix(
            "docker.image.prune",
            Risk.SAFE,
            _("Remove dangling images only; never --volumes, never the image a rollback needs"),
            (on(filler.server, "docker image prune --filter until=168h"),),
        )
    else:
        yield Fix("postgresql.query.cancel", Risk.DISRUPTIVE, _("Cancel the query that writes them"), ())


def _disk_full(view: View, finding: Finding) -> Candidate:
    mount = shlex.quote(str(finding.evidence.get("mount", "/")))
    biggest = finding.evidence.get("biggest") or ()
    return Candidate(
        id="disk-full",
        rank=1,
        runbook="disk-full",
        subject=finding.subject,
        title=finding.title,
        triggers=(finding,),
        effects=codes(*_DISK_EFFECTS, server=finding.server),
        speaks_for=(finding.title, *(_size_of(one) for one in biggest[:3])),
        fixes=(
            Fix(
                "disk.owner",
                Risk.SAFE,
                _("See what fills it before deleting anything"),
                (on_server(view.site, finding.server, f"du -xh -d 3 {mount} | sort -rh | head -20"),),
            ),
        ),
    )


def _size_of(entry: Mapping[str, Any]) -> str:
    return _("{path}: {megabytes} MB").format(path=entry["path"], megabytes=round(entry["size_bytes"] / 1e6))


def _ssh_down(view: View) -> Iterator[Candidate]:
    for finding in view.not_ok("servers.ssh.unreachable"):
        if finding.evidence.get("kind") == "deadline":
            continue  # we did not wait: that says nothing of the log-in
        yield Candidate(
            id="ssh-unusable",
            rank=2,
            runbook=None,
            subject=finding.subject,
            title=_("We cannot log in to server {name}: what only it can tell is unknown").format(
                name=finding.server
            ),
            triggers=(finding,),
            effects=codes(
                *("servers.*", "docker.*", "backup.*", "redis.memory.over_container"), server=finding.server
            ),
            speaks_for=(finding.detail or finding.title,),
            fixes=(
                Fix(
                    "ssh.test",
                    Risk.SAFE,
                    _("Try the log-in by hand and read its reason"),
                    (on_server(view.site, finding.server, "true"),),
                ),
            ),
        )


def _clock(view: View) -> Iterator[Candidate]:
    for finding in view.bad("servers.clock.skewed"):
        yield Candidate(
            id="clock-skew",
            rank=1,
            runbook="notifications",
            subject=finding.subject,
            title=finding.title,
            triggers=(finding,),
            effects=codes("celery.tasks.failing", "flower.worker*", "certificates.*"),
            speaks_for=(finding.detail or finding.title,),
            fixes=(
                Fix(
                    "chrony.makestep",
                    Risk.DISRUPTIVE,
                    _("Set the clock from the time server again"),
                    (on_server(view.site, finding.server, "chronyc makestep"),),
                ),
            ),
        )
