"""One change at a time per system: a lock that names who holds it and is released when its owner dies.

On one machine it is ``flock`` on a file named after the site, in ``[safety] lock_directory`` (by default
``/run/lock``, for all users): the kernel releases it with the process, however that ends. Where the journal is in
PostgreSQL, its advisory lock is held besides, for all machines that share it: the server releases it when the
connection ends, and within about half a minute when the owner's machine is gone without a word.

Limits. With a journal of its own in SQLite, a control machine knows nothing of the others. A site is told by its name
(``site``): two configurations of one site that spell it differently do not exclude each other. The lock keeps out
samaops, not a person at the keyboard; against that, each step reads its facts again. Between ``check`` and the end of
the step that follows, a lock that is lost is not noticed. A pool keeps no session lock: it is refused.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import time
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from samaops import resources
from samaops.errors import LockedError, RefusedError
from samaops.i18n import _
from samaops.owner import Owner, this_process

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine, Table

# A look at who holds the lock takes it for a moment: whoever wants it tries a little longer than that.
_TRY_SECONDS = 0.5
_SHARED_DIRECTORY = Path("/run/lock")


def directory(configured: Path | None) -> Path:
    """Return where the lock files of this machine are: shared by its users where that is possible."""
    if configured is not None:
        return configured
    if _SHARED_DIRECTORY.is_dir():
        return _SHARED_DIRECTORY
    state = os.environ.get("XDG_STATE_HOME") or Path("~/.local/state").expanduser()
    return Path(state) / "samaops"


class ChangeLock:
    """The lock of one site; ``engine`` leads to the shared PostgreSQL, if there is one."""

    def __init__(self, place: Path, site: str, engine: Engine | None = None) -> None:
        slug = re.sub(r"[^A-Za-z0-9_.-]", "_", site)[:60]
        digest = hashlib.sha256(f"samaops:{site}".encode()).digest()
        self._path = place / f"samaops-{slug}-{digest.hex()[:6]}.lock"
        self._key = int.from_bytes(digest[:8], "big", signed=True)
        self._site = site
        self._engine = engine
        self._file: int | None = None
        self._connection: Connection | None = None

    def __enter__(self) -> ChangeLock:
        self.acquire()
        return self

    def __exit__(self, *_error: object) -> None:
        self.release()

    def acquire(self) -> None:
        """Take the lock. Raises LockedError, naming its owner, when somebody else has it."""
        owner = this_process(datetime.now(timezone.utc).isoformat(timespec="seconds"))
        self._file = self._open_and_lock()
        if self._file is None:
            raise locked(self._owner_in_file())
        try:
            _write(self._file, asdict(owner))
            if self._engine is not None:
                self._take_shared(self._engine, owner)
        except BaseException:
            self.release()
            raise

    def release(self) -> None:
        """Give the lock back."""
        if self._connection is not None:
            connection, self._connection = self._connection, None
            connection.invalidate()  # closes the session, and with it the lock, whatever state it is in
            connection.close()
        if self._file is not None:
            file, self._file = self._file, None
            _write(file, {})
            os.close(file)

    def check(self) -> None:
        """Raise LockedError when the shared lock was lost, as when its database was restarted."""
        if self._connection is None:
            return
        from sqlalchemy.exc import SQLAlchemyError

        try:
            is_held = self._connection.execute(_sql("lock_held"), {"key": self._key}).scalar()
        except SQLAlchemyError as error:
            raise LockedError(_("the lock was lost: the history's database closed the connection")) from error
        if not is_held:
            raise LockedError(_("the lock was lost: the history's database no longer knows it"))

    def holder(self) -> Owner | None:
        """Return who holds the lock now, None when nobody does. Takes nothing that lasts."""
        if self._is_locked_here():
            return self._owner_in_file()
        return self._shared_holder(self._engine) if self._engine is not None else None

    def _open(self) -> int:
        """Open the lock file, made for every user of the machine: all of them change the same system."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            try:
                return os.open(self._path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
            except FileNotFoundError:
                file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
                if os.fstat(file).st_uid == os.getuid():
                    os.fchmod(file, 0o666)
                return file
        except OSError as error:
            text = _("The lock {path} cannot be opened: {reason}; nothing was changed")
            raise RefusedError(
                text.format(path=self._path, reason=error.strerror), hint="[safety] lock_directory"
            ) from error

    def _open_and_lock(self) -> int | None:
        file = self._open()
        ends_at = time.monotonic() + _TRY_SECONDS
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= ends_at:
                    os.close(file)
                    return None
                time.sleep(0.05)
            else:
                return file

    def _is_locked_here(self) -> bool:
        try:
            file = os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except (
            OSError
        ):  # nobody has ever taken it, or nobody whose lock we may see: then we cannot take it either
            return False
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(file)
        return False

    def _owner_in_file(self) -> Owner | None:
        try:
            return _owner(self._path.read_text(encoding="utf-8", errors="replace")[:4000])
        except OSError:  # gone between two looks
            return None

    def _take_shared(self, engine: Engine, owner: Owner) -> None:
        from sqlalchemy.exc import SQLAlchemyError

        try:
            connection = engine.connect().execution_options(isolation_level="AUTOCOMMIT")
            self._connection = connection
            _refuse_pool(connection)
            connection.execute(_sql("lock_session"))
            is_ours = connection.execute(_sql("lock_take"), {"key": self._key}).scalar()
            if not is_ours:
                raise locked(self._shared_holder(engine))
            self._write_shared(connection, owner)
        except SQLAlchemyError as error:
            words = str(getattr(error, "orig", None) or type(error).__name__).strip().splitlines()
            raise RefusedError(
                _("The shared lock cannot be taken: {reason}; nothing was changed").format(reason=words[0])
            ) from error

    def _write_shared(self, connection: Connection, owner: Owner) -> None:
        table = _owners()
        table.metadata.create_all(connection)
        backend = connection.execute(_sql("lock_backend")).scalar()
        connection.execute(table.delete().where(table.c.site == self._site))
        values = {"site": self._site, "backend": backend, "owner": json.dumps(asdict(owner))}
        connection.execute(table.insert(), values)

    def _shared_holder(self, engine: Engine) -> Owner | None:
        """Return who holds the advisory lock; an owner who has not yet written his name is only a backend."""
        from sqlalchemy import inspect, select
        from sqlalchemy.exc import SQLAlchemyError

        table = _owners()
        try:
            with engine.connect() as connection:
                backend = connection.execute(_sql("lock_holder"), {"key": self._key}).scalar()
                if backend is None:
                    return None
                known = select(table).where(table.c.site == self._site, table.c.backend == backend)
                row = connection.execute(known).first() if inspect(connection).has_table(table.name) else None
                return (_owner(row.owner) if row else None) or Owner("?", "?", int(backend), "", "?")
        except SQLAlchemyError:
            return None  # the journal itself, read next, says why


def _refuse_pool(connection: Connection) -> None:
    """Raise RefusedError when a pool stands between: it gives clients numbers that are not the server's own."""
    driver: Any = connection.connection.dbapi_connection
    if driver.info.backend_pid != connection.execute(_sql("lock_backend")).scalar():
        raise RefusedError(
            _("The history is reached through a pool, which keeps no lock; nothing was changed"),
            hint=_("[history] url must lead to PostgreSQL itself"),
        )


def locked(owner: Owner | None) -> LockedError:
    """Return the error that names who holds the lock."""
    if owner is None:
        return LockedError(_("Another change is being made on this system"))
    text = _("Another change is being made on this system by {user} on {host}, process {pid}, since {since}")
    return LockedError(
        text.format(user=owner.user, host=owner.host, pid=owner.pid, since=owner.since),
        hint="samaops history list",
    )


def _owner(text: str) -> Owner | None:
    try:
        found: dict[str, Any] = json.loads(text or "{}")
        return Owner(**found) if found else None
    except (ValueError, TypeError):
        return None


def _write(file: int, values: dict[str, Any]) -> None:
    os.ftruncate(file, 0)
    if values:
        os.pwrite(file, json.dumps(values).encode("ascii"), 0)


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
