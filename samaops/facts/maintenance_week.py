"""What weekly maintenance observes beside what a diagnosis does: growth, statements, indexes, use, logs to be rotated.

Each has what an earlier run saw, to be compared with; nobody looks at these unless asked by name.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct, field

DAY_SECONDS = 86400.0
# A pace taken from less says nothing about a week.
SHORTEST_SECONDS = 3600.0


class Sizes(Struct, frozen=True):
    """How large a database and its largest tables were ``at`` (seconds since the epoch), with their indexes; in bytes.

    ``is_whole``: all its tables are there. None is what could not be measured.
    """

    at: float
    database_bytes: int | None
    tables: Mapping[str, int]
    is_whole: bool = False


class TableGrowth(Struct, frozen=True):
    """What became of one table since an earlier run; ``grown_bytes`` is None where that did not see it."""

    name: str
    size_bytes: int
    grown_bytes: int | None


class SizesFacts(Struct, frozen=True):
    """The sizes of the configured database now, and as an earlier run saw them."""

    database: str
    now: Sizes
    earlier: Sizes | None = None

    @property
    def tables(self) -> tuple[TableGrowth, ...]:
        """All tables that were seen, the largest first."""
        ranked = sorted(self.now.tables.items(), key=lambda table: -table[1])
        return tuple(TableGrowth(name, size, self._grown(name, size)) for name, size in ranked)

    def _grown(self, name: str, size: int) -> int | None:
        if self.earlier is None:
            return None
        # Who is not in a whole list was not there.
        before = self.earlier.tables.get(name, 0 if self.earlier.is_whole else None)
        return None if before is None else size - before


class Counted(Struct, frozen=True):
    """How often a statement ended and how long that took in all, milliseconds."""

    calls: int
    total_ms: float


class Statements(Struct, frozen=True):
    """What pg_stat_statements had counted ``at``, by user, database and statement; ``reset_at`` tells since when.

    Only those that took the most time; ``is_whole``: all of them.
    """

    at: float
    reset_at: str
    counted: Mapping[str, Counted]
    is_whole: bool = False


class SlowStatement(Struct, frozen=True):
    """One statement: what it used since an earlier run, or since the statistics began."""

    query_id: str
    user: str
    text: str
    calls: int
    total_ms: float

    @property
    def mean_ms(self) -> float:
        """How long it takes on average."""
        return self.total_ms / self.calls if self.calls else 0.0


class StatementsFacts(Struct, frozen=True):
    """The statements that used the most time in ``seconds``, and what they are compared with.

    ``since`` is None where that is the statistics' own beginning; ``hidden`` counts those whose text we may not see,
    ``evicted`` those that the server threw out for want of room.
    """

    now: Statements
    seconds: float
    since: float | None
    slowest: tuple[SlowStatement, ...]
    hidden: int = 0
    evicted: int = 0


class IndexUse(Struct, frozen=True):
    """How often each index (by its oid) had been used ``at``, counted since these two resets (seconds since the epoch)."""

    at: float
    database_reset: float | None
    server_reset: float | None
    scans: Mapping[str, int]


class IndexFault(Struct, frozen=True):
    """An index, or a table that lacks one. ``kind``: invalid, duplicate, covered, unused; foreign key, read whole.

    ``other`` is the index that makes it useless, or the table that is referred to.
    """

    kind: str
    name: str
    table: str
    size_bytes: int
    other: str = ""
    columns: tuple[str, ...] = ()


class IndexesFacts(Struct, frozen=True):
    """Which indexes are of no use and which are missing. ``unproven`` had no scan, but not for long enough to say so."""

    now: IndexUse
    earlier: IndexUse | None
    useless: tuple[IndexFault, ...]
    missing: tuple[IndexFault, ...]
    unproven: int = 0


class Use(Struct, frozen=True):
    """What a system had counted ``at`` since it started, and what it held then.

    ``run`` tells one start of it from another, where it says so. ``per_day`` is what it counted for each day since the run
    before.
    """

    at: float
    run: str
    counted: Mapping[str, float]
    levels: Mapping[str, float]
    per_day: Mapping[str, float] = field(default_factory=dict)


class UseFacts(Struct, frozen=True):
    """The use of one system now, and as an earlier run saw it. ``is_since_start``: it has begun to count anew since then."""

    now: Use
    earlier: Use | None = None
    seconds: float = 0.0
    is_since_start: bool = False

    def per_day(self, name: str) -> float | None:
        """Return how many of these there were a day since the earlier run; None when that is not known."""
        return self.now.per_day.get(name)

    def before(self, name: str) -> float | None:
        """Return how many of these there were a day in the week before; None when nobody saw it."""
        return self.earlier.per_day.get(name) if self.earlier else None

    def level_before(self, name: str) -> float | None:
        """Return what it held at the earlier run."""
        return self.earlier.levels.get(name) if self.earlier else None


class RedisUse(UseFacts, frozen=True):
    """Redis: ``commands``, ``hits``, ``misses``, ``evicted``, ``expired``, ``rejected``; ``used_bytes``, ``keys``."""


class BrokerUse(UseFacts, frozen=True):
    """RabbitMQ: ``published``, ``delivered``, ``acknowledged``, ``redelivered``, ``unroutable``; ``messages``, ``queues``,
    ``connections``, ``consumers``."""


class CeleryUse(UseFacts, frozen=True):
    """Celery, as Flower heard it: ``received``, ``succeeded``, ``failed``, ``retried``; ``workers``, ``online``."""


def compared(now: Use, earlier: Use | None, uptime_seconds: float | None = None) -> dict[str, object]:
    """Return the fields of UseFacts: what was counted since the earlier run, or since the system started after it."""
    if earlier is None or now.at - earlier.at < SHORTEST_SECONDS:
        return {"now": now, "earlier": earlier}
    is_anew = now.run != earlier.run or any(
        count < earlier.counted.get(name, 0.0) for name, count in now.counted.items()
    )
    seconds = now.at - earlier.at
    if is_anew and uptime_seconds is not None:
        seconds = min(seconds, max(uptime_seconds, 1.0))
    before = {} if is_anew else earlier.counted
    # What it counted before it started again is lost: of a start that nobody dates there is no pace.
    is_known = not is_anew or (uptime_seconds is not None and seconds >= SHORTEST_SECONDS)
    per_day = (
        {name: (count - before.get(name, 0.0)) / seconds * DAY_SECONDS for name, count in now.counted.items()}
        if is_known
        else {}
    )
    now = Use(now.at, now.run, now.counted, now.levels, per_day)
    return {"now": now, "earlier": earlier, "seconds": seconds, "is_since_start": is_anew}


# What processes of other machines may have open too.
_SHARED = ("nfs", "nfs4", "cifs", "smb2", "smb3", "ceph", "9p", "virtiofs")
# How a log is rotated, the gentlest first.
PACK, COLLAPSE, REOPEN = "pack", "collapse", "reopen"


class Writer(Struct, frozen=True):
    """A process that has a file open for writing; whether each of its writes goes to the file's end."""

    pid: int
    name: str
    appends: bool


class LogFile(Struct, frozen=True):
    """One log of the application. ``writers`` is None where nobody may see them."""

    name: str
    inode: int
    size_bytes: int
    modified_at: float
    is_current: bool
    writers: tuple[Writer, ...] | None


class Rotation(Struct, frozen=True):
    """What is due for one file: how, or why it is left as it is."""

    file: LogFile
    method: str
    reason: str = ""


class RotationFacts(Struct, frozen=True):
    """The logs of one server that are not compressed. ``file_system`` is its type, ``block_bytes`` its unit.

    ``can_collapse``: it takes the head off a file in one stroke, with what is written meanwhile kept at its end.
    """

    directory: str
    epoch: float
    files: tuple[LogFile, ...]
    file_system: str
    block_bytes: int
    can_collapse: bool

    def file(self, name: str) -> LogFile | None:
        """Return a file by its name."""
        return next((file for file in self.files if file.name == name), None)

    def due(self, days: float, size_bytes: int, *, reopens: bool) -> tuple[Rotation, ...]:
        """Return what is to be rotated: larger than this, or not written for so many days and not open, largest first."""
        chosen = []
        for file in sorted(self.files, key=lambda file: -file.size_bytes):
            is_old = self.epoch - file.modified_at > days * DAY_SECONDS
            is_large = file.size_bytes >= size_bytes
            if not file.size_bytes or not (is_old or is_large):
                continue
            is_shared = self.file_system in _SHARED
            rotation = Rotation(file, "", "network") if is_shared else self._method(file, reopens=reopens)
            # A file that is held open and is not large costs nothing.
            if is_large or rotation.method == PACK or file.writers is None:
                chosen.append(rotation)
        return tuple(chosen)

    def _method(self, file: LogFile, *, reopens: bool) -> Rotation:
        if not file.writers:
            return Rotation(file, "", "unseen") if file.writers is None else Rotation(file, PACK)
        if reopens and file.is_current:
            return Rotation(file, REOPEN)
        if not all(writer.appends for writer in file.writers):
            return Rotation(file, "", "position")
        if not self.can_collapse or file.size_bytes < self.block_bytes:
            return Rotation(file, "", "file system")
        return Rotation(file, COLLAPSE)
