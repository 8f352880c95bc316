"""Samples in a real PostgreSQL: two machines take one of a minute, one of them is kept, and old ones are condensed."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from samaops.facts.sample import DOWN, UP, WHOLE, Minute, Sample
from samaops.journal.history import Journal
from samaops.journal.samples import KEPT_HOURS_DAYS, KEPT_MINUTES_DAYS, Samples
from samaops.workflows.reports.seen import Seen, number
from tests.service.postgres_server import PostgresServer, postgres_server
from tests.service.test_history_postgresql import url_of

__all__ = ["postgres_server"]
pytestmark = pytest.mark.service
BEGIN = datetime(2026, 6, 1, tzinfo=timezone.utc)


def test_two_machines_keep_one_sample_a_minute_and_an_old_one_stays_known(
    postgres_server: PostgresServer,
) -> None:
    journals = [Journal(url_of(postgres_server.port), "dakar") for _machine in range(2)]
    one, two = (Samples(journal, "dakar") for journal in journals)
    minutes = [
        Minute(BEGIN + timedelta(minutes=place), (Sample(WHOLE, DOWN if place == 61 else UP, 20.0, "ms"),))
        for place in range(125)
    ]
    try:
        assert one.add_all(minutes) == len(minutes)
        assert not two.add(Minute(BEGIN, (Sample(WHOLE, DOWN),)))
        for days in (0, KEPT_MINUTES_DAYS + 1, KEPT_HOURS_DAYS + 1):
            two.condense(BEGIN + timedelta(days=days, minutes=125))
            seen = Seen(one.read(BEGIN, BEGIN + timedelta(days=1)), timezone.utc).subject(WHOLE)
            counts = seen.count(number(BEGIN), number(BEGIN + timedelta(minutes=125)))
            assert (counts.up, counts.down, counts.unobserved) == (124, 1, 0)
            assert sum(figures.count for figures in seen.figures.values()) == 125
    finally:
        for journal in journals:
            journal.close()
        postgres_server.run("DROP TABLE samaops_events, samaops_minutes, samaops_samples")
