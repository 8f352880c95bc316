"""Read what the script ``servers.sh`` printed into the facts of a server."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import PurePosixPath

from msgspec import Struct

from samaops.clients.errors import ClientError
from samaops.clients.shell import Completed
from samaops.collect import kept_files
from samaops.collect.engine import Probe
from samaops.collect.sections import complaints_of, cut, refusal
from samaops.collect.servers import quotas as quotas_reading
from samaops.collect.values import lacking
from samaops.facts.disks import most_telling
from samaops.facts.portrait import Things, Trait, gather
from samaops.facts.servers import (
    Biggest,
    Crowd,
    DeletedFile,
    FileSystem,
    KernelLog,
    OomKill,
    ReadOnlyMount,
    ServerFacts,
)
from samaops.i18n import _
from samaops.journal import digests
from samaops.model.failure import FailureKind

Sections = Mapping[str, list[str]]
# Nobody fills these: memory, images that are full by design, and views of other file systems.
PSEUDO_TYPES = frozenset(
    {
        "tmpfs", "devtmpfs", "ramfs", "overlay", "squashfs", "iso9660", "udf", "erofs", "cramfs", "efivarfs", "nsfs",
        "autofs", "fuse.portal", "fuse.gvfsd-fuse", "fuse.lxcfs", "fuse.snapfuse", "fuse.squashfuse",
        "fuse.squashfuse_ll", "fuse.fuse-overlayfs", "fuse.vmware-vmblock", "fuse.archivemount", "fusectl",
    }
)  # fmt: skip
# Memory that programs fill, at the places where it ends their work. Other tmpfs are the system's own, or a container's.
_FILLED_MEMORY = ("/tmp", "/var/tmp", "/run", "/dev/shm")  # noqa: S108 - named, not used
# An overlay with data is a file system as another; a container's own is a view of the disk under it.
_OF_CONTAINER = re.compile(r"/(?:merged|rootfs)$")
_DF_LINE = re.compile(r"(\S+)\s+(\d+|-)\s+(\d+|-)\s+(\d+|-)\s+(\d+|-)\s+(\d+|-)\s+(/.*)")
_DF_FAILED = re.compile(r"df: '?(/.*?)'?: ([^:]+)")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_KILLED = re.compile(r"Killed process (\d+) \((.*?)\)(?:,| total-vm| |$)")
_CONTAINER = re.compile(r"task_memcg=\S*?([0-9a-f]{64})")
_BOOT_TIME = re.compile(r"\[\s*(\d+\.\d+)\]")
_JOURNAL_TIME = re.compile(r"(\d{9,}\.\d+) ")
_BIGGEST_ENTRIES = 5


class Mount(Struct, frozen=True):
    """One line of mountinfo."""

    device: tuple[int, int]
    point: str
    options: frozenset[str]
    type: str
    source: str
    super_options: str

    @property
    def is_remote(self) -> bool:
        """Return whether another machine, or a program, answers for it."""
        is_network = self.type.startswith(("nfs", "cifs", "smb", "ceph", "gluster", "9p", "afs", "lustre"))
        return is_network or (self.type.startswith("fuse") and self.type not in PSEUDO_TYPES)

    @property
    def upper_directory(self) -> str | None:
        """Where an overlay keeps what is written to it."""
        match = re.search(r"(?:^|,)upperdir=([^,]+)", self.super_options)
        return _unescape(match.group(1)) if match else None


def read(
    done: Completed, token: str, asked_between: tuple[float, float], configured: Sequence[str], probe: Probe
) -> ServerFacts:
    """Return the facts that the script's output holds. Raises ClientError when it is not complete."""
    sections = cut(done, token)
    try:
        return _facts(sections, complaints_of(done, token), asked_between, configured, probe)
    except (KeyError, IndexError, ValueError) as error:
        seen = ", ".join(sections)
        message = _("the server's answer is not complete, it has: {sections}").format(sections=seen)
        raise ClientError(FailureKind.ERROR, message, "script") from error


def _facts(
    sections: Sections,
    complaints: Sections,
    asked_between: tuple[float, float],
    configured: Sequence[str],
    probe: Probe,
) -> ServerFacts:
    _uid, kernel, boot_id, processors, uptime, load = sections["identity"]
    uptime_seconds = float(uptime.split()[0])
    starts, ends = float(sections["clock_start"][0]), float(sections["clock_end"][0])
    loads = [float(word) for word in load.split()[:3]]
    memory = _memory(sections["meminfo"])
    mounts = _mounts(sections["mountinfo"])
    if not mounts:
        raise ValueError("mountinfo")
    places = _places(sections.get("resolved", []), configured)
    missing = tuple(path for path in configured if _is_missing(path, places[path], mounts))
    shown = [*sections["df"], *complaints["df"]]
    measured = probe.attempt("df", lambda: _file_systems(shown, mounts, set(places.values())))
    listed, left_out, unanswered = measured or ([], {}, {})
    counted = [int(line.split()[1]) for line in sections["vmstat"]]
    boot = ends - uptime_seconds
    return ServerFacts(
        kernel=kernel,
        boot_id=boot_id,
        uptime_seconds=uptime_seconds,
        epoch=ends,
        processors=int(processors),
        load_1=loads[0],
        load_5=loads[1],
        load_15=loads[2],
        runnable=int(load.split()[3].partition("/")[0]),
        memory_total=memory["MemTotal"],
        memory_available=memory["MemAvailable"],
        swap_total=memory["SwapTotal"],
        swap_free=memory["SwapFree"],
        clock_low=round(ends - asked_between[1], 4),
        clock_high=round(starts - asked_between[0], 4),
        file_systems=tuple(listed),
        remote_file_systems_hang="hung" in sections["df"],
        read_only=tuple(_read_only(mounts, _meant_read_only(sections["fstab"]), places.values())),
        missing_mounts=missing,
        oom_kills_since_boot=counted[0] if counted else None,
        kernel_log=probe.attempt(
            "kernel_log", lambda: _kernel_log(sections["kernel_log"], complaints["kernel_log"], boot)
        ),
        deleted=probe.attempt(
            "deleted", lambda: _deleted(sections.get("deleted"), complaints["deleted"], mounts)
        ),
        biggest=probe.attempt("biggest", lambda: tuple(_biggest(sections.get("biggest", [])))),
        crowded=tuple(_crowded(sections.get("crowded", []))),
        unanswered=tuple(unanswered.items()),
        left_out=tuple(left_out.items()),
        links=tuple((path, place.lstrip("!")) for path, place in places.items() if place not in (path, "?")),
        configuration=_configuration(sections, mounts, configured),
        quotas=probe.attempt("quotas", lambda: quotas_reading.read(sections.get("quotas"), ends)),
    )


def _memory(lines: Sequence[str]) -> dict[str, int]:
    return {
        name: int(rest.split()[0]) * 1024 for name, _colon, rest in (line.partition(":") for line in lines)
    }


def _places(resolved: Sequence[str], configured: Sequence[str]) -> dict[str, str]:
    """Return where each configured path really lies: itself where that was not seen, ``!PLACE`` for one that is not there."""
    seen = dict(zip(configured, resolved, strict=False))
    return {path: path if seen.get(path, "?") == "?" else seen[path] for path in configured}


def _is_missing(path: str, place: str, mounts: Sequence[Mount]) -> bool:
    """Return whether nothing is mounted there. A link may also lead into a mount, but not where it lies itself."""
    if place.startswith("!") or path == place:
        return path not in {mount.point for mount in mounts}
    return _mount_of_path(place, mounts) == _mount_of_path(str(PurePosixPath(path).parent), mounts)


def _file_systems(
    lines: Sequence[str], mounts: Sequence[Mount], configured: set[str]
) -> tuple[list[FileSystem], dict[str, str], dict[str, str]]:
    """Return what df shows, what of it is left out with its type, and what did not answer with the reason.

    Raises ClientError where df shows nothing at all: another df, or one that hangs.
    """
    points = {_CONTROL.sub("?", mount.point): mount for mount in mounts}  # df shows no control character
    file_systems: dict[str, FileSystem] = {}
    left_out: dict[str, str] = {}
    unanswered: dict[str, str] = {}
    for line in lines:
        if failed := _DF_FAILED.fullmatch(line):
            path, reason = failed.groups()
            # another user's own mount: nobody else may look
            (left_out if reason == "Permission denied" else unanswered)[path] = reason
            continue
        matched = _DF_LINE.fullmatch(line)
        if matched is None or matched.group(2) in ("0", "-"):
            continue
        kind, shown = matched.group(1), matched.group(7)
        mount = points.get(shown)
        point = mount.point if mount else shown
        size, used, available, inodes, inodes_used = (
            None if word == "-" else int(word) for word in matched.groups()[1:6]
        )
        is_configured = point in configured
        if not is_configured and (used is None or available is None or _is_left_out(kind, point, mount)):
            left_out[point] = kind
        elif size is None or used is None or available is None:
            unanswered[point] = kind
        else:
            file_systems[point] = FileSystem(
                point, kind, size, used, available, inodes or 0, inodes_used or 0, is_configured
            )
    if "hung" in lines:
        seen = file_systems.keys() | left_out.keys() | unanswered.keys()
        silent = [mount for mount in mounts if mount.is_remote and mount.point not in seen]
        unanswered |= {mount.point: _("no answer in time") for mount in silent}
    if not (file_systems or left_out or unanswered):
        raise lacking("df", stage="df")
    listed = sorted(file_systems.values(), key=lambda file_system: file_system.mount)
    return listed, left_out, unanswered


def _is_left_out(kind: str, point: str, mount: Mount | None) -> bool:
    if kind == "overlay":
        return bool(_OF_CONTAINER.search(point))
    if kind == "tmpfs":
        return point not in _FILLED_MEMORY
    # What nobody may write to, nobody fills: an AppImage, an archive. A disk that became so is servers.disk.readonly.
    is_image = kind.startswith("fuse.") and mount is not None and "ro" in mount.options
    return kind in PSEUDO_TYPES or is_image


def _mounts(lines: Sequence[str]) -> list[Mount]:
    """Read mountinfo; fields in proc(5). Of two mounts on one point the later one hides the other."""
    mounts: dict[str, Mount] = {}
    for line in lines:
        before, _dash, after = line.partition(" - ")
        words, rest = before.split(" "), after.split(" ")
        major, _colon, minor = words[2].partition(":")
        point = _unescape(words[4])
        options = frozenset(words[5].split(","))
        mounts[point] = Mount((int(major), int(minor)), point, options, rest[0], _unescape(rest[1]), rest[2])
    return list(mounts.values())


def _unescape(word: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal.group(1), 8)), word)


def _meant_read_only(fstab: Sequence[str]) -> set[str]:
    fields = [line.split() for line in fstab if not line.lstrip().startswith("#")]
    return {_unescape(words[1]) for words in fields if len(words) >= 4 and "ro" in words[3].split(",")}


def _read_only(mounts: Sequence[Mount], meant: set[str], configured: Collection[str]) -> list[ReadOnlyMount]:
    """Return the mounts that nobody wanted read-only: the kernel makes a file system so after an error."""
    read_only = []
    for mount in mounts:
        by_itself = "ro" in mount.super_options.split(",")
        is_disk = mount.source.startswith("/dev/") and mount.type not in PSEUDO_TYPES
        if mount.point in meant or not (by_itself or "ro" in mount.options):
            continue
        if mount.point in configured or (by_itself and is_disk):
            read_only.append(ReadOnlyMount(mount.point, mount.type, mount.source, by_itself))
    return read_only


def _configuration(sections: Sections, mounts: Sequence[Mount], configured: Sequence[str]) -> Things | None:
    """Return mounts, and files that are kept by hand; crontabs only where all of them could be read."""
    if "files" not in sections:
        return None
    rows = [
        ("mount", mount.point, name, trait)
        for mount in mounts
        for name, trait in _lasting(mount, mounts, configured)
    ]
    crontabs = sections["crontabs"] if sections.get("crontabs", [])[-1:] == ["exit 0"] else None
    return gather(
        ("mount", "file", *(() if crontabs is None else ("crontab",))),
        [*rows, *kept_files.rows("file", sections["files"]), *kept_files.rows("crontab", crontabs or ())],
    )


def _lasting(mount: Mount, mounts: Sequence[Mount], configured: Sequence[str]) -> Iterator[tuple[str, Trait]]:
    """Yield how a file system is mounted; nothing of one that comes and goes with a container or on its first use."""
    is_real = (
        mount.source.startswith(("/dev/", "//")) or ":/" in mount.source or mount.type.startswith("fuse.")
    )
    of_a_container = mount.point.startswith(("/var/lib/docker/", "/run/", "/snap/", "/media/"))
    by_itself = any(
        other.type == "autofs" and mount.point.startswith(other.point.rstrip("/") + "/") for other in mounts
    )
    if mount.point in configured or (is_real and not (of_a_container or by_itself)):
        yield "source", Trait(f"{mount.type} {digests.unless_harmless('', mount.source)}")
        yield "mode", Trait("ro" if "ro" in mount.options or "ro" in mount.super_options.split(",") else "rw")


def _kernel_log(lines: Sequence[str], complaints: Sequence[str], boot: float) -> KernelLog:
    source = lines[0]
    if source not in ("dmesg", "journal", "unreadable"):
        raise lacking("kernel_log", stage="kernel_log")
    if source == "unreadable":
        raise refusal(lines[1:] or complaints)
    since = _time_of(lines[1], boot) if len(lines) > 1 else None
    kills = []
    container = None
    for line in lines[2:]:
        if named := _CONTAINER.search(line):
            container = named.group(1)
        if killed := _KILLED.search(line):
            by_limit = "emory cgroup" in line  # "Memory cgroup out of memory: Killed process"
            kills.append(
                OomKill(
                    at=_time_of(line, boot),
                    pid=int(killed.group(1)),
                    command=killed.group(2),
                    by_limit=by_limit,
                    container=container if by_limit else None,
                )
            )
            container = None
    return KernelLog(source, since, tuple(kills))


def _time_of(line: str, boot: float) -> float | None:
    if matched := _BOOT_TIME.match(line):
        return round(boot + float(matched.group(1)), 1)
    if matched := _JOURNAL_TIME.match(line):
        return round(float(matched.group(1)), 1)
    return None


def _deleted(
    lines: Sequence[str] | None, complaints: Sequence[str], mounts: Sequence[Mount]
) -> tuple[DeletedFile, ...]:
    """Return the deleted files, the largest first, each once: many processes may hold the same one."""
    if lines is None:
        return ()
    if not lines[-1:] or lines[-1] not in ("exit 0", "exit 124", "exit 137"):
        raise refusal(complaints)
    files: dict[tuple[int, int], DeletedFile] = {}
    for line in lines[:-1]:
        words = line.split("\t", 7)
        if len(words) == 8 and all(word.isdigit() for word in (*words[:4], *words[5:7])):
            device, inode, blocks, pid = (int(word) for word in words[:4])
            path = words[7].removesuffix(" (deleted)")
            mount = _mount_of_device(device, mounts) or _mount_of_path(path, mounts)
            file = DeletedFile(
                mount, path, blocks * 512, pid, words[4], int(words[5]), int(words[6], 8), inode
            )
            # Who may read it decides what may be done with it: such a holder is the one to be told of.
            known = files.setdefault((device, inode), file)
            if known.is_write_only and not file.is_write_only:
                files[(device, inode)] = file
    return tuple(sorted(files.values(), key=lambda file: -file.size_bytes))


def _mount_of_device(device: int, mounts: Sequence[Mount]) -> str | None:
    """Return where a device is mounted; for a container's overlay, the file system that carries it."""
    major = (device >> 8) & 0xFFF
    minor = (device & 0xFF) | ((device >> 12) & 0xFFF00)
    points = [mount for mount in mounts if mount.device == (major, minor)]
    if not points:
        return None
    shortest = min(points, key=lambda mount: len(mount.point))
    return _mount_of_path(shortest.upper_directory, mounts) if shortest.upper_directory else shortest.point


def _mount_of_path(path: str, mounts: Sequence[Mount]) -> str:
    above = [
        mount.point
        for mount in mounts
        if path == mount.point or path.startswith(mount.point.rstrip("/") + "/")
    ]
    return max(above, key=len, default="/")


def _biggest(lines: Sequence[str]) -> list[Biggest]:
    biggest = []
    mount, partial, sizes = "", False, dict[str, int]()
    for line in [*lines, "mount "]:
        if line.startswith("mount "):
            if mount:
                total = None if partial else sizes.get(mount)
                telling = most_telling(sizes, mount, _BIGGEST_ENTRIES)
                biggest.append(Biggest(mount, partial, telling, total, tuple(sizes.items())))
            mount, partial, sizes = line.removeprefix("mount "), False, {}
        elif line == "partial":
            partial = True
        else:
            size, _tab, path = line.partition("\t")
            if size.isdigit() and path:
                sizes[path] = int(size)
    return biggest


def _crowded(lines: Sequence[str]) -> list[Crowd]:
    """Return the directories that have the most files in themselves, the fullest first."""
    crowds = []
    mount, partial, counts = "", False, list[tuple[str, int]]()
    for line in [*lines, "mount "]:
        if line.startswith("mount "):
            if mount:
                crowds.append(Crowd(mount, partial, tuple(counts[:_BIGGEST_ENTRIES])))
            mount, partial, counts = line.removeprefix("mount "), False, []
        elif line == "partial":
            partial = True
        else:
            count, _tab, path = line.partition("\t")
            if count.isdigit() and path:
                counts.append((path, int(count)))
    return crowds
