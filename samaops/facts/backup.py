"""What is observed of the backups: the files, their age and their size."""

from __future__ import annotations

from msgspec import Struct

from samaops.facts.backup_run import Survey


class BackupFile(Struct, frozen=True):
    """One file; ``modified_at`` in seconds since the epoch, by the server's clock.

    ``is_whole`` tells whether an archive of pg_dump has its end; None for another file, or an older one that nobody
    read. ``is_unread`` says that its end should have been read and could not be.
    """

    name: str
    size_bytes: int
    modified_at: float
    is_whole: bool | None = None
    is_unread: bool = False


class BackupFacts(Struct, frozen=True):
    """The backups, newest first. ``epoch`` is the server's time of looking.

    ``leads_to`` is where the directory really lies, when it is a link. ``left_out`` names what has a backup's name and
    is no file.
    """

    directory: str
    pattern: str
    epoch: float
    exists: bool
    files: tuple[BackupFile, ...]
    unfinished: tuple[BackupFile, ...]
    leads_to: str | None = None
    left_out: tuple[str, ...] = ()


class CatalogueFacts(Struct, frozen=True):
    """What samaops knows of the backups. ``survey`` is None where it has made none and may not look as their owner: why."""

    directory: str
    survey: Survey | None
    reason: str = ""
