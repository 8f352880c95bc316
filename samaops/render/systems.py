"""One line per system, or per site where there are several, of what is fine there; two side by side on a short screen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from samaops.i18n import ngettext
from samaops.model.report import Report
from samaops.model.status import SEVERITY, Status
from samaops.render import escape, words
from samaops.render.words import Symbols

_COLUMN = 39
_MOST_IN_ONE_COLUMN = 6


def system_lines(report: Report, symbols: Symbols) -> Iterator[str]:
    """Yield a line per system (of several sites: per site): how many checks are ok, how many were skipped, how long it took."""
    counts: dict[str, Counter[Status]] = {}
    for finding in report.findings:
        counts.setdefault(finding.site or finding.system, Counter())[finding.status] += 1
    order = list(report.timings_ms)
    systems = sorted(
        counts, key=lambda system: (order.index(system) if system in order else len(order), system)
    )
    cells = [_cell(system, counts[system], report.timings_ms.get(system), symbols) for system in systems]
    if len(cells) <= _MOST_IN_ONE_COLUMN or any(len(cell) > _COLUMN for cell in cells):
        yield from cells
        return
    height = (len(cells) + 1) // 2
    for place in range(height):
        right = cells[place + height] if place + height < len(cells) else ""
        yield f"{cells[place]:<{_COLUMN}} {right}".rstrip()


def _cell(system: str, counts: Counter[Status], took_ms: int | None, symbols: Symbols) -> str:
    worst = next(status for status in SEVERITY if counts[status])
    if set(counts) == {Status.OK}:
        parts = [
            ngettext("{count} check", "{count} checks", counts[Status.OK]).format(count=counts[Status.OK])
        ]
    else:
        order = (Status.OK, *SEVERITY[:3], Status.SKIPPED)
        parts = [words.counted(status, counts[status]) for status in order if counts[status]]
    took = [words.duration(took_ms)] if took_ms is not None else []
    return f"{symbols.status[worst]} {escape.plain(system):<12} {', '.join([*parts, *took])}"
