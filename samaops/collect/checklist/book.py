"""What is kept of the items of the checklists. It is read, and never made."""

from __future__ import annotations

from collections.abc import Iterator

from samaops.clients.errors import ClientError
from samaops.collect.engine import Probe
from samaops.collect.registry import Target, collects
from samaops.facts.checklist import BookFacts
from samaops.journal import history
from samaops.journal.checklist import Book
from samaops.journal.database import HistoryError
from samaops.journal.history import Journal
from samaops.model.failure import FailureKind
from samaops.site.site import Site

_SECONDS = 8.0


def here(_site: Site) -> Iterator[Target]:
    """Yield the book."""
    yield Target("book", None, None, _SECONDS)


@collects(
    "checklist",
    BookFacts,
    targets=here,
    feeds=("checklist.book",),
    kind="checklist_book",
    on_request=True,
)
def look(_of: None, site: Site, probe: Probe) -> BookFacts:
    """Read what is kept. Raises ClientError."""
    probe.stage("history")
    journal = Journal(history.database_of(site.settings), site.name)
    try:
        return BookFacts(Book(journal, site.name).entries())
    except HistoryError as error:
        raise ClientError(FailureKind.DEPENDENCY, error.message, "history") from error
    finally:
        journal.close()
