"""What is observed of the Linux servers: whether they answer, and one reading of each over its shell."""

from __future__ import annotations

from typing import ClassVar

from msgspec import Struct

from samaops.facts.log import LogLine
from samaops.facts.portrait import Things


class ReachFacts(Struct, frozen=True):
    """Whether a machine answers. Times in milliseconds, None without an answer.

    ``tcp`` is "open", a FailureKind, or None when no connection was tried because the echo came back.
    """

    address: str
    port: int | None
    ping_allowed: bool
    ping_ms: float | None
    ping_reason: str
    tcp: str | None
    tcp_ms: float | None
    tcp_message: str


class FileSystem(Struct, frozen=True):
    """One mounted file system as ``df`` sees it. Sizes in bytes; percent is of what users can fill."""

    mount: str
    type: str
    size_bytes: int
    used_bytes: int
    available_bytes: int
    inodes: int
    inodes_used: int
    is_configured: bool

    @property
    def used_percent(self) -> float:
        """Return the share that is used, as df computes it: reserved blocks count for nobody."""
        usable = self.used_bytes + self.available_bytes
        return round(100 * self.used_bytes / usable, 1) if usable else 0.0

    @property
    def inodes_percent(self) -> float | None:
        """Return the share of inodes used; None where the file system has no fixed number of them."""
        return round(100 * self.inodes_used / self.inodes, 1) if self.inodes else None


class ReadOnlyMount(Struct, frozen=True):
    """A mount that refuses writes. ``by_itself`` when the file system is, and not only this mount of it."""

    mount: str
    type: str
    source: str
    by_itself: bool


class OomKill(Struct, frozen=True):
    """One process that the kernel killed for memory. ``container`` is an id when a container's limit did it."""

    at: float | None  # seconds since the epoch; None where the log has no time
    pid: int
    command: str
    by_limit: bool
    container: str | None


class KernelLog(Struct, frozen=True):
    """What the kernel's log says of memory. ``since`` is its oldest line's time, None when not known."""

    source: str
    since: float | None
    kills: tuple[OomKill, ...]


# Of the flags that a file was opened with (open(2)).
_ACCESS_MODE, _WRITE_ONLY, _APPEND = 0o3, 0o1, 0o2000


class DeletedFile(Struct, frozen=True):
    """A file that is deleted, and still takes its space because a process holds it open.

    ``descriptor`` and ``flags`` are how that process has it; 0 where they were not seen.
    """

    mount: str
    path: str
    size_bytes: int
    pid: int
    command: str
    descriptor: int = 0
    flags: int = 0
    inode: int = 0

    @property
    def is_write_only(self) -> bool:
        """Return whether nobody can read it any more: it has no name, and its holder only adds to its end."""
        return bool(self.flags & _APPEND) and self.flags & _ACCESS_MODE == _WRITE_ONLY


class Biggest(Struct, frozen=True):
    """The largest directories and files of one nearly full mount; ``partial`` when time was up before the end.

    ``total_bytes`` is what du found in all, None where it did not come to its end. ``tree`` are all directories and
    files of more than a hundredth of it, each with what lies in it.
    """

    mount: str
    partial: bool
    entries: tuple[tuple[str, int], ...]
    total_bytes: int | None = None
    tree: tuple[tuple[str, int], ...] = ()


class Crowd(Struct, frozen=True):
    """The directories with the most files of one mount that is nearly out of inodes; ``partial`` as above."""

    mount: str
    partial: bool
    entries: tuple[tuple[str, int], ...]


class QuotaUse(Struct, frozen=True):
    """What somebody has of a quota, in bytes or files: 0 where there is no such limit. ``is_over`` where the grace is over."""

    used: int
    soft: int
    hard: int
    is_over: bool = False

    @property
    def limit(self) -> int:
        """What refuses next: the hard limit, else the soft one."""
        return self.hard or self.soft

    @property
    def percent(self) -> float:
        """Return the share of the limit that is used; 0 where there is none."""
        return round(100 * self.used / self.limit, 1) if self.limit else 0.0

    @property
    def refuses(self) -> bool:
        """Return whether the kernel refuses more (EDQUOT): at the hard limit, or over the soft one when its grace is over."""
        return bool(self.hard and self.used >= self.hard) or bool(
            self.soft and self.used > self.soft and self.is_over
        )


class Quota(Struct, frozen=True):
    """The quota of a user, a group or a project (``kind``) on one mount that is used for four fifths at least."""

    mount: str
    kind: str
    number: int
    name: str
    space: QuotaUse
    files: QuotaUse


class Quotas(Struct, frozen=True):
    """The quotas of one mount of one kind: how many have a limit, and those that are near it.

    ``unseen`` says why nobody could look: no tool, refused, no answer in time; "" where it was looked.
    """

    mount: str
    kind: str
    limited: int = 0
    near: tuple[Quota, ...] = ()
    unseen: str = ""


class ServerFacts(Struct, frozen=True):
    """One reading of a server. Sizes in bytes.

    ``runnable`` is how many processes ran or waited for a core just then, 0 where nobody looked.
    The server's clock minus ours lies between ``clock_low`` and ``clock_high`` seconds. ``deleted`` and
    ``biggest`` are empty when no file system is nearly full: nobody searched then.

    ``unanswered`` are the mounts of which df got no numbers, with why; ``left_out`` those that nobody fills, with their
    type; ``links`` the configured paths that lead elsewhere, with where. ``quotas`` are those that are enforced, None where
    nobody asked.
    """

    # A look of an earlier version has none.
    MAY_BE_UNASKED: ClassVar[tuple[str, ...]] = ("quotas",)

    kernel: str
    boot_id: str
    uptime_seconds: float
    epoch: float
    processors: int
    load_1: float
    load_5: float
    load_15: float
    memory_total: int
    memory_available: int
    swap_total: int
    swap_free: int
    clock_low: float
    clock_high: float
    file_systems: tuple[FileSystem, ...]
    remote_file_systems_hang: bool
    read_only: tuple[ReadOnlyMount, ...]
    missing_mounts: tuple[str, ...]
    oom_kills_since_boot: int | None
    kernel_log: KernelLog | None
    deleted: tuple[DeletedFile, ...] | None
    biggest: tuple[Biggest, ...] | None
    unanswered: tuple[tuple[str, str], ...] = ()
    left_out: tuple[tuple[str, str], ...] = ()
    links: tuple[tuple[str, str], ...] = ()
    configuration: Things | None = None
    runnable: int = 0
    crowded: tuple[Crowd, ...] = ()
    quotas: tuple[Quotas, ...] | None = None

    @property
    def is_busy(self) -> bool:
        """Whether processes wait for its cores now: then everything on it takes longer."""
        return self.load_1 > self.processors or self.runnable > 2 * self.processors


class ServiceLog(Struct, frozen=True):
    """The last words of the log of a service that runs on the server itself; ``source`` is the file or the journal.

    ``lines`` is None where it may not be read.
    """

    system: str
    source: str
    lines: tuple[LogLine, ...] | None


class ServiceLogs(Struct, frozen=True):
    """The logs of the services of one server that were found."""

    epoch: float
    logs: tuple[ServiceLog, ...]
