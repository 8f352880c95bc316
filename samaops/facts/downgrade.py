"""What must be known of a downgrade of the database: the SQL of the application's migration tool, and what goes by it."""

from __future__ import annotations

from msgspec import Struct


class Loss(Struct, frozen=True):
    """A column that goes, or with "" a whole table, as ``relation`` "schema.name".

    ``rows`` are those of the table now, ``values`` how many of them hold something in the column; None where that could not
    be counted.
    """

    relation: str
    column: str
    rows: int | None
    values: int | None


class DowngradeFacts(Struct, frozen=True):
    """The way from the revision ``came_from`` down to ``to``, and up again, as SQL of the running release's own tool.

    ``asked_at`` is this machine's time in seconds since 1970: the backup that is made afterwards is younger. ``target`` and
    ``image`` are the images of the release that is gone back to and of the running one.
    """

    asked_at: float
    target: str
    image: str
    came_from: str
    to: str
    down: str
    up: str
    losses: tuple[Loss, ...]
