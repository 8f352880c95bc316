"""What is observed of who is told: the silences in the history's database. They are read, and never made."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timezone

from samaops.clients.errors import ClientError
from samaops.collect.engine import Probe
from samaops.collect.registry import Target, collects
from samaops.facts.telling import SILENCES, SilencesFacts
from samaops.journal import history
from samaops.journal.database import HistoryError
from samaops.journal.history import Journal
from samaops.journal.silences import Telling
from samaops.model.failure import FailureKind
from samaops.site.site import Site

_SECONDS = 8.0


def _here(_site: Site) -> Iterator[Target]:
    yield Target("history", None, None, _SECONDS)


@collects("maintenance", SilencesFacts, targets=_here, feeds=(SILENCES,), kind="silences", on_request=True)
def look(_of: None, site: Site, probe: Probe) -> SilencesFacts:
    """Read the silences, those that are over among them. Raises ClientError."""
    probe.stage("history")
    now = datetime.now(timezone.utc)
    journal = Journal(history.database_of(site.settings), site.name)
    kept = Telling(journal, site.name)
    try:
        return SilencesFacts(now, kept.silences(), kept.next_number())
    except HistoryError as error:
        raise ClientError(FailureKind.DEPENDENCY, error.message, "history") from error
    finally:
        journal.close()
