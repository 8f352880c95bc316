"""Judge the servers' file systems."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from samaops.checks.quantities import size
from samaops.checks.registry import Context, Explanation, check
from samaops.facts.servers import DeletedFile, FileSystem, ServerFacts
from samaops.i18n import N_, _
from samaops.model.finding import Finding
from samaops.site.commands import on_server, whole_number

GIGABYTE = 1024**3
FILES_IN_EVIDENCE = 10


# 80 and 90 % are the limits of the production guide; its daily script alerts at 85 %.
@check(
    "servers.disk.full",
    title=N_("Space on each file system"),
    facts=ServerFacts,
    warning=80,
    critical=90,
    unit="%",
    explain=Explanation(
        meaning=N_(
            "A file system is nearly full. When it is, PostgreSQL stops, RabbitMQ blocks its publishers and Redis "
            "refuses writes."
        ),
        confirm=("df -h", "du -xh --max-depth=2 /data | sort -rh | head"),
        fix=N_(
            "Free what is not data first: container logs (truncate in place), images of old releases, expired "
            "backups, the journal. Then look at replication slots and archive_command if pg_wal is large."
        ),
        avoid=N_("Never delete anything under pg_wal, and never prune Docker volumes: both are data."),
    ),
)
def space(server: ServerFacts, context: Context) -> Iterator[Finding]:
    for one in server.file_systems:
        title = _("{mount} is {percent} % full: {free} of {size} left").format(
            mount=one.mount,
            percent=one.used_percent,
            free=size(one.available_bytes),
            size=size(one.size_bytes),
        )
        hint = on_server(
            context.site,
            _server(context),
            f"du -xh --max-depth=2 {shlex.quote(one.mount)} | sort -rh | head",
        )
        fields = {
            "subject": _subject(context, one.mount),
            "evidence": _space_evidence(one, server),
            "hint": hint,
        }
        yield context.above(one.used_percent, title, detail=_what_fills(one, server), **fields)


def _space_evidence(one: FileSystem, server: ServerFacts) -> dict[str, object]:
    evidence: dict[str, object] = {
        "mount": one.mount,
        "type": one.type,
        "size_bytes": one.size_bytes,
        "used_bytes": one.used_bytes,
        "available_bytes": one.available_bytes,
    }
    for found in server.biggest or ():
        if found.mount == one.mount:
            evidence["biggest"] = [{"path": path, "size_bytes": bytes_} for path, bytes_ in found.entries]
            evidence["biggest_is_partial"] = found.partial
    return evidence


def _what_fills(one: FileSystem, server: ServerFacts) -> str:
    entries = [entry for found in server.biggest or () if found.mount == one.mount for entry in found.entries]
    return ", ".join(f"{path} {size(bytes_)}" for path, bytes_ in entries)


@check(
    "servers.disk.inodes",
    title=N_("Inodes on each file system"),
    facts=ServerFacts,
    warning=80,
    critical=90,
    unit="%",
    explain=Explanation(
        meaning=N_(
            "There is space, but soon no more files can be made: the error is the same as for a full disk."
        ),
        confirm=("df -i", "du -x --inodes --max-depth=3 / | sort -rn | head"),
        fix=N_(
            "Find the directory with most files (sessions, small uploads, mail queues) and expire the old ones."
        ),
        avoid=N_("Do not delete with a wildcard before you have looked at what the files are."),
    ),
)
def inodes(server: ServerFacts, context: Context) -> Iterator[Finding]:
    for one in server.file_systems:
        percent = one.inodes_percent
        if percent is None:
            continue  # btrfs, vfat and others make inodes as they need them
        command = f"du -x --inodes --max-depth=3 {shlex.quote(one.mount)} | sort -rn | head"
        yield context.above(
            percent,
            _("{mount} uses {percent} % of its inodes").format(mount=one.mount, percent=percent),
            subject=_subject(context, one.mount),
            evidence={"mount": one.mount, "inodes": one.inodes, "inodes_used": one.inodes_used},
            hint=on_server(context.site, _server(context), command),
        )


@check(
    "servers.disk.readonly",
    title=N_("File systems accept writes"),
    facts=ServerFacts,
    explain=Explanation(
        meaning=N_("The kernel has made a file system read-only, mostly after an error of the disk below."),
        confirm=("grep ' ro[ ,]' /proc/mounts", "dmesg -T | grep -iE 'remount|I/O error|EXT4-fs|XFS'"),
        fix=N_(
            "Stop what writes there, ask the storage team, and check the file system while it is not mounted."
        ),
        avoid=N_(
            "Do not free space (it is not full) and do not remount it read-write before the disk was checked."
        ),
    ),
)
def read_only(server: ServerFacts, context: Context) -> Iterator[Finding]:
    for one in server.read_only:
        yield context.crit(
            _("{mount} is read-only: nothing can be written there").format(mount=one.mount),
            subject=_subject(context, one.mount),
            evidence={"mount": one.mount, "type": one.type, "source": one.source, "by_itself": one.by_itself},
            hint=on_server(
                context.site, _server(context), "dmesg -T | grep -iE 'remount|I/O error|EXT4-fs|XFS'"
            ),
        )
    if not server.read_only:
        yield context.ok(_("No file system has become read-only"))


@check(
    "servers.mount.missing",
    title=N_("The expected file systems are mounted"),
    facts=ServerFacts,
    explain=Explanation(
        meaning=N_("Something that should be mounted is not: programs write to the disk below it, or fail."),
        confirm=("findmnt", "mount -a --fake -v", "journalctl -b -u '*.mount'"),
        fix=N_("Mount it again once it is known why it is gone (disk, NFS server, fstab)."),
        avoid=N_(
            "Before mounting, look at what was written into the empty directory meanwhile: it will be hidden."
        ),
    ),
)
def mounts(server: ServerFacts, context: Context) -> Iterator[Finding]:
    for mount in server.missing_mounts:
        yield context.crit(
            _("{mount} is not mounted").format(mount=mount),
            subject=_subject(context, mount),
            evidence={"mount": mount},
            hint=on_server(
                context.site,
                _server(context),
                f"findmnt {shlex.quote(mount)}; grep {shlex.quote(mount)} /etc/fstab",
            ),
        )
    if server.remote_file_systems_hang:
        yield context.warn(
            _("A remote file system does not answer: df hangs on it"),
            evidence={"remote_file_systems_hang": True},
            hint=on_server(context.site, _server(context), "grep -E ' (nfs4?|cifs) ' /proc/mounts"),
        )
    elif not server.missing_mounts:
        yield context.ok(_("Every expected file system is mounted"))


# A rotated log that a program still writes to is the usual one. Below 5 % of a file system and 1 GB it fills nothing.
@check(
    "servers.disk.deleted_open",
    title=N_("Deleted files that still take space"),
    facts=ServerFacts,
    needs=("deleted",),
    warning=5,
    unit="%",
    explain=Explanation(
        meaning=N_(
            "Files were deleted while a process has them open: df counts them, du does not see them, and the space "
            "comes back only when the process lets go."
        ),
        confirm=("lsof -nP +L1", "ls -l /proc/PID/fd | grep deleted"),
        fix=N_(
            "Make the process reopen its log (its reload signal). If it cannot: empty the file through "
            "/proc/PID/fd/N, or restart that one process at a quiet moment."
        ),
        avoid=N_("Do not delete more logs: those that are open free nothing."),
    ),
)
def deleted_files(server: ServerFacts, context: Context) -> Iterator[Finding]:
    files = server.deleted or ()
    judged = False
    for one in server.file_systems:
        held = [file for file in files if file.mount == one.mount]
        if held:
            judged = True
            yield _held_space(one, held, context)
    if not judged:
        yield context.ok(_("No nearly full file system is held by deleted files"))


def _held_space(one: FileSystem, held: list[DeletedFile], context: Context) -> Finding:
    total = sum(file.size_bytes for file in held)
    percent = round(100 * total / one.size_bytes, 1)
    first = held[0]
    title = _("{size} of {mount} are held by deleted files, most by {command} (pid {pid})").format(
        size=size(total), mount=one.mount, command=first.command, pid=first.pid
    )
    fields = {
        "subject": _subject(context, one.mount),
        "value": percent,
        "evidence": {
            "mount": one.mount,
            "held_bytes": total,
            "pid": first.pid,
            "command": first.command,
            "path": first.path,
            "files": [
                {"path": file.path, "size_bytes": file.size_bytes, "pid": file.pid, "command": file.command}
                for file in held[:FILES_IN_EVIDENCE]
            ],
        },
        "hint": on_server(
            context.site,
            _server(context),
            f"ls -l /proc/{whole_number(first.pid, 'PID')}/fd | grep deleted",
        ),
    }
    if total >= GIGABYTE or (context.warning is not None and percent >= context.warning):
        return context.warn(title, **fields)
    return context.ok(title, **{**fields, "hint": None})


def _subject(context: Context, mount: str) -> str:
    return f"{context.subject}:{mount}"


def _server(context: Context) -> str | None:
    return context.observation.server if context.observation else None
