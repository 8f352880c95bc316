"""Mark what of a report is silenced. It is imported with every diagnosis, so it imports little."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from typing import TypeVar

from msgspec.structs import replace

from samaops.facts.telling import Silence, silences_of
from samaops.journal import history, silence_mark
from samaops.journal.database import HistoryError
from samaops.journal.history import Journal
from samaops.journal.silences import Telling
from samaops.model.finding import Finding, Silenced
from samaops.model.report import Report
from samaops.site.site import Site

# How long a report waits for the history.
_WAIT_SECONDS = 5.0
ValueT = TypeVar("ValueT")
logger = logging.getLogger(__name__)


def with_history(site: Site, work: Callable[[Telling], ValueT]) -> ValueT:
    """Do something with what the history keeps of silences and troubles. Raises HistoryError."""
    journal = Journal(history.database_of(site.settings), site.name)
    try:
        return work(Telling(journal, site.name))
    finally:
        journal.close()


def marked(report: Report, silences: Sequence[Silence], now: datetime) -> Report:
    """Return a report whose silenced findings say so; what is found, and how bad it is, stays as it is."""
    if not silences:
        return report
    held = silences_of(report.findings, report.causes, silences, now)
    return replace(
        report, findings=tuple(_marked(finding, held.get(finding.key)) for finding in report.findings)
    )


def _marked(finding: Finding, silence: Silence | None) -> Finding:
    if silence is None:
        return finding
    announced = Silenced(silence.number, silence.until, silence.by, silence.reason)
    return replace(finding, silenced=announced)


def read_beside(site: Site) -> Callable[[Report], Report]:
    """Begin to read the silences while something is looked at; return what marks the report of that.

    A report whose silences cannot be read in time is not marked: it then shows more than it might, never less.
    """
    if not silence_mark.may_be_silenced(site.settings, datetime.now(timezone.utc)):
        return lambda report: report
    found: list[Silence] = []

    def read() -> None:
        try:
            found.extend(with_history(site, lambda kept: kept.silences()))
        except HistoryError as error:
            logger.warning("the silences cannot be read: %s", error.message)

    thread = threading.Thread(target=read, daemon=True)
    thread.start()

    def mark(report: Report) -> Report:
        thread.join(_WAIT_SECONDS)
        if thread.is_alive():
            logger.warning("the silences could not be read within %g s", _WAIT_SECONDS)
            return report
        return marked(report, found, datetime.now(timezone.utc))

    return mark
