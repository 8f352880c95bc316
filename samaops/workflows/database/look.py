"""What all looks at the database share: one read-only connection, whole or refused in a sentence, and a list of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import reduce
from typing import Any

from samaops.clients.errors import ClientError
from samaops.clients.postgresql import PostgresClient
from samaops.collect import statements
from samaops.errors import UnavailableError, UsageError
from samaops.i18n import _
from samaops.model.table import Column, Table
from samaops.site import chosen, redaction
from samaops.site.commands import samaops
from samaops.site.site import Site

Row = dict[str, Any]
# For all of a look; the server ends a statement before.
LOOK_SECONDS = 10.0
# What the server shows in place of other users' statements.
HIDDEN = "<insufficient privilege>"


@contextmanager
def connected(site: Site, seconds: float = LOOK_SECONDS) -> Iterator[PostgresClient]:
    """Yield a connection that cannot write. Raises UsageError without a database, UnavailableError where it fails."""
    settings = site.settings.postgresql
    if settings is None:
        raise UsageError(_("[postgresql] is not configured"), hint="samaops config show")
    client = PostgresClient(site.host_of(settings), settings, seconds)
    try:
        client.connect()
        yield client
    except ClientError as error:
        text = _("Could not look at the database: {reason}")
        raise UnavailableError(
            text.format(reason=error.message), "samaops diagnose --only postgresql"
        ) from error
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


def command(site: Site, words: str) -> str:
    """Return a command of samaops for this site, as it is typed here."""
    return chosen.same(samaops(site, words))


def shown_of(count: int, limit: int) -> list[str]:
    """Return the note that a list was cut, if it was."""
    text = _("{shown} of {count} are shown; more with --limit {count}")
    return [text.format(shown=limit, count=count)] if count > limit else []


def joined(parts: Iterable[str]) -> str:
    """Return sentences as one."""
    return reduce(lambda text, more: _("{text}; {more}").format(text=text, more=more), parts)


def missing_monitor(role: str) -> str:
    """Return the note that other users' sessions are hidden from us."""
    return _("the server hides the other sessions from {role}; it needs the role pg_monitor").format(
        role=role
    )
