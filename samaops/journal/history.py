"""The journal: what was changed, when, by whom, with which result. Append-only, written before and after each step.

Everything is an event; how a change ended is told by its events, so that a process killed at any moment leaves
the truth: what was begun and not finished. SQLite under the state directory, or a PostgreSQL by URL (directly,
not through a pool in transaction mode). SQLAlchemy is imported when a journal is opened.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from msgspec.structs import asdict

from samaops import resources
from samaops.config import files, masking, places
from samaops.config.settings import Settings
from samaops.errors import ConfigurationError, RefusedError, UnavailableError, reason_of
from samaops.i18n import _
from samaops.journal import columns, database, seal
from samaops.journal.database import HistoryError
from samaops.journal.owner import Owner, this_process
from samaops.model.encoding import decode, keyed

if TYPE_CHECKING:
    from sqlalchemy import Engine, Table

TABLE = "samaops_events"
# Of the format of the history; one that says none is of the first.
VERSION = 1
# Begun, and each step of it; a change without "ended" is running or was interrupted.
BEGUN, STEP_BEGUN, STEP_ENDED, STEP_VERIFIED = "begun", "step_begun", "step_ended", "step_verified"
UNDO_BEGUN, UNDO_ENDED, ENDED, INTERRUPTED = "undo_begun", "undo_ended", "ended", "interrupted"
# How a change ends that did what it was to do: seen to work, or with nothing that could be seen of it.
DONE = ("verified", "applied")
STATUSES = (*DONE, "failed", "reverted", "refused")
# Changes that are read with one statement.
_READ_AT_ONCE = 100
logger = logging.getLogger(__name__)


class Event(Struct, frozen=True):
    """One line of the journal. ``details`` are plain JSON values."""

    number: int
    at: str
    change: str
    kind: str
    step: int | None
    details: Mapping[str, Any]


class Change(Struct, frozen=True):
    """One change as its events tell it, oldest first; the first is that it was begun."""

    id: str
    events: tuple[Event, ...]

    @property
    def plan(self) -> Mapping[str, Any]:
        """The plan that was run, as plain JSON values."""
        plan: Mapping[str, Any] = self.events[0].details["plan"]
        return plan

    @property
    def lock(self) -> str:
        """The lock that it holds, as ``Plan.lock`` has it; that of all changes where the journal does not tell."""
        details = self.events[0].details
        plan = details.get("plan") if isinstance(details, Mapping) else None
        lock = plan.get("lock") if isinstance(plan, Mapping) else None
        return lock if isinstance(lock, str) else ""

    @property
    def owner(self) -> Owner:
        """Who made it. Raises MisfitError where the journal names nobody."""
        return decode(self.events[0].details["owner"], Owner, "owner")

    @property
    def began_at(self) -> str:
        return self.events[0].at

    def last(self, *kinds: str) -> Event | None:
        """Return the last event of some kinds."""
        return next((event for event in reversed(self.events) if event.kind in kinds), None)

    def status(self, running: Owner | None) -> str:
        """Return how it ended: verified, applied, failed, reverted, refused; else running or interrupted.

        ``running`` is who holds the lock now.
        """
        ended = self.last(ENDED)
        if ended is not None:
            return str(ended.details["status"])
        is_running = (
            running is not None and running.is_same_process(self.owner) and not self.last(INTERRUPTED)
        )
        return "running" if is_running else "interrupted"


def database_of(settings: Settings) -> str:
    """Return the URL of the journal, for SQLAlchemy. Raises ConfigurationError when it is none that can be used."""
    if settings.history.url is None:
        return f"sqlite:///{default_file()}"
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        url = make_url(settings.history.url.reveal())
    except ArgumentError:  # its text would hold the URL, and so the password
        raise ConfigurationError(
            _("history.url: not a URL such as postgresql://user@host/database")
        ) from None
    masking.remember(url.password or "")
    if url.drivername in ("postgresql", "postgres", "postgresql+psycopg"):
        return url.set(drivername="postgresql+psycopg").render_as_string(hide_password=False)
    if url.drivername == "sqlite" and url.database:
        return url.render_as_string(hide_password=False)
    raise ConfigurationError(
        _("history.url: {kind} is not supported; use sqlite:///FILE or postgresql://…").format(
            kind=url.drivername
        )
    )


def default_file() -> Path:
    """Return where the journal is without a URL."""
    return places.state() / "history.sqlite3"


class Journal:
    """The journal of one site. ``redact`` takes secrets out of plain values before they are written."""

    def __init__(
        self,
        url: str,
        site: str,
        redact: Callable[[Any], Any] = lambda value: value,
        key: Callable[[], bytes | None] = lambda: None,
    ) -> None:
        self._url = url
        self._site = site
        self._redact = redact
        self._key = key
        self._engine: Engine | None = None

    @property
    def is_shared(self) -> bool:
        """Whether other machines write it too, so that it can hold a lock for all of them."""
        return self._url.startswith("postgresql")

    def engine(self) -> Engine:
        """Return the connection to the journal's database, made when first asked for."""
        if self._engine is None:
            self._require_own_file()
            self._engine = database.engine_of(self._url)
        return self._engine

    def prepare(self) -> None:
        """Make the journal if there is none, and prove that it can be written. Raises RefusedError."""
        try:
            self._private_file()
            with database.failures_of(self._url):
                _create(self.engine())
        except (OSError, HistoryError) as error:
            reason = f"{self._file()}: {reason_of(error)}" if isinstance(error, OSError) else str(error)
            raise RefusedError(
                _("The history cannot be written, so nothing was changed: {reason}").format(reason=reason),
                hint="samaops doctor" if isinstance(error, OSError) else error.hint or "samaops config show",
            ) from error

    def prepare_tables(self, *tables: Table) -> None:
        """Make tables beside the journal, and it, where they are missing. Raises HistoryError."""
        try:
            self.prepare()
        except RefusedError as error:
            raise HistoryError(str(error.__cause__ or error)) from error
        with database.failures():
            for table in tables:
                table.metadata.create_all(self.engine())

    def begin(self, plan: Mapping[str, Any]) -> str:
        """Write that a change begins and return its id."""
        moment = datetime.now(timezone.utc)
        change = f"{moment:%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
        details = self._redact({"plan": plan, "owner": asdict(this_process(columns.text(moment)))})
        key = self._key() if self.is_shared else None
        if key is not None:
            # As they are read again: tuples are lists then.
            details = seal.sealed(json.loads(json.dumps(details)), key, self._site, change)
        self.write(change, BEGUN, None, details)
        return change

    def is_proven(self, change: Change) -> bool:
        """Whether samaops wrote the plan of a change: in a shared history, what others may have put in is not."""
        if not self.is_shared:
            return True
        key = self._key()
        return key is not None and seal.is_sealed(change.events[0].details, key, self._site, change.id)

    def write(self, change: str, kind: str, step: int | None, details: Mapping[str, Any]) -> None:
        """Append one event; it is on disk when this returns. Raises HistoryError."""
        values = {
            "at": columns.text(datetime.now(timezone.utc)), "site": self._site, "change": change, "kind": kind,
            "step": step, "details": json.dumps(self._redact(details), ensure_ascii=False),
        }  # fmt: skip
        with database.failures_of(self._url), self.engine().begin() as connection:
            connection.execute(_table().insert(), values)

    def changes(self, limit: int = 20) -> tuple[Change, ...]:
        """Return the last changes of this site, newest first. Raises UnavailableError."""
        return self._read(self._identifiers()[:limit])

    def newest_first(self) -> Iterator[Change]:
        """Yield the changes of this site; what is not asked for is not read. Raises UnavailableError."""
        identifiers = self._identifiers()
        for start in range(0, len(identifiers), _READ_AT_ONCE):
            yield from self._read(identifiers[start : start + _READ_AT_ONCE])

    def beginning_with(self, prefix: str) -> tuple[str, ...]:
        """Return the ids that begin so, newest first. Raises UnavailableError."""
        return tuple(identifier for identifier in self._identifiers() if identifier.startswith(prefix))

    def _identifiers(self) -> tuple[str, ...]:
        from sqlalchemy import select

        table = _table()
        begun = select(table.c.change).where(table.c.site == self._site, table.c.kind == BEGUN)
        return tuple(row.change for row in self.rows_of(begun.order_by(table.c.number.desc())))

    def change(self, identifier: str) -> Change | None:
        """Return one change, None when there is none of this id."""
        return next(iter(self._read([identifier])), None)

    def unfinished(self) -> tuple[str, ...]:
        """Return the ids of the changes that have neither ended nor been noted as interrupted, newest first."""
        from sqlalchemy import select

        table = _table()
        closed = select(table.c.change).where(table.c.kind.in_((ENDED, INTERRUPTED)))
        open_changes = select(table.c.change).where(
            table.c.site == self._site, table.c.kind == BEGUN, table.c.change.not_in(closed)
        )
        return tuple(row.change for row in self.rows_of(open_changes.order_by(table.c.number.desc())))

    def undone_by(self) -> dict[str, str]:
        """Return for each change that was taken back by a later one, which."""
        from sqlalchemy import select

        table = _table()
        ended = select(table).where(table.c.site == self._site, table.c.kind == ENDED)
        undone = {}
        for event in map(_event, self.rows_of(ended.order_by(table.c.number))):
            if event.details.get("undoes") and event.details.get("status") in DONE:
                undone[str(event.details["undoes"])] = event.change
        return undone

    def _read(self, identifiers: Sequence[str]) -> tuple[Change, ...]:
        from sqlalchemy import select

        table = _table()
        chosen = select(table).where(table.c.site == self._site, table.c.change.in_(identifiers))
        events: dict[str, list[Event]] = {identifier: [] for identifier in identifiers}
        for event in map(_event, self.rows_of(chosen.order_by(table.c.number))):
            events[event.change].append(event)
        return tuple(Change(identifier, tuple(lines)) for identifier, lines in events.items() if lines)

    def rows_of(self, query: Any, table: str = TABLE) -> Sequence[Any]:
        """Run a query of one table; a journal, or a table, that does not exist yet has no rows. Raises UnavailableError."""
        from sqlalchemy import inspect

        try:
            if self._url.startswith("sqlite"):
                self._file().stat()
            with (
                database.failures_of(self._url),
                database.waiting_less(self._url),
                self.engine().connect() as connection,
            ):
                _require_known(connection)
                return connection.execute(query).all() if inspect(connection).has_table(table) else ()
        except FileNotFoundError:
            return ()
        except OSError as error:  # what cannot be looked at is not empty
            raise UnavailableError(f"{self._file()}: {reason_of(error)}", hint="samaops doctor") from error
        except HistoryError as error:
            raise UnavailableError(str(error), hint=error.hint or "samaops config show") from error

    def _file(self) -> Path:
        return database.file_of(self._url)

    def _private_file(self) -> None:
        if self._url.startswith("sqlite"):
            file = self._file()
            file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            # Closed here, a file that is in use would lose the locks that this process has on it.
            if file.is_symlink() or not files.exists(file):
                os.close(files.open_to_append(file, 0o600))
            elif not os.access(file, os.W_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    def _require_own_file(self) -> None:
        """Raise HistoryError where it is no file, which would keep nothing, or where root would undo what others wrote."""
        if not self._url.startswith("sqlite"):
            return
        file = self._file()
        try:
            if files.exists(file):
                files.require_regular(file)
            with suppress(FileNotFoundError):  # it will be made: the directories on the way were looked at
                files.require_trusted(file)
        except OSError as error:
            raise HistoryError(f"{file}: {reason_of(error)}") from error

    def close(self) -> None:
        """Close the connections."""
        if self._engine is not None:
            self._engine.dispose()
            self._engine = None


def _event(row: Any) -> Event:
    """Return a line of the journal; of one that others have spoiled there are no details, and its change is unreadable."""
    step = row.step if isinstance(row.step, int) else None
    try:
        details = keyed(json.loads(row.details))
    except (TypeError, ValueError, RecursionError) as error:
        logger.warning("line %s of the history cannot be read: %s", row.number, error)
        details = {}
    return Event(row.number, str(row.at), row.change, str(row.kind), step, details)


def _table() -> Table:
    from sqlalchemy import Column, Integer, MetaData, String, Table, Text

    return Table(
        TABLE,
        MetaData(),
        columns.number(),
        Column("at", String(40), nullable=False),
        Column("site", String(200), nullable=False, index=True),
        Column("change", String(40), nullable=False, index=True),
        Column("kind", String(20), nullable=False),
        Column("step", Integer),
        Column("details", Text, nullable=False),
        sqlite_autoincrement=True,
    )


def _create(engine: Engine) -> None:
    """Make the table where it is missing; else only prove that it can be written, leaving nothing."""
    from sqlalchemy import inspect, text

    with engine.connect() as connection, connection.begin() as transaction:
        _require_known(connection)
        if inspect(connection).has_table(TABLE):
            _table_probe(connection)
            transaction.rollback()
            return
        _table().metadata.create_all(connection)
        parts = ("update", "delete") if engine.dialect.name == "sqlite" else ("function", "trigger")
        for part in parts:
            statement = resources.sql(f"history/append_only_{engine.dialect.name}_{part}")
            connection.execute(text(statement))
        connection.execute(text(resources.sql(f"history/version_{engine.dialect.name}_say")))


def _require_known(connection: Any) -> None:
    """Raise ConfigurationError for a history that a newer samaops wrote: nothing of it is guessed, nothing added to it."""
    from sqlalchemy import text

    version = connection.execute(text(resources.sql(f"history/version_{connection.dialect.name}"))).scalar()
    if isinstance(version, int) and version > VERSION:
        words = _(
            "the format of the history is version {version}, and this samaops knows {known}: a newer one is needed"
        )
        raise ConfigurationError(words.format(version=version, known=VERSION), hint="samaops --version")


def _table_probe(connection: Any) -> None:
    """Insert a row that is rolled back: a full disk or a missing right is known before anything is changed."""
    row = {"at": "", "site": "", "change": "", "kind": "probe", "step": None, "details": "{}"}
    connection.execute(_table().insert(), row)
