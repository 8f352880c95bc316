"""Compare a look with the last one that was all well, and keep the next such one."""

from __future__ import annotations

import logging

from msgspec.structs import replace

from samaops.causes.suspects import with_differences
from samaops.errors import UnavailableError
from samaops.facts.observation import Snapshot
from samaops.facts.selection import Selection
from samaops.journal import well
from samaops.journal.history import Change, Journal, database_of
from samaops.journal.plans import fault_of
from samaops.journal.well import WellLook
from samaops.model.difference import Comparison
from samaops.model.report import Report
from samaops.model.status import Status
from samaops.portraits.compare import compare, unknown_parts
from samaops.portraits.made import with_changes
from samaops.portraits.portrait import place_of, portrait_of
from samaops.site.site import Site

logger = logging.getLogger(__name__)


def compared(
    report: Report, snapshot: Snapshot, site: Site, look: WellLook | None, *, is_asked: bool = False
) -> Report:
    """Return the report with what is different since a well look; it speaks for the causes that it can bring about."""
    if look is None:
        return replace(report, since_well=Comparison(is_asked=is_asked))
    portrait = portrait_of(snapshot)
    differences = compare(look.portrait, portrait, look.at)
    if is_asked and differences:
        differences = with_changes(differences, _changes(site), look.at, site)
    asked = {place_of(observation) for observation in snapshot.observations}
    unknown = (part for part in unknown_parts(look.portrait, portrait) if part.partition("/")[0] in asked)
    comparison = Comparison(look.at, differences, tuple(unknown), is_asked)
    causes = with_differences(report.causes, comparison, snapshot.taken_at, site)
    return replace(report, causes=causes, since_well=comparison)


def _changes(site: Site) -> tuple[Change, ...]:
    """Return the last changes of samaops; where the journal cannot be read, none is named."""
    journal = Journal(database_of(site.settings), site.name)
    try:
        return tuple(change for change in journal.changes() if not fault_of(change))
    except UnavailableError as error:
        logger.debug("the history cannot be read: %s", error.message)
        return ()
    finally:
        journal.close()


def keep_if_well(report: Report, snapshot: Snapshot, site: Site, selection: Selection) -> None:
    """Keep a look at everything that found all well, for later ones to be compared with."""
    is_whole = not selection.only and not selection.skip and not report.deadline_hit and not report.errors
    if is_whole and report.findings and report.status is Status.OK:
        well.keep(site.name, WellLook(snapshot.taken_at, portrait_of(snapshot)))
