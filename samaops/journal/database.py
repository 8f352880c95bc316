"""The database of the history: how it is opened, how long it may take, and what its errors mean."""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any

from samaops.config import in_clear
from samaops.errors import SamaopsError
from samaops.i18n import N_, _
from samaops.journal.owner import holder_of

if TYPE_CHECKING:
    from sqlalchemy import Engine

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
# SQLite's own name for its limit of a value's length is in sqlite3 from Python 3.11 on.
_LIMIT_LENGTH = 0
# The largest plan that was ever kept has some 100 kB.
_LARGEST_VALUE_BYTES = 32 * 1024 * 1024
_KEEP_CLEAR = N_("add ?sslmode=verify-full to history.url, or ?require_auth=password where it is meant to be")
# What SQLite says of a file that it cannot read; Python 3.10 does not tell its codes.
_DAMAGED = ("file is not a database", "database disk image is malformed")


class HistoryError(SamaopsError):
    """The journal can no longer be written while a change is under way."""

    exit_code = 2


def engine_of(url: str) -> Engine:
    """Return what connects to a history, each connection with its limits. Raises HistoryError."""
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


def file_of(url: str) -> Path:
    """Return the file of a history in SQLite."""
    from sqlalchemy.engine import make_url

    return Path(make_url(url).database or "")


@contextmanager
def waiting_less(url: str) -> Iterator[None]:
    """Let a reader not wait for a lock as long as a writer does, who has more to lose."""
    since = time.monotonic() - _locked_at.get(url, -_LOCKED_FOR_SECONDS)
    token = _patience.set(_READ_SECONDS if since >= _LOCKED_FOR_SECONDS else _AGAIN_SECONDS)
    try:
        yield
    finally:
        _patience.reset(token)


def _note_locked(url: str) -> None:
    now = time.monotonic()
    if now - _locked_at.get(url, -_LOCKED_FOR_SECONDS) >= _LOCKED_FOR_SECONDS:
        _locked_at[url] = now


@contextmanager
def failures_of(url: str) -> Iterator[None]:
    """Turn the database's errors into HistoryError; that of a file names it, and says what to do with a damaged one."""
    from sqlalchemy.exc import DBAPIError

    try:
        with failures():
            yield
    except HistoryError as error:
        cause = error.__cause__
        if getattr(getattr(cause, "orig", None), "sqlstate", "") == _LOCK_NOT_AVAILABLE:
            _note_locked(url)
        if not url.startswith("sqlite") or isinstance(cause, OSError):  # that names the file already
            raise
        file = file_of(url)
        words = str(cause.orig) if isinstance(cause, DBAPIError) else type(cause).__name__
        if words.startswith(_LOCKED):
            _note_locked(url)
            raise locked(file) from error
        hint = shlex.join(("mv", str(file), f"{file}.damaged")) if words in _DAMAGED else ""
        raise HistoryError(_("the history says: {words}").format(words=f"{file}: {words}"), hint) from error


def locked(file: Path) -> HistoryError:
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
