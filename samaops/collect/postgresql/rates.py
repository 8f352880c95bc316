"""What a statement costs, by samples of its counters."""

from __future__ import annotations

import time

from msgspec import Struct
from msgspec.structs import replace

from samaops.clients.postgresql import PostgresClient
from samaops.collect.engine import Probe
from samaops.collect.values import as_read
from samaops.facts.postgresql import Rates, Scan

# So many sessions with one statement are worth a second look at what it costs. A backend tells its counts once a second.
CROWD, SAMPLE_SECONDS, MOST_SAMPLES = 8, 1.1, 3
# The 10,000 rows from which a table is large to us lie in no fewer blocks, were they as short as rows can be (28 bytes).
LARGE_TABLE_BLOCKS = 40


class _Sample(Struct):
    """Counters of one statement and of the large tables, as of ``at``."""

    at: float
    calls: int
    milliseconds: float
    rows: int
    blocks: int
    scans: tuple[Scan, ...]


def has_time(probe: Probe) -> bool:
    """Return whether there is time for one more sample."""
    return probe.remaining() > 2 * SAMPLE_SECONDS


def measured(client: PostgresClient, probe: Probe, query_id: int) -> Rates:
    """Sample twice what one statement costs, and which tables are read row by row meanwhile."""
    before = _sample(client, query_id)
    # A call is counted when it ends, and what it read is told then: where none has ended, a while longer.
    for _round in range(MOST_SAMPLES):
        time.sleep(SAMPLE_SECONDS)
        rates = _rates_of(query_id, before, _sample(client, query_id))
        if not has_time(probe) or (rates.calls and not _is_scan_owed(rates)):
            break
    return rates


def _sample(client: PostgresClient, query_id: int) -> _Sample:
    return as_read(client.read_one("rates", {"query_id": query_id}), _Sample)


def _rates_of(query_id: int, before: _Sample, after: _Sample) -> Rates:
    read_before = {scan.relation: scan.rows_read for scan in before.scans}
    scans = (
        replace(scan, rows_read=scan.rows_read - read_before.get(scan.relation, 0)) for scan in after.scans
    )
    return Rates(
        query_id,
        round(after.at - before.at, 2),
        after.calls - before.calls,
        after.milliseconds - before.milliseconds,
        after.rows - before.rows,
        after.blocks - before.blocks,
        tuple(sorted((scan for scan in scans if scan.rows_read > 0), key=lambda scan: -scan.rows_read)),
    )


def _is_scan_owed(rates: Rates) -> bool:
    """Return whether calls read as many blocks as a large table has, and no table was told to have been read.

    A session tells the statistics of tables at most once a second, those of statements at once.
    """
    return not rates.scans and rates.blocks >= LARGE_TABLE_BLOCKS * rates.calls
