"""Write a signature into the book of the checklists, or take it back."""

from __future__ import annotations

from msgspec import convert

from samaops.changes.checklist.sign import SIGN, Signing
from samaops.changes.run.operations import runs
from samaops.clients.errors import ClientError
from samaops.facts.checklist import SIGNED, UNSIGNED, Entry
from samaops.journal import history
from samaops.journal.checklist import Book
from samaops.journal.database import HistoryError
from samaops.journal.history import Journal
from samaops.model.failure import FailureKind
from samaops.model.plan import Operation, Outcome
from samaops.site import shell_words
from samaops.site.site import Site


def _lines(operation: Operation, _site: Site) -> tuple[str, ...]:
    of = convert(operation.arguments, Signing)
    if not of.by:
        return (shell_words.joined(("samaops", "checklist", "unsign", of.checklist, of.item)),)
    words = ("samaops", "checklist", "sign", of.checklist, of.item, "--by", of.by, "--note", of.note)
    return (shell_words.joined(words),)


@runs(SIGN, lines=_lines)
def sign(operation: Operation, site: Site) -> Outcome:
    """Write it. Raises ClientError."""
    of = convert(operation.arguments, Signing)
    kind = SIGNED if of.by else UNSIGNED
    entry = Entry(
        "", of.checklist, of.item, kind, by=of.by, note=of.note, signed_at=of.signed_at, keys=of.accepts
    )
    keep(site, entry)
    return Outcome(True)


def keep(site: Site, entry: Entry) -> None:
    """Write a row into the book of the lists. Raises ClientError."""
    journal = Journal(history.database_of(site.settings), site.name)
    try:
        Book(journal, site.name).add([entry])
    except HistoryError as error:
        raise ClientError(FailureKind.DEPENDENCY, error.message, "history") from error
    finally:
        journal.close()
