"""Judge whether sites could be looked at at all; what was found there was judged there."""

from __future__ import annotations

from samaops.checks.registry import access
from samaops.facts.sites import SiteFacts
from samaops.i18n import _
from samaops.model.quantities import moment


def _title(seen: SiteFacts) -> str:
    if seen.is_saved:
        words = {"site": seen.name, "moment": moment(seen.report.started_at.timestamp()), "file": seen.by}
        return _("{site} was looked at at {moment} ({file})").format(**words)
    if seen.by:
        return _("{site} was looked at by its own control machine {by}").format(site=seen.name, by=seen.by)
    return _("{site} was looked at from here").format(site=seen.name)


access(
    "sites.site.lost",
    SiteFacts,
    title=_title,
    value=lambda seen: len(seen.report.findings),
    evidence=lambda seen: {
        "by": seen.by,
        "status": seen.report.status.value,
        "duration_ms": seen.report.duration_ms,
    },
)
