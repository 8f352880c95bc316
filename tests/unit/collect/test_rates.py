"""What a statement costs: two samples are not enough where a table's reads are not told yet."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from samaops.collect.postgresql import rates as sampling
from samaops.facts.postgresql import Rates, Scan

READS = Rates(7, 1.1, calls=4, milliseconds=80.0, rows=4, blocks=4 * sampling.LARGE_TABLE_BLOCKS, scans=())


@pytest.mark.parametrize(
    ("rates", "is_owed"),
    [
        (READS, True),
        (replace(READS, blocks=READS.blocks - 1), False),  # too few blocks for a large table
        (replace(READS, scans=(Scan("public.sessions", 20_000, 20_000),)), False),
    ],
)
def test_a_large_read_that_no_table_has_told_of_is_waited_for(rates: Rates, is_owed: bool) -> None:
    assert sampling._is_scan_owed(rates) is is_owed
