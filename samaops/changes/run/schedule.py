"""Write into the ledger that a job is paused, or is not any more."""

from __future__ import annotations

import shlex
from datetime import datetime, timezone

from msgspec import convert

from samaops.changes.run.operations import runs
from samaops.changes.schedule.pause import PAUSE, Pausing
from samaops.clients.errors import ClientError
from samaops.facts.schedule import Pause
from samaops.journal import history
from samaops.journal.history import HistoryError, Journal
from samaops.journal.ledger import Ledger
from samaops.journal.lock import this_process_now
from samaops.model.failure import FailureKind
from samaops.model.plan import Operation, Outcome
from samaops.site.site import Site


def _lines(operation: Operation, _site: Site) -> tuple[str, ...]:
    of = convert(operation.arguments, Pausing)
    if not of.until:
        return (f"samaops schedule resume {shlex.quote(of.job)}",)
    words = ("samaops", "schedule", "pause", of.job, "--until", of.until, "--reason", of.reason)
    return (shlex.join(words),)


@runs(PAUSE, lines=_lines)
def pause(operation: Operation, site: Site) -> Outcome:
    """Write it. Raises ClientError."""
    of = convert(operation.arguments, Pausing)
    journal = Journal(history.database_of(site.settings), site.name)
    ledger = Ledger(journal, site.name)
    try:
        if not of.until:
            ledger.resume(of.job)
            return Outcome(True)
        now = datetime.now(timezone.utc)
        ends = datetime.fromisoformat(of.until)
        ledger.pause(Pause(of.job, ends, of.reason, this_process_now().user, now))
    except HistoryError as error:
        raise ClientError(FailureKind.DEPENDENCY, error.message, "history") from error
    finally:
        journal.close()
    return Outcome(True)
