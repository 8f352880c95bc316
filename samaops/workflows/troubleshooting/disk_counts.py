"""Count at the hops of a full disk what was seen in one look: which of them has no room, and who holds how much."""

from __future__ import annotations

from collections.abc import Callable

from samaops.facts.docker import DockerFacts
from samaops.facts.observation import Snapshot
from samaops.facts.postgresql import PostgresFacts
from samaops.facts.servers import ServerFacts
from samaops.i18n import _
from samaops.model.quantities import size
from samaops.model.status import Status
from samaops.site.site import Site
from samaops.workflows.troubleshooting.hops import SeenHop, uncounted

_MB = 1024**2


def count(hop: str, snapshot: Snapshot, site: Site) -> SeenHop:
    """Return one hop with its count."""
    if hop in _OF_SERVERS:
        seen = [(str(look.server), facts) for look, facts in snapshot.facts_of(ServerFacts)]
        if not seen:
            return uncounted(hop, "%", _("no server could be looked at"), "servers", site)
        return _OF_SERVERS[hop](seen)
    if hop == "database":
        return _wal(snapshot, site)
    if hop == "containers":
        return _logs(snapshot, site)
    return SeenHop(hop, None)


Servers = list[tuple[str, ServerFacts]]


def _writable(seen: Servers) -> SeenHop:
    """Count the mounts that take no write."""
    mounts = [f"{name} {mount.mount}" for name, facts in seen for mount in facts.read_only]
    return SeenHop("writable", None, len(mounts), ", ".join(mounts), {"read_only": mounts}, "mounts")


def _space(seen: Servers) -> SeenHop:
    """Say how full the fullest disk is, and what of it is kept for root."""
    disks = [(disk.used_percent, name, disk) for name, facts in seen for disk in facts.file_systems]
    if not disks:
        return SeenHop("space", Status.SKIPPED, unit="%")
    percent, name, disk = max(disks, key=lambda each: each[0])
    reserved = max(0, disk.size_bytes - disk.used_bytes - disk.available_bytes)
    text = _("{server} {mount}: {free} left, {reserved} kept for root")
    words = text.format(
        server=name, mount=disk.mount, free=size(disk.available_bytes), reserved=size(reserved)
    )
    return SeenHop("space", None, percent, words, {"server": name, "mount": disk.mount}, "%")


def _inodes(seen: Servers) -> SeenHop:
    """Say of which disk most inodes are used."""
    disks = [
        (disk.inodes_percent, name, disk)
        for name, facts in seen
        for disk in facts.file_systems
        if disk.inodes_percent is not None
    ]
    if not disks:
        return SeenHop("inodes", Status.SKIPPED, unit="%")
    percent, name, disk = max(disks, key=lambda each: each[0] or 0.0)
    return SeenHop(
        "inodes", None, percent, f"{name} {disk.mount}", {"server": name, "mount": disk.mount}, "%"
    )


def _seen(seen: Servers) -> SeenHop:
    """Count what deleted files hold that are still open; looked for where a disk is nearly full."""
    held = sum(file.size_bytes for _name, facts in seen for file in facts.deleted or ())
    return SeenHop("visible", None, round(held / _MB), size(held), {"held_bytes": held}, "MB")


def _quota(seen: Servers) -> SeenHop:
    """Count the quotas that refuse more; those that could not be read are told, and are none of them."""
    quotas = [(name, each) for name, facts in seen for each in facts.quotas or ()]
    refusing = [
        f"{name} {quota.mount} {quota.name or quota.number}"
        for name, each in quotas
        for quota in each.near
        if quota.space.refuses or quota.files.refuses
    ]
    unseen = [f"{name} {each.mount}" for name, each in quotas if each.unseen]
    words = ", ".join(refusing) or (
        _("not read: {mounts}").format(mounts=", ".join(unseen)) if unseen else ""
    )
    return SeenHop("quota", None, len(refusing), words, {"refusing": refusing, "unseen": unseen}, "quotas")


_OF_SERVERS: dict[str, Callable[[Servers], SeenHop]] = {
    "writable": _writable, "space": _space, "inodes": _inodes, "quota": _quota, "visible": _seen,
}  # fmt: skip


def _wal(snapshot: Snapshot, site: Site) -> SeenHop:
    if site.settings.postgresql is None:
        return SeenHop("database", Status.SKIPPED, detail=_("[postgresql] is not configured"), unit="MB")
    facts = next((facts for _look, facts in snapshot.facts_of(PostgresFacts)), None)
    if facts is None or facts.wal is None:
        return uncounted("database", "MB", _("PostgreSQL's WAL could not be read"), "postgresql", site)
    temporary = sum(file.size_bytes for file in facts.temp_files or ())
    words = _("{wal} of WAL, {temporary} of temporary files").format(
        wal=size(facts.wal.size_bytes), temporary=size(temporary)
    )
    evidence = {"wal_bytes": facts.wal.size_bytes, "temporary_bytes": temporary}
    return SeenHop("database", None, round((facts.wal.size_bytes + temporary) / _MB), words, evidence, "MB")


def _logs(snapshot: Snapshot, site: Site) -> SeenHop:
    if site.settings.docker is None:
        return SeenHop("containers", Status.SKIPPED, detail=_("[docker] is not configured"), unit="MB")
    seen = [facts for _look, facts in snapshot.facts_of(DockerFacts)]
    sizes = [
        (each.log_bytes, facts.known_as(each))
        for facts in seen
        for each in facts.containers
        if each.log_bytes is not None
    ]
    if not sizes:
        return uncounted("containers", "MB", _("no container's log could be measured"), "docker", site)
    total = sum(count for count, _name in sizes)
    largest, name = max(sizes)
    words = _("logs: {total}, the largest of {name} with {largest}").format(
        total=size(total), name=name, largest=size(largest)
    )
    return SeenHop("containers", None, round(total / _MB), words, {"log_bytes": total}, "MB")
