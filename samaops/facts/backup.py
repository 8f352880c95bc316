"""What is observed of the backups: the files, their age and their size."""

from __future__ import annotations

from msgspec import Struct


class BackupFile(Struct, frozen=True):
    """One file; ``modified_at`` in seconds since the epoch, by the server's clock."""

    name: str
    size_bytes: int
    modified_at: float


class BackupFacts(Struct, frozen=True):
    """The backups, newest first. ``epoch`` is the server's time of looking."""

    directory: str
    pattern: str
    epoch: float
    exists: bool
    files: tuple[BackupFile, ...]
    unfinished: tuple[BackupFile, ...]
