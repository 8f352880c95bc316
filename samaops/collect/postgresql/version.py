"""Read at which of its migrations the application's database is."""

from __future__ import annotations

from msgspec import Struct

from samaops.clients.errors import ClientError
from samaops.clients.postgresql import PostgresClient, quoted
from samaops.collect.values import Answer, as_read
from samaops.facts.postgresql import SchemaVersion
from samaops.i18n import _
from samaops.model.failure import FailureKind


class _Version(Struct):
    revisions: tuple[str, ...]


def read_version(client: PostgresClient, table: str, role: str) -> SchemaVersion:
    """Read Alembic's table. Raises ClientError when our role may not."""
    row = Answer(client.read_one("version_table", {"table": quoted(table)}))
    if not row["has_table"]:
        return SchemaVersion(table, exists=False)
    if not row["is_permitted"]:
        text = _("our role may not read it: GRANT SELECT ON {table} TO {role}")
        raise ClientError(FailureKind.PERMISSION, text.format(table=table, role=role))
    version = as_read(client.read_of_table("version_revisions", {"table": table}), _Version)
    return SchemaVersion(table, True, version.revisions)
