"""What a backup holds of the configuration files of the servers, beside what is there now."""

from __future__ import annotations

from msgspec import Struct


class ConfigFile(Struct, frozen=True):
    """A file of a server that is another in the backup. Sums are SHA-256, "" where there is no file now.

    ``part`` is the file of the backup that holds it, and ``member`` its name in that where it is an archive. ``difference``
    are the lines of a diff, without their values where the file is secret.
    """

    server: str
    path: str
    part: str
    member: str
    now: str
    then: str
    is_secret: bool
    difference: tuple[str, ...]


class ConfigFacts(Struct, frozen=True):
    """The backup ``id``, begun at ``epoch`` (seconds since 1970), ``seen_at`` when it was looked at.

    ``same`` counts the files that are as they were; ``left_out`` are paths or parts that could not be compared, with why.
    """

    id: str
    epoch: float
    seen_at: float
    files: tuple[ConfigFile, ...]
    same: int
    left_out: tuple[tuple[str, str], ...] = ()
