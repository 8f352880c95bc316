"""What can be configured of the backups: ``[backup]`` and its parts."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from samaops.config.fields import LongSeconds, Percent, Seconds, Section
from samaops.config.secrets import Secret


class BackupCopy(Section):
    """Another place that gets a copy of each backup."""

    name: Annotated[str, Field(pattern="^[a-z][a-z0-9_-]{0,30}$")]
    # "server": files on another server of [servers], over SSH. "restic": a repository that the database's server reaches.
    kind: Literal["server", "restic"] = "server"
    server: str | None = None
    directory: str = ""
    # Of a server: what expires goes there too, unless it is kept there for longer than here.
    keep_expired: bool = False
    # Of restic: its repository, how rclone reaches it where that is "rclone:", and the password.
    repository: str = ""
    rclone_program: str = ""
    password: Secret | None = None

    def directory_of(self, site: str) -> str:
        """Return where a site's copies are on the server."""
        return f"{self.directory.rstrip('/')}/{site}"

    def objects_of(self, site: str) -> str:
        """Return where the copy of a site's objects is there."""
        return f"{self.directory_of(site)}/objects"


class BackupObjects(Section):
    """Where the objects of [minio] are kept, on the backup's server."""

    directory: str = "/data/backups/minio"
    # A source with so much fewer objects than the last time stops the copy: it may have been emptied.
    most_lost_percent: Percent = 20.0


class BackupDrill(Section):
    """What a trial restore may use, and what it asks besides samaops' own questions."""

    # The statements must each give true.
    queries: tuple[str, ...] = ()
    timeout: LongSeconds = 14_400.0
    # Each gives one column: the objects to which rows point, as BUCKET/KEY. They must be in the copy of the objects.
    references: tuple[str, ...] = ()
    # Without an identity, what is encrypted cannot be tried: the key that opens it, for the time of the drill only.
    identity: Secret | None = None


class PgBackRest(Section):
    """How samaops uses pgBackRest where it is the engine. Repository, archiving and keys stand in its own configuration."""

    # Its configuration, where that is not in /etc/pgbackrest.
    config_file: Annotated[str, Field(pattern="^(/.+)?$")] = ""
    # The next backup is a full one when the last full one is so old, and a differential one when the last of these is.
    full_after_days: Annotated[int, Field(ge=1, le=90)] = 7
    differential_after_hours: Annotated[int, Field(ge=1, le=2160)] = 24


# When a command line of the site is run around a backup; "finally" in any case, after the two others.
BackupHook = Literal["before", "after_success", "after_failure", "finally"]


class Backup(Section):
    """Where the nightly backups lie, and how long they are kept."""

    server: str = "db"
    directory: str = "/data/backups/postgresql"
    pattern: str = "samaconso_*.backup"
    retention_days: Annotated[int, Field(ge=1)] = 30
    # So many verified ones are kept, however old; and the newest of so many weeks and months.
    minimum: Annotated[int, Field(ge=1)] = 3
    weekly: Annotated[int, Field(ge=0)] = 4
    monthly: Annotated[int, Field(ge=0)] = 6
    engine: Literal["dump", "pgbackrest"] = "dump"
    stanza: Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_-]{0,62}$")] = "samaconso"
    pgbackrest: PgBackRest = PgBackRest()
    # PostgreSQL's operating-system user: whose the backups are, and who reads the database over its local socket.
    os_user: Annotated[str, Field(pattern=r"^[a-z_][a-z0-9_-]{0,31}$")] = "postgres"
    # Processes that read at once; absent: the processors but one, at most 4.
    jobs: Annotated[int, Field(ge=1, le=32)] | None = None
    # A run, the proof of one and a copy take so long at most, each.
    timeout: LongSeconds = 14_400.0
    # A table that others have locked is waited for so long; then the run fails, with the reason.
    lock_wait: Seconds = 60.0
    # The public recipient (age1…) to whom what must not be read is encrypted. Absent: what needs it is left out.
    recipient: Annotated[str, Field(pattern="^age1[a-z0-9]{20,2000}$")] | None = None
    # Where the key that opens it lies besides, in your words: "safe of the DSI". While nobody has said so, that is a finding.
    key_kept: str = ""
    # Run on the backup's server by os_user. One "before" that fails is a failed run.
    hooks: dict[BackupHook, str] = {}
    hook_timeout: Seconds = 300.0
    copies: tuple[BackupCopy, ...] = ()
    objects: BackupObjects | None = None
    drill: BackupDrill = BackupDrill()
    # Must give a row before a restored database takes the place of the live one.
    smoke_query: str = ""
    # A database that was replaced is kept closed for so long.
    keep_replaced_days: Annotated[int, Field(ge=1)] = 7
