"""One change at a time per system: locks that name who holds them and are released when their owner dies.

A lock can be held at three places. On one machine it is ``flock`` on a file named after the site, in
``[safety] lock_directory`` (by default ``/run/samaops``, for its group; ``journal/lock_directory.py``): the kernel
releases it with the process, however that ends. Where the journal is in PostgreSQL, its advisory lock is held besides, for all machines that share it: the
server releases it when the connection ends, and within about half a minute when the owner's machine is gone without a
word. For all control machines, whatever their journals, the servers that a change touches are locked besides
(``workflows/change_locks.py``).

Limits. A site is told by its name (``site``): two configurations of one site that spell it differently do not exclude
each other. The lock keeps out samaops, not a person at the keyboard; against that, each step reads its facts again.
Between ``check`` and the end of the step that follows, a lock that is lost is not noticed. A pool keeps no session
lock: it is refused.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import re
import socket
import stat
import time
from contextlib import ExitStack, suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from msgspec.structs import asdict

from samaops import resources
from samaops.config import files
from samaops.errors import LockedError, RefusedError, reason_of
from samaops.i18n import _
from samaops.journal import lock_directory
from samaops.journal.owner import Owner, holder_of, read_owner, this_process
from samaops.model.history import local

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine, Table

# A look at who holds the lock takes it for a moment: whoever wants it tries a little longer than that.
_TRY_SECONDS = 0.5
_MOST_BYTES = 4000
_MODE = 0o660
# Somebody who holds a lock and whose name cannot be read.
UNKNOWN = Owner("?", "?", 0, "", "?")
LocksT = TypeVar("LocksT", bound="Locks")


class Lock(Protocol):
    """What one change at a time holds, at one place."""

    def take(self) -> None:
        """Take it. Raises LockedError, naming its owner, when somebody else has it; RefusedError when it cannot be had."""

    def holder(self) -> Owner | None:
        """Return who holds it now, ``UNKNOWN`` included; None when nobody does. Takes nothing that lasts."""

    def check(self) -> None:
        """Raise LockedError when it was lost."""

    def release(self) -> None:
        """Give it back, if it is held."""


class Locks:
    """Several locks as one: taken in their order, all or none, and given back in reverse."""

    def __init__(self, *locks: Lock) -> None:
        self._locks = locks
        self._taken = ExitStack()

    def take(self) -> None:
        with ExitStack() as taken:
            for lock in self._locks:
                taken.callback(lock.release)
                lock.take()
            self._taken = taken.pop_all()

    def holder(self) -> Owner | None:
        return next((owner for lock in self._locks if (owner := lock.holder())), None)

    def check(self) -> None:
        for lock in self._locks:
            lock.check()

    def release(self) -> None:
        self._taken.close()

    def __enter__(self: LocksT) -> LocksT:
        self.take()
        return self

    def __exit__(self, *_error: object) -> None:
        self.release()


class ChangeLock(Locks):
    """The lock of one site on this machine, and in the shared PostgreSQL to which ``engine`` leads, if there is one."""

    def __init__(self, place: Path, site: str, engine: Engine | None = None) -> None:
        shared = (DatabaseLock(engine, site),) if engine is not None else ()
        super().__init__(FileLock(place / file_name(site)), *shared)


def file_name(*names: str) -> str:
    """Return the name of the lock file of a site, or of one server of it: readable, and another for other names."""
    slugs = [re.sub(r"[^A-Za-z0-9_.-]", "_", name)[:60] for name in names]
    return f"samaops-{'-'.join(slugs)}-{_digest(*names).hex()[:6]}.lock"


def _digest(*names: str) -> bytes:
    return hashlib.sha256(":".join(("samaops", *names)).encode()).digest()


def this_process_now() -> Owner:
    """Return who we are, as the one who takes a lock now."""
    return this_process(datetime.now(timezone.utc).isoformat(timespec="seconds"))


def locked(owner: Owner, server: str | None = None) -> LockedError:
    """Return the error that names who holds the lock of the site, or of one server."""
    words = {"server": server, **asdict(owner), "since": local(owner.since)}
    if owner == UNKNOWN:
        short = (
            _("Another change is being made on {server}")
            if server
            else _("Another change is being made on this system")
        )
        return LockedError(short.format(**words))
    text = _("Another change is being made on this system by {user} on {host}, process {pid}, since {since}")
    hint = "samaops history list"
    if server:
        text = _("Another change is being made on {server} by {user} on {host}, process {pid}, since {since}")
        hint = _("on {host}: samaops history list").format(host=owner.host)
    return LockedError(text.format(**words), hint, owner.since)


class FileLock:
    """A lock on a file of this machine, with its owner's name in it while it is held; ``server`` is whose lock it is.

    Nobody but the group of its directory may open it, and so nobody else can hold it.
    """

    def __init__(self, path: Path, server: str | None = None) -> None:
        self._path = path
        self._server = server
        self._file: int | None = None

    def take(self, owner: Owner | None = None) -> None:
        """Take the lock and write who we are."""
        file = self._open()
        if not _is_locked(file):
            holder = self._written(file)
            os.close(file)
            raise locked(holder, self._server)
        self._file = file
        with suppress(OSError):  # a full disk: the lock holds all the same, without a name
            _write(self._file, asdict(owner or this_process_now()))

    def holder(self) -> Owner | None:
        try:
            lock_directory.require_safe(self._path.parent)
            file = _opened(self._path, os.O_RDONLY)
        except FileNotFoundError:  # nobody has ever taken it
            return None
        except OSError as error:
            raise self._refused(reason_of(error)) from error
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return self._written(file)
        finally:
            os.close(file)
        return None

    def check(self) -> None:
        """Raise LockedError when the file we hold is no longer the one that others would lock."""
        if self._file is None:
            return
        with suppress(OSError):
            if os.path.samestat(os.fstat(self._file), os.lstat(self._path)):
                return
        raise LockedError(_("the lock was lost: {path} was removed").format(path=self._path))

    def release(self) -> None:
        """Give the lock back, if we have it; the file stays, empty."""
        if self._file is not None:
            file, self._file = self._file, None
            _write(file, {})
            os.close(file)

    def _written(self, file: int) -> Owner:
        """Return who is named in the file; where nobody is, or somebody who is no more, whom the kernel names."""
        try:
            text = files.read(self._path, _MOST_BYTES).decode("utf-8", errors="replace")
        except OSError:  # gone between two looks, or no longer ours
            text = ""
        owner = read_owner(text)
        if owner is not None and (owner.host != socket.gethostname() or owner.lives_here()):
            return owner
        return holder_of(file) or UNKNOWN

    def _open(self) -> int:
        """Open the lock file, made for the group of its directory: all of them change the same system."""
        try:
            lock_directory.make(self._path.parent)
            lock_directory.require_safe(self._path.parent)
            file = _opened(self._path, os.O_RDWR | os.O_CREAT)
        except OSError as error:
            raise self._refused(reason_of(error)) from error
        seen = os.fstat(file)
        if seen.st_uid == os.geteuid():
            os.fchmod(file, _MODE)
        elif stat.S_IMODE(seen.st_mode) & stat.S_IRWXO:
            os.close(file)
            raise self._refused(_("others may open it: chmod {mode:o}").format(mode=_MODE))
        return file

    def _refused(self, reason: str) -> RefusedError:
        text = _("The lock {path} cannot be opened: {reason}; nothing was changed")
        return RefusedError(text.format(path=self._path, reason=reason), hint="[safety] lock_directory")


def _opened(path: Path, flags: int) -> int:
    """Open a lock file. Raises OSError, also for what others of the group may have put in its place."""
    file = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC, _MODE)
    seen = os.fstat(file)
    if stat.S_ISREG(seen.st_mode) and seen.st_nlink <= 1:
        return file
    os.close(file)
    # It would be opened to the group, and emptied.
    raise OSError(errno.EPERM, _("it is not a regular file of its own: a pipe, or a link to another one"))


def _is_locked(file: int) -> bool:
    """Lock an open file, and return whether that was possible."""
    ends_at = time.monotonic() + _TRY_SECONDS
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= ends_at:
                return False
            time.sleep(0.05)
        else:
            return True


def _write(file: int, values: dict[str, Any]) -> None:
    os.ftruncate(file, 0)
    if values:
        os.pwrite(file, json.dumps(values).encode("ascii"), 0)


class DatabaseLock:
    """The advisory lock of a site in the PostgreSQL that several machines share."""

    def __init__(self, engine: Engine, site: str) -> None:
        self._engine = engine
        self._site = site
        self._key = int.from_bytes(_digest(site)[:8], "big", signed=True)
        self._connection: Connection | None = None

    def take(self) -> None:
        from sqlalchemy.exc import SQLAlchemyError

        try:
            connection = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
            self._connection = connection
            _refuse_pool(connection)
            connection.execute(_sql("lock_session"))
            is_ours = connection.execute(_sql("lock_take"), {"key": self._key}).scalar()
            if not is_ours:
                raise locked(self.holder() or UNKNOWN)
            self._write(connection)
        except SQLAlchemyError as error:
            words = str(getattr(error, "orig", None) or type(error).__name__).strip().splitlines()
            raise RefusedError(
                _("The shared lock cannot be taken: {reason}; nothing was changed").format(reason=words[0])
            ) from error

    def holder(self) -> Owner | None:
        """Return who holds the lock; an owner who has not yet written his name is only a backend."""
        from sqlalchemy import inspect, select
        from sqlalchemy.exc import SQLAlchemyError

        table = _owners()
        try:
            with self._engine.connect() as connection:
                backend = connection.execute(_sql("lock_holder"), {"key": self._key}).scalar()
                if backend is None:
                    return None
                known = select(table).where(table.c.site == self._site, table.c.backend == backend)
                row = connection.execute(known).first() if inspect(connection).has_table(table.name) else None
                return (read_owner(row.owner) if row else None) or Owner("?", "?", int(backend), "", "?")
        except SQLAlchemyError:
            return None  # the journal itself, read next, says why

    def check(self) -> None:
        """Raise LockedError when the lock was lost, as when its database was restarted."""
        if self._connection is None:
            return
        from sqlalchemy.exc import SQLAlchemyError

        try:
            is_held = self._connection.execute(_sql("lock_held"), {"key": self._key}).scalar()
        except SQLAlchemyError as error:
            raise LockedError(_("the lock was lost: the history's database closed the connection")) from error
        if not is_held:
            raise LockedError(_("the lock was lost: the history's database no longer knows it"))

    def release(self) -> None:
        if self._connection is not None:
            connection, self._connection = self._connection, None
            connection.invalidate()  # closes the session, and with it the lock, whatever state it is in
            connection.close()

    def _write(self, connection: Connection) -> None:
        table = _owners()
        table.metadata.create_all(connection)
        backend = connection.execute(_sql("lock_backend")).scalar()
        connection.execute(table.delete().where(table.c.site == self._site))
        owner = json.dumps(asdict(this_process_now()))
        connection.execute(table.insert(), {"site": self._site, "backend": backend, "owner": owner})


def _refuse_pool(connection: Connection) -> None:
    """Raise RefusedError when a pool stands between: it gives clients numbers that are not the server's own."""
    driver: Any = connection.connection.dbapi_connection
    if driver.info.backend_pid != connection.execute(_sql("lock_backend")).scalar():
        raise RefusedError(
            _("The history is reached through a pool, which keeps no lock; nothing was changed"),
            hint=_("[history] url must lead to PostgreSQL itself"),
        )


def _sql(name: str) -> Any:
    from sqlalchemy import text

    return text(resources.sql(f"history/{name}").replace("::", "\\:\\:"))


def _owners() -> Table:
    from sqlalchemy import BigInteger, Column, MetaData, String, Table, Text

    return Table(
        "samaops_lock_owner",
        MetaData(),
        Column("site", String(200), primary_key=True),
        Column("backend", BigInteger, nullable=False),
        Column("owner", Text, nullable=False),
    )
