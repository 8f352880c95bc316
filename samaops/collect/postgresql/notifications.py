"""Read which notifications are due and not published: the one trace of a source that has stopped."""

from __future__ import annotations

from msgspec import Struct

from samaops.clients.errors import ClientError
from samaops.clients.postgresql import PostgresClient, quoted
from samaops.collect.values import Answer, as_read, needed
from samaops.config.settings import PostgreSQL
from samaops.facts.postgresql import DueNotifications
from samaops.i18n import _
from samaops.model.failure import FailureKind

# A table of this size is read through in some milliseconds; a larger one only by an index.
SMALL_BYTES = 64 * 1024 * 1024


class _Due(Struct):
    due: int
    oldest_seconds: float | None  # None: nothing is due
    published_seconds: float | None


def read_sent(client: PostgresClient, settings: PostgreSQL) -> tuple[int, int] | None:
    """Return how many notifications were due in the last hour but five minutes, and how many of them are published.

    None where that would read a large table through, or there is none. Raises ClientError when our role may not.
    """
    table, columns = settings.notifications_table, _columns(settings)
    seen = _table(client, settings)
    if not seen.exists or not seen.is_quick:
        return None
    row = Answer(client.read_of_table("notifications_sent", {"table": table, **columns}))
    return needed(row, "due"), needed(row, "sent")


def read_due(client: PostgresClient, settings: PostgreSQL) -> DueNotifications:
    """Read the configured table. Raises ClientError when our role may not."""
    table, columns = settings.notifications_table, _columns(settings)
    seen = _table(client, settings)
    if not seen.exists or not seen.is_quick:
        return seen
    due = as_read(client.read_of_table("notifications_due", {"table": table, **columns}), _Due)
    return DueNotifications(table, True, True, due.due, due.oldest_seconds, due.published_seconds)


def _columns(settings: PostgreSQL) -> dict[str, str]:
    return {
        "due": settings.notifications_due_column,
        "published": settings.notifications_published_column,
    }


def _table(client: PostgresClient, settings: PostgreSQL) -> DueNotifications:
    """Return whether the table is there and quickly read; nothing of it is counted yet."""
    table, columns = settings.notifications_table, _columns(settings)
    if not table:
        return DueNotifications(table, exists=False)
    row = Answer(client.read_one("notifications_table", {"table": quoted(table), **columns}))
    if row["size_bytes"] is None or needed(row, "columns") < len(set(columns.values())):
        return DueNotifications(table, exists=False)
    if not row["is_permitted"]:
        text = _("our role may not read it: GRANT SELECT ({columns}) ON {table} TO {role}")
        words = text.format(columns=", ".join(columns.values()), table=table, role=settings.user)
        raise ClientError(FailureKind.PERMISSION, words)
    if row["size_bytes"] > SMALL_BYTES and not row["has_index"]:
        return DueNotifications(table, exists=True, is_quick=False)
    return DueNotifications(table, exists=True, is_quick=True)
