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
import shlex
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from msgspec.structs import asdict

from samaops import resources
from samaops.config import files, in_clear, masking, places
from samaops.config.settings import Settings
from samaops.errors import ConfigurationError, RefusedError, SamaopsError, UnavailableError, reason_of
from samaops.i18n import N_, _
from samaops.journal import seal
from samaops.journal.owner import Owner, holder_of, this_process
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
_CONNECT_SECONDS = 5
# Of a shared history, the longest that any statement may take there.
_STATEMENT_SECONDS = 30.0
# Who only reads waits less for another one's lock; after a first wait in vain hardly at all, for some time: what reads the
# history in ten places would wait ten times.
_READ_SECONDS, _AGAIN_SECONDS, _LOCKED_FOR_SECONDS = 3.0, 0.1, 20.0
_LOCKED = ("database is locked", "database table is locked")
_LOCK_NOT_AVAILABLE = "55P03"
# How long a connection that is opened now waits for a lock, in seconds.
_patience: ContextVar[float] = ContextVar("patience", default=_CONNECT_SECONDS)
# When a reader found a history locked, by its URL.
_locked_at: dict[str, float] = {}
# With room for every zone at both ends.
_FIRST_YEAR, _LAST_YEAR = 1971, 9998
_READ_AT_ONCE = 100
# The largest plan that was ever kept has some 100 kB.
_LIMIT_LENGTH = 0  # SQLite's name for it is in sqlite3 from Python 3.11 on
_LARGEST_VALUE_BYTES = 32 * 1024 * 1024
_KEEP_CLEAR = N_("add ?sslmode=verify-full to history.url, or ?require_auth=password where it is meant to be")
# What SQLite says of a file that it cannot read; Python 3.10 does not tell its codes.
_DAMAGED = ("file is not a database", "database disk image is malformed")
logger = logging.getLogger(__name__)


class HistoryError(SamaopsError):
    """The journal can no longer be written while a change is under way."""

    exit_code = 2


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
            self._engine = _engine(self._url)
        return self._engine

    def prepare(self) -> None:
        """Make the journal if there is none, and prove that it can be written. Raises RefusedError."""
        try:
            self._private_file()
            with self._failures():
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
        with failures():
            for table in tables:
                table.metadata.create_all(self.engine())

    def begin(self, plan: Mapping[str, Any]) -> str:
        """Write that a change begins and return its id."""
        moment = datetime.now(timezone.utc)
        change = f"{moment:%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
        details = self._redact({"plan": plan, "owner": asdict(this_process(_text(moment)))})
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
            "at": _text(datetime.now(timezone.utc)), "site": self._site, "change": change, "kind": kind,
            "step": step, "details": json.dumps(self._redact(details), ensure_ascii=False),
        }  # fmt: skip
        with self._failures(), self.engine().begin() as connection:
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
            with self._failures(), self._waiting_less(), self.engine().connect() as connection:
                _require_known(connection)
                return connection.execute(query).all() if inspect(connection).has_table(table) else ()
        except FileNotFoundError:
            return ()
        except OSError as error:  # what cannot be looked at is not empty
            raise UnavailableError(f"{self._file()}: {reason_of(error)}", hint="samaops doctor") from error
        except HistoryError as error:
            raise UnavailableError(str(error), hint=error.hint or "samaops config show") from error

    @contextmanager
    def _waiting_less(self) -> Iterator[None]:
        """Let a reader not wait for a lock as long as a writer does, who has more to lose."""
        since = time.monotonic() - _locked_at.get(self._url, -_LOCKED_FOR_SECONDS)
        token = _patience.set(_READ_SECONDS if since >= _LOCKED_FOR_SECONDS else _AGAIN_SECONDS)
        try:
            yield
        finally:
            _patience.reset(token)

    def _note_locked(self) -> None:
        now = time.monotonic()
        if now - _locked_at.get(self._url, -_LOCKED_FOR_SECONDS) >= _LOCKED_FOR_SECONDS:
            _locked_at[self._url] = now

    @contextmanager
    def _failures(self) -> Iterator[None]:
        """Turn the database's errors into HistoryError; that of a file names it, and says what to do with a damaged one."""
        from sqlalchemy.exc import DBAPIError

        try:
            with failures():
                yield
        except HistoryError as error:
            cause = error.__cause__
            if getattr(getattr(cause, "orig", None), "sqlstate", "") == _LOCK_NOT_AVAILABLE:
                self._note_locked()
            if not self._url.startswith("sqlite") or isinstance(
                cause, OSError
            ):  # that names the file already
                raise
            file = self._file()
            words = str(cause.orig) if isinstance(cause, DBAPIError) else type(cause).__name__
            if words.startswith(_LOCKED):
                self._note_locked()
                raise _locked(file) from error
            hint = shlex.join(("mv", str(file), f"{file}.damaged")) if words in _DAMAGED else ""
            raise HistoryError(
                _("the history says: {words}").format(words=f"{file}: {words}"), hint
            ) from error

    def _file(self) -> Path:
        from sqlalchemy.engine import make_url

        return Path(make_url(self._url).database or "")

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


def _locked(file: Path) -> HistoryError:
    """Return that another process keeps the history locked, and who, where that is known."""
    text = _("the history {file} is locked by another process")
    hint = shlex.join(("fuser", "-v", str(file)))
    with suppress(OSError):
        # Who closes a file that he has opened in any other way gives up the locks that his process has on it.
        opened = os.open(file, os.O_PATH)
        try:
            holder = holder_of(opened, "POSIX")
        finally:
            os.close(opened)
        if holder is not None:
            text = _("the history {file} is locked by the process {pid} of {user}")
            hint = f"ps -fp {holder.pid}"
            return HistoryError(text.format(file=file, pid=holder.pid, user=holder.user), hint)
    return HistoryError(text.format(file=file), hint)


def _text(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds")


def _event(row: Any) -> Event:
    """Return a line of the journal; of one that others have spoiled there are no details, and its change is unreadable."""
    step = row.step if isinstance(row.step, int) else None
    try:
        details = keyed(json.loads(row.details))
    except (TypeError, ValueError, RecursionError) as error:
        logger.warning("line %s of the history cannot be read: %s", row.number, error)
        details = {}
    return Event(row.number, str(row.at), row.change, str(row.kind), step, details)


def _engine(url: str) -> Engine:
    from sqlalchemy import create_engine, event
    from sqlalchemy.pool import NullPool

    if url.startswith("postgresql"):
        options = {"connect_timeout": _CONNECT_SECONDS, **_accepted_logins(url)}
        shared = create_engine(url, connect_args=options, poolclass=NullPool)

        @event.listens_for(shared, "connect")
        def _bounded(connection: Any, _record: object) -> None:
            connection.autocommit = True
            for name, seconds in (
                ("statement_timeout", _STATEMENT_SECONDS),
                ("lock_timeout", _patience.get()),
            ):
                connection.execute(f"SET {name} = {round(seconds * 1000)}")
            connection.autocommit = False

        return shared
    engine = create_engine(url, poolclass=NullPool)

    @event.listens_for(engine, "connect")
    def _durable(connection: Any, _record: object) -> None:
        if hasattr(connection, "setlimit"):  # from Python 3.11 on
            connection.setlimit(_LIMIT_LENGTH, _LARGEST_VALUE_BYTES)
        connection.execute(f"PRAGMA busy_timeout = {round(_patience.get() * 1000)}")
        connection.execute("PRAGMA synchronous = FULL")

    return engine


def _accepted_logins(text: str) -> dict[str, str]:
    """Return what keeps the password itself from whoever answers in the place of the history's server.

    As ``clients.libpq.accepted_logins``; where it is meant to have it, the URL says ``require_auth``.
    """
    from psycopg import pq
    from sqlalchemy.engine import make_url

    url = make_url(text)
    places = [url.host or "", *(str(url.query.get(key, "")) for key in ("host", "hostaddr"))]
    is_here = all(not place or place[0] in "/@" or in_clear.is_loopback(place) for place in places)
    if is_here or "require_auth" in url.query or in_clear.HAS_TLS_IN_URL.search(text):
        return {}
    if pq.version() < in_clear.FIRST_LIBPQ:
        words = _("libpq {version} would send the password in clear to whoever asks for it")
        raise HistoryError(": ".join((words.format(version=pq.version() // 10000), _(_KEEP_CLEAR))))
    return {"require_auth": "!password"}


def _table() -> Table:
    from sqlalchemy import BigInteger, Column, Integer, MetaData, String, Table, Text

    number = BigInteger().with_variant(Integer(), "sqlite")  # SQLite counts only what it calls INTEGER
    return Table(
        TABLE,
        MetaData(),
        Column("number", number, primary_key=True, autoincrement=True),
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


def require_moments(*moments: datetime | None) -> None:
    """Raise ValueError for a moment that no zone's calendar has, or that says no zone."""
    for moment in moments:
        if moment is not None and (moment.tzinfo is None or not _FIRST_YEAR <= moment.year <= _LAST_YEAR):
            raise ValueError(str(moment))


@contextmanager
def readable(what: object = "") -> Iterator[None]:
    """Turn what is not as samaops has written it into HistoryError; ``what`` is the number of the row, where it has one."""
    try:
        yield
    except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError) as error:
        reason = f"{type(error).__name__}: {str(error)[:200]}"
        if what != "":
            reason = _("row {number}: {reason}").format(number=str(what)[:20], reason=reason)
        raise HistoryError(_("not readable: {reason}").format(reason=reason)) from error


@contextmanager
def failures() -> Iterator[None]:
    """Turn the database's errors into HistoryError, without SQL, parameters or passwords."""
    from sqlalchemy.exc import DBAPIError, SQLAlchemyError

    try:
        yield
    except DBAPIError as error:
        words = str(error.orig).strip().splitlines()
        if in_clear.ASKED.search(str(error.orig)):
            asked = _("the history's PostgreSQL asks for the password in clear, and was not given it")
            raise HistoryError(": ".join((asked, _(_KEEP_CLEAR)))) from error
        raise HistoryError(_("the history says: {words}").format(words=words[0] if words else "")) from error
    except SQLAlchemyError as error:
        raise HistoryError(_("the history says: {words}").format(words=type(error).__name__)) from error
