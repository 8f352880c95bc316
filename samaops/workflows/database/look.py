"""What all looks at the database share: one read-only connection, whole or refused in a sentence, and its words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from samaops.clients.postgresql import PostgresClient
from samaops.collect import statements
from samaops.errors import UsageError
from samaops.i18n import _
from samaops.site.site import Site
from samaops.workflows import lists

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
    with lists.opened(client, _("Could not look at the database: {reason}"), "postgresql"):
        yield client


def statement(text: str | None) -> str:
    """Return a statement as it is shown: without the literals of its clients, on one line."""
    return " ".join(statements.shown(text).split())


def who(session: Row) -> str:
    """Return whose a session is, as far as it says so: user, application, address."""
    return "/".join(str(session[key]) for key in ("user", "application", "client") if session[key])


def missing_monitor(role: str) -> str:
    """Return the note that other users' sessions are hidden from us."""
    return _("the server hides the other sessions from {role}; it needs the role pg_monitor").format(
        role=role
    )
