"""Files as a script listed them: the time each was written, and its digest."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from samaops.facts.portrait import Row, Trait
from samaops.journal import digests

_WRITTEN = re.compile(r"(\d+\.?\d*) (/.*)")
_DIGEST = re.compile(r"([0-9a-f]{64})  (/.*)")


def rows(kind: str, lines: Sequence[str]) -> Iterator[Row]:
    """Yield a row for each file of a section with ``TIME PATH`` and ``SHA256  PATH`` lines.

    A digest that anybody could compute would tell a short secret in the file: it is made again with our key.
    """
    written = {match[2]: float(match[1]) for line in lines if (match := _WRITTEN.fullmatch(line))}
    for line in lines:
        if match := _DIGEST.fullmatch(line):
            yield kind, match[2], "", Trait(digests.of(match[1]), written.get(match[2]))
