"""Judge the servers' file systems."""

from __future__ import annotations

from collections.abc import Iterator

from samaops.checks.registry import Context, check
from samaops.facts.servers import DeletedFile, FileSystem, ServerFacts
from samaops.i18n import _
from samaops.model.finding import Finding
from samaops.model.quantities import size
from samaops.model.status import Status
from samaops.site import disk_owners
from samaops.site.commands import samaops, whole_number
from samaops.site.shell_words import operands, quoted

GIGABYTE = 1024**3
FILES_IN_EVIDENCE = 10
SHARES_IN_EVIDENCE = 6
_SHOWN_CROWDS = 3


# 80 and 90 % are the limits of the production guide; its daily script alerts at 85 %.
@check("servers.disk.full", ServerFacts, needs=("df",), warning=80, critical=90, unit="%")
def space(server: ServerFacts, context: Context) -> Iterator[Finding]:
    for disk in server.file_systems:
        title = _("{mount} is {percent} % full: {free} of {size} left").format(
            mount=disk.mount,
            percent=disk.used_percent,
            free=size(disk.available_bytes),
            size=size(disk.size_bytes),
        )
        evidence: dict[str, object] = {
            "mount": disk.mount,
            "type": disk.type,
            "size_bytes": disk.size_bytes,
            "used_bytes": disk.used_bytes,
            "available_bytes": disk.available_bytes,
        }
        biggest = next((tree for tree in server.biggest or () if tree.mount == disk.mount), None)
        if biggest is not None:
            entries = [{"path": path, "size_bytes": size_bytes} for path, size_bytes in biggest.entries]
            tree = dict(biggest.tree or biggest.entries)
            shares = disk_owners.shares_of_tree(tree, disk.mount, context.site.settings, context.server)
            held = sum(file.size_bytes for file in server.deleted or () if file.mount == disk.mount)
            evidence |= {
                "biggest": entries,
                "biggest_is_partial": biggest.partial,
                "shares": [
                    {"owner": share.owner, "size_bytes": share.size_bytes, "path": share.path}
                    for share in shares[:SHARES_IN_EVIDENCE]
                ],
                "found_bytes": biggest.total_bytes,
                # What nobody who looked at them could have missed: without it nothing is said of a gap.
                "deleted_bytes": None if server.deleted is None else held,
            }
        yield _about(disk.mount, context).above(
            disk.used_percent,
            title,
            detail=", ".join(f"{path} {size(size_bytes)}" for path, size_bytes in biggest.entries)
            if biggest
            else "",
            evidence=evidence,
            hint=samaops(context.site, f"disk usage --server {quoted(context.server)}")
            if context.server
            else None,
        )


@check("servers.disk.inodes", ServerFacts, needs=("df",), warning=80, critical=90, unit="%")
def inodes(server: ServerFacts, context: Context) -> Iterator[Finding]:
    for disk in server.file_systems:
        percent = disk.inodes_percent
        if percent is None:
            continue  # btrfs, vfat and others make inodes as they need them
        command = f"du -x --inodes --max-depth=3 {operands(disk.mount)} | sort -rn | head"
        crowd = next((crowd for crowd in server.crowded if crowd.mount == disk.mount), None)
        entries = crowd.entries if crowd else ()
        crowded = [{"path": path, "inodes": count} for path, count in entries]
        yield _about(disk.mount, context).above(
            percent,
            _("{mount} uses {percent} % of its inodes").format(mount=disk.mount, percent=percent),
            detail=", ".join(f"{path} {count}" for path, count in entries[:_SHOWN_CROWDS]),
            evidence={
                "mount": disk.mount,
                "inodes": disk.inodes,
                "inodes_used": disk.inodes_used,
                **({"crowded": crowded} if crowded else {}),
            },
            hint=context.on_server(command),
        )


@check("servers.disk.readonly", ServerFacts)
def read_only(server: ServerFacts, context: Context) -> Iterator[Finding]:
    for mount in server.read_only:
        yield _about(mount.mount, context).crit(
            _("{mount} is read-only: nothing can be written there").format(mount=mount.mount),
            evidence={
                "mount": mount.mount,
                "type": mount.type,
                "source": mount.source,
                "by_itself": mount.by_itself,
            },
            hint=context.on_server("dmesg -T | grep -iE 'remount|I/O error|EXT4-fs|XFS'"),
        )
    if not server.read_only:
        yield context.ok(_("No file system has become read-only"))


@check("servers.mount.missing", ServerFacts)
def mounts(server: ServerFacts, context: Context) -> Iterator[Finding]:
    links = dict(server.links)
    for mount in server.missing_mounts:
        title = _("{mount} is not mounted").format(mount=mount)
        if mount in links:
            title = _("{mount} is not mounted: it is a link to {target}").format(
                mount=mount, target=links[mount]
            )
        yield _about(mount, context).crit(
            title,
            evidence={"mount": mount, "leads_to": links.get(mount)},
            hint=context.on_server(f"findmnt {operands(mount)}; grep -F -e {quoted(mount)} /etc/fstab"),
        )
    for mount, reason in server.unanswered:
        yield _about(mount, context).warn(
            _("The file system at {mount} does not answer: {reason}").format(mount=mount, reason=reason),
            evidence={"mount": mount, "reason": reason},
            hint=context.on_server(f"findmnt {operands(mount)}"),
        )
    if server.remote_file_systems_hang and not server.unanswered:
        yield context.warn(
            _("A remote file system does not answer: df hangs on it"),
            evidence={"remote_file_systems_hang": True},
            hint=context.on_server("grep -E ' (nfs4?|cifs|fuse[^ ]*) ' /proc/mounts"),
        )
    elif not server.missing_mounts and not server.unanswered:
        left_out = dict(server.left_out[:30])
        evidence = {"left_out": left_out, "links": links}
        yield context.ok(_("Every expected file system is mounted"), evidence=evidence)


# A rotated log that a program still writes to is the usual one. Below 5 % of a file system and 1 GB it fills nothing.
@check("servers.disk.deleted_open", ServerFacts, needs=("df", "deleted"), warning=5, unit="%")
def deleted_files(server: ServerFacts, context: Context) -> Iterator[Finding]:
    files = server.deleted or ()
    holding = [disk for disk in server.file_systems if any(file.mount == disk.mount for file in files)]
    for disk in holding:
        held = [file for file in files if file.mount == disk.mount]
        yield _held_space(disk, held, _about(disk.mount, context))
    if not holding:
        yield context.ok(_("No nearly full file system is held by deleted files"))


def _held_space(disk: FileSystem, held: list[DeletedFile], context: Context) -> Finding:
    total = sum(file.size_bytes for file in held)
    percent = round(100 * total / max(1, disk.size_bytes), 1)
    first = held[0]
    title = _("{size} of {mount} are held by deleted files, most by {command} (pid {pid})").format(
        size=size(total), mount=disk.mount, command=first.command, pid=first.pid
    )
    is_over = context.warning is not None and percent >= context.warning
    return context.finding(
        Status.WARNING if is_over or total >= GIGABYTE else Status.OK,
        title,
        value=percent,
        evidence={
            "mount": disk.mount,
            "held_bytes": total,
            "pid": first.pid,
            "command": first.command,
            "path": first.path,
            "is_write_only": all(file.is_write_only for file in held),
            "files": [
                {"path": file.path, "size_bytes": file.size_bytes, "pid": file.pid, "command": file.command}
                for file in held[:FILES_IN_EVIDENCE]
            ],
        },
        hint=context.on_server(f"ls -l /proc/{whole_number(first.pid, 'PID')}/fd | grep deleted"),
    )


def _about(mount: str, context: Context) -> Context:
    return context.about(f"{context.subject}:{mount}")
