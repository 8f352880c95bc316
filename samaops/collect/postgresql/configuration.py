"""How a PostgreSQL server and its database are set up, in one query."""

from __future__ import annotations

from collections.abc import Iterator

from samaops.clients.postgresql import PostgresClient
from samaops.collect.values import Answer, lacking
from samaops.facts.portrait import Row, Things, Trait, gather
from samaops.journal import digests

KINDS = (
    "setting", "role", "database", "schema", "extension", "table", "index", "constraint", "trigger",
)  # fmt: skip


def read_configuration(client: PostgresClient) -> Things:
    """Return settings, roles, databases, tables and what belongs to them. Raises ClientError."""
    return gather(KINDS, _rows(client))


def _rows(client: PostgresClient) -> Iterator[Row]:
    for row in map(Answer, client.read("configuration")):
        kind, name, attribute, value = (row[column] for column in ("kind", "name", "attribute", "value"))
        if None in (kind, name, attribute):
            raise lacking("kind", "name", "attribute", stage="configuration")
        if value is None:  # nothing was granted, or there is no limit
            continue
        setting = name if kind == "setting" else attribute.removeprefix("setting ").partition(" in ")[0]
        is_setting = kind == "setting" or attribute.startswith("setting ")
        # A setting with a dot may be anybody's own.
        kept = (
            digests.of(value)
            if is_setting and "." in setting
            else digests.unless_harmless(setting if is_setting else "", value)
        )
        yield kind, name, attribute, Trait(kept, row["at"])
