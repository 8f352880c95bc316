"""What all looks at the database share: one read-only connection, whole or refused in a sentence, and a list of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from samaops.clients.errors import ClientError
from samaops.clients.postgresql import PostgresClient
from samaops.collect import statements
from samaops.errors import UnavailableError, UsageError
from samaops.i18n import _
from samaops.model.table import Column, Table
from samaops.site import redaction
from samaops.site.site import Site

Row = dict[str, Any]
# For all of a look; the server ends a statement before.
LOOK_SECONDS = 10.0
# What the server shows in place of other users' statements.
HIDDEN = "<insufficient privilege>"


class _Client(Protocol):
    def connect(self) -> None: ...

    def close(self) -> None: ...


@contextmanager
def connected(site: Site, seconds: float = LOOK_SECONDS) -> Iterator[PostgresClient]:
    """Yield a connection that cannot write. Raises UsageError without a database, UnavailableError where it fails."""
    settings = site.settings.postgresql
    if settings is None:
        raise UsageError(_("[postgresql] is not configured"), hint="samaops config show")
    client = PostgresClient(site.host_of(settings), settings, seconds)
    with opened(client, _("Could not look at the database: {reason}"), "postgresql"):
        yield client


@contextmanager
def opened(client: _Client, failure: str, system: str) -> Iterator[None]:
    """Hold a connection open. Raises UnavailableError, ``failure`` with its ``{reason}``, where anything on it fails."""
    try:
        client.connect()
        yield
    except ClientError as error:
        hint = f"samaops diagnose --only {system}"
        raise UnavailableError(failure.format(reason=error.message), hint) from error
    finally:
        client.close()


def table(
    site: Site,
    kind: str,
    columns: Sequence[Column],
    rows: Sequence[Mapping[str, Any]],
    answer: str,
    notes: Sequence[str] = (),
    *,
    is_whole: bool = True,
) -> Table:
    """Return a list without the secrets that are configured. The answer stands above it, also when it is empty."""
    shown: tuple[Mapping[str, Any], ...] = tuple(redaction.redacted(list(rows), site))
    return Table(kind, tuple(columns), shown, answer, tuple(notes), answer, is_whole)


def statement(text: str | None) -> str:
    """Return a statement as it is shown: without the literals of its clients, on one line."""
    return " ".join(statements.shown(text).split())


def who(session: Row) -> str:
    """Return whose a session is, as far as it says so: user, application, address."""
    return "/".join(str(session[key]) for key in ("user", "application", "client") if session[key])


def shown_of(count: int, limit: int) -> list[str]:
    """Return the note that a list was cut, if it was."""
    text = _("{shown} of {count} are shown; more with --limit {count}")
    return [text.format(shown=limit, count=count)] if count > limit else []


def missing_monitor(role: str) -> str:
    """Return the note that other users' sessions are hidden from us."""
    return _("the server hides the other sessions from {role}; it needs the role pg_monitor").format(
        role=role
    )
