"""What every list shares: a connection that is opened or refused in a sentence, and the list without secrets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from samaops.clients.errors import ClientError
from samaops.errors import UnavailableError
from samaops.i18n import _
from samaops.model.table import Column, Table
from samaops.site import redaction
from samaops.site.site import Site


class _Client(Protocol):
    def connect(self) -> None: ...

    def close(self) -> None: ...


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


def shown_of(count: int, limit: int) -> list[str]:
    """Return the note that a list was cut, if it was."""
    text = _("{shown} of {count} are shown; more with --limit {count}")
    return [text.format(shown=limit, count=count)] if count > limit else []
