"""One change at a time per system: a lock that names who holds it and is released when its owner dies.

On one machine it is ``flock`` on a file named after the site, in ``[safety] lock_directory`` (by default
``/run/lock``, for all users): the kernel releases it with the process, however that ends. Where the journal is in
PostgreSQL, its advisory lock is held besides, for all machines that share it: the server releases it when the
connection ends, and within about half a minute when the owner's machine is gone without a word. For all control
machines, whatever their journals, the servers that a change touches are locked besides (``workflows/exclusion.py``).

Limits. A site is told by its name (``site``): two configurations of one site that spell it differently do not exclude
each other. The lock keeps out samaops, not a person at the keyboard; against that, each step reads its facts again.
Between ``check`` and the end of the step that follows, a lock that is lost is not noticed. A pool keeps no session
lock: it is refused.
"""

from __future__ import annotations

import json
import os
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from msgspec.structs import asdict
from sqlalchemy import Connection, Engine, Table

from samaops import resources
from samaops.errors import LockedError, RefusedError
from samaops.i18n import _
from samaops.journal.file_lock import FileLock, digest, file_name
from samaops.journal.owner import Owner, read_owner, this_process

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
        self._local = FileLock(place / file_name(site))
        self._key = int.from_bytes(digest(site)[:8], "big", signed=True)
        self._site = site
        self._engine = engine
        self._connection: Connection | None = None

    def __enter__(self) -> ChangeLock:
        self.acquire()
        return self

    def __exit__(self, *_error: object) -> None:
        self.release()

    def acquire(self) -> None:
        """Take the lock. Raises LockedError, naming its owner, when somebody else has it."""
        ours = this_process_now()
        if not self._local.take(ours):
            raise locked(self._local.written())
        try:
            if self._engine is not None:
                self._take_shared(self._engine, ours)
        except BaseException:
            self.release()
            raise

    def release(self) -> None:
        """Give the lock back."""
        if self._connection is not None:
            connection, self._connection = self._connection, None
            connection.invalidate()  # closes the session, and with it the lock, whatever state it is in
            connection.close()
        self._local.release()

    def check(self) -> None:
        """Raise LockedError when the lock was lost, as when the shared one's database was restarted."""
        self._local.check()
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
        if self._local.is_held():
            return self._local.written()
        return self._shared_holder(self._engine) if self._engine is not None else None

    def _take_shared(self, engine: Engine, ours: Owner) -> None:
        from sqlalchemy.exc import SQLAlchemyError

        try:
            connection = engine.connect().execution_options(isolation_level="AUTOCOMMIT")
            self._connection = connection
            _refuse_pool(connection)
            connection.execute(_sql("lock_session"))
            is_ours = connection.execute(_sql("lock_take"), {"key": self._key}).scalar()
            if not is_ours:
                raise locked(self._shared_holder(engine))
            self._write_shared(connection, ours)
        except SQLAlchemyError as error:
            words = str(getattr(error, "orig", None) or type(error).__name__).strip().splitlines()
            raise RefusedError(
                _("The shared lock cannot be taken: {reason}; nothing was changed").format(reason=words[0])
            ) from error

    def _write_shared(self, connection: Connection, ours: Owner) -> None:
        table = _owners()
        table.metadata.create_all(connection)
        backend = connection.execute(_sql("lock_backend")).scalar()
        connection.execute(table.delete().where(table.c.site == self._site))
        values = {"site": self._site, "backend": backend, "owner": json.dumps(asdict(ours))}
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
                return (read_owner(row.owner) if row else None) or Owner("?", "?", int(backend), "", "?")
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


def this_process_now() -> Owner:
    """Return who we are, as the one who takes a lock now."""
    return this_process(datetime.now(timezone.utc).isoformat(timespec="seconds"))


def locked(holder: Owner | None) -> LockedError:
    """Return the error that names who holds the lock."""
    if holder is None:
        return LockedError(_("Another change is being made on this system"))
    text = _("Another change is being made on this system by {user} on {host}, process {pid}, since {since}")
    return LockedError(
        text.format(user=holder.user, host=holder.host, pid=holder.pid, since=holder.since),
        hint="samaops history list",
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
