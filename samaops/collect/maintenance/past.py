"""What daily maintenance observes beside what a diagnosis does: logs, growth, unused images, its own history.

Nobody looks at these unless asked by name: reading logs of gigabytes is no part of a diagnosis.
"""

from __future__ import annotations

from samaops.clients.errors import ClientError
from samaops.collect.engine import Collector, Probe
from samaops.collect.maintenance import (
    directories as maintenance_directories,
)
from samaops.collect.maintenance import (
    images as maintenance_images,
)
from samaops.collect.maintenance import (
    logs as maintenance_logs,
)
from samaops.facts.maintenance import HistoryFacts, Past
from samaops.model.failure import FailureKind
from samaops.site.site import Site

SYSTEM = "maintenance"
NO_PAST = Past()


def collectors(site: Site, past: Past | None = None) -> list[Collector]:
    """Return the collectors; without a past, logs are read whole and nothing is known to have grown."""
    known = past or NO_PAST
    current = [
        *maintenance_directories.collectors(site, known.mounts),
        *maintenance_logs.collectors(site, known.marks),
        *maintenance_images.collectors(site),
    ]
    return current if past is None else [*current, _history(past)]


def _history(past: Past) -> Collector:
    def collect(probe: Probe) -> HistoryFacts:
        probe.stage("history")
        if past.failure:
            raise ClientError(FailureKind.DEPENDENCY, past.failure, "history")
        return HistoryFacts(past.last_run_at)

    feeds = ("maintenance.history",)
    return Collector(SYSTEM, "maintenance/history", HistoryFacts, collect, None, feeds, on_request=True)
