"""What all looks at the pool share: one connection to the console, columns that a version may lack, times of its clock."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from samaops.clients.pgbouncer import ConsoleClient
from samaops.errors import UsageError
from samaops.i18n import _
from samaops.site.site import Site
from samaops.workflows.lists import opened

Row = dict[str, Any]
LOOK_SECONDS = 10.0
# Its own database, in which administrators are.
CONSOLE = "pgbouncer"


@contextmanager
def connected(site: Site, seconds: float = LOOK_SECONDS) -> Iterator[ConsoleClient]:
    """Yield the console. Raises UsageError without a pool, UnavailableError where it fails."""
    settings = site.settings.pgbouncer
    if settings is None:
        raise UsageError(_("[pgbouncer] is not configured"), hint="samaops config show")
    client = ConsoleClient(site.host_of(settings), settings, seconds)
    with opened(client, _("Could not look at the console of PgBouncer: {reason}"), "pgbouncer"):
        yield client


def sentence(text: str) -> str:
    """Return an answer that is put together of parts as a sentence begins."""
    return text[:1].upper() + text[1:]


def of_databases(rows: Iterable[Row], database: str = "") -> list[Row]:
    """Return the rows of one database, or of all but the console itself."""
    return [
        row for row in rows if row["database"] == database or (not database and row["database"] != CONSOLE)
    ]


def whole(row: Row, *names: str) -> int | None:
    """Return the sum of those of these columns that the version has; None where it has none of them."""
    values = [row[name] for name in names if row.get(name) is not None]
    return sum(int(value) for value in values) if values else None


def seconds(row: Row, name: str) -> float | None:
    """Return a time that stands in two columns, seconds and the rest in microseconds; None where it is absent."""
    if row.get(name) is None:
        return None
    return round(int(row[name]) + int(row.get(f"{name}_us") or 0) / 1e6, 3)


def moment(text: str | None) -> datetime | None:
    """Return a time as the console writes it, by the clock of its server; the zone behind it is that of all its times."""
    try:
        return datetime.strptime((text or "")[:19], "%Y-%m-%d %H:%M:%S")  # noqa: DTZ007 - compared with its like
    except ValueError:
        return None


def since(text: str | None, now: datetime | None) -> float | None:
    """Return the seconds since then; None where one of the two is not known."""
    then = moment(text)
    return None if then is None or now is None else max(0.0, (now - then).total_seconds())


def now_of(clients: Iterable[Row]) -> datetime | None:
    """Return what the clock of PgBouncer's server shows: our own SHOW is the newest request of all."""
    moments = (moment(row.get("request_time")) for row in clients)
    return max((each for each in moments if each is not None), default=None)


def paused(databases: Iterable[Row], state: Iterable[Row] = ()) -> list[str]:
    """Return the databases that are paused, all of them where the whole is (which 1.19 and newer tell)."""
    rows = [row for row in databases if row["name"] != CONSOLE]
    is_held = any(row["key"] in ("paused", "suspended") and row["value"] == "yes" for row in state)
    return [str(row["name"]) for row in rows if is_held or whole(row, "paused")]


def disabled(databases: Iterable[Row]) -> list[str]:
    """Return the databases that refuse new clients."""
    return [str(row["name"]) for row in databases if row["name"] != CONSOLE and whole(row, "disabled")]


def state_of(client: ConsoleClient) -> list[Row]:
    """Return whether all is paused; nothing of a version that does not tell."""
    numbers = [int(part) for part in client.version().split(".")[:2] if part.isdigit()]
    return client.show("state") if numbers >= [1, 19] else []
