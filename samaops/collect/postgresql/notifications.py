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


def read_due(client: PostgresClient, settings: PostgreSQL) -> DueNotifications:
    """Read the configured table. Raises ClientError when our role may not."""
    table = settings.notifications_table
    columns = {
        "due": settings.notifications_due_column,
        "published": settings.notifications_published_column,
    }
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
    due = as_read(client.read_of_table("notifications_due", {"table": table, **columns}), _Due)
    return DueNotifications(table, True, True, due.due, due.oldest_seconds, due.published_seconds)
