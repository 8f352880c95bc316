"""One SQL statement as the operation of a step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct, to_builtins

from samaops.model.plan import Operation, Scalar

STATEMENT = "postgresql.statement"
# No short wait for a lock where it costs nothing to wait; whoever stands behind us waits as long.
LOCK_TIMEOUT_MS = 1000


class Statement(Struct, frozen=True):
    """A file of ``sql/postgresql``, the names it has as ``{key}`` and the values it has as ``%(key)s``.

    It is run as ``role`` where that is another than our own. A row with the column ``is_done`` says whether it did what it was to do. A warning of the server is a failure: it
    skips what it may not do with one, and no error.
    """

    file: str
    names: Mapping[str, str] = {}
    values: Mapping[str, Scalar] = {}
    application: str = "samaops"
    lock_timeout_ms: int = LOCK_TIMEOUT_MS
    role: str = ""


def statement(of: Statement, server: str, timeout_seconds: float = 30.0) -> Operation:
    """Return the operation that runs a statement on the database of this server."""
    arguments: Mapping[str, Any] = to_builtins(of)
    return Operation(STATEMENT, arguments, server, timeout_seconds)
