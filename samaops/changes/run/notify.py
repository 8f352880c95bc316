"""Write into the history that findings are silenced, or are not any more."""

from __future__ import annotations

from datetime import datetime, timezone

from msgspec import convert

from samaops.changes.notify.silence import SILENCE, Silencing
from samaops.changes.run.operations import runs
from samaops.clients.errors import ClientError
from samaops.facts.telling import Silence
from samaops.i18n import _
from samaops.journal import history, silence_mark
from samaops.journal.database import HistoryError
from samaops.journal.history import Journal
from samaops.journal.lock import this_process_now
from samaops.journal.silences import Telling
from samaops.model.failure import FailureKind
from samaops.model.plan import Operation, Outcome
from samaops.site import shell_words
from samaops.site.site import Site


def _lines(operation: Operation, _site: Site) -> tuple[str, ...]:
    of = convert(operation.arguments, Silencing)
    if of.is_over:
        return (f"samaops silence end {of.number}",)
    subject = (of.subject,) if of.subject else ()
    words = ("samaops", "silence", of.code, *subject, "--until", of.until, "--reason", of.reason)
    return (shell_words.joined(words),)


@runs(SILENCE, lines=_lines)
def silence(operation: Operation, site: Site) -> Outcome:
    """Write it. Raises ClientError."""
    of = convert(operation.arguments, Silencing)
    journal = Journal(history.database_of(site.settings), site.name)
    kept = Telling(journal, site.name)
    now, user = datetime.now(timezone.utc), this_process_now().user
    ends = datetime.fromisoformat(of.until)
    try:
        if of.is_over:
            kept.end(of.number, user, _("ended by hand"), now)
        else:
            known = next((each for each in kept.silences() if each.number == of.number), None)
            at, by = (known.at, known.by) if known else (now, user)
            kept.silence(Silence(of.number, of.code, of.subject, ends, of.reason, by, at, of.seen))
            silence_mark.leave(ends)
    except HistoryError as error:
        raise ClientError(FailureKind.DEPENDENCY, error.message, "history") from error
    finally:
        journal.close()
    return Outcome(True)
