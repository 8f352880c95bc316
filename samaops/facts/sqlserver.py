"""What is observed of each external SQL Server: the rungs from the driver to the query, each timed."""

from __future__ import annotations

from msgspec import Struct


class SqlServerFacts(Struct, frozen=True):
    """How far up one server we came. ``broken_rung`` is "driver", "login", "database", "query", or "" when all held.

    ``error_number`` is SQL Server's own, where it told one. Times in milliseconds, None for rungs that were not
    reached. When name or port break there are no facts but a failure at that stage.
    """

    name: str
    address: str
    driver: str
    installed_drivers: tuple[str, ...]
    name_ms: float
    port_ms: float
    login_ms: float | None
    query_ms: float | None
    broken_rung: str
    failure_kind: str
    words: str
    database: str = ""
    error_number: int | None = None
