"""`samaops report monthly|incident`: what is read by others than who asks."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated

import typer

from samaops.cli import moments
from samaops.errors import UsageError
from samaops.i18n import N_, _
from samaops.workflows.reports import incident as incident_report
from samaops.workflows.reports import monthly as monthly_report

MONTHLY_HELP = N_(
    "The page of a month: objectives, incidents, changes, maintenance, backups, growth, what is next."
)
INCIDENT_HELP = N_(
    "The timeline of a night, for its post-mortem: states, findings, causes, jobs, changes, by whom."
)


def monthly(
    ctx: typer.Context,
    month: Annotated[
        str,
        typer.Option("--month", metavar="YYYY-MM", help=N_("Which month; the last whole one when absent.")),
    ] = "",
) -> None:
    """Tell a month."""
    ctx.obj.show_page(lambda site: monthly_report.report(site, month))


def incident(
    ctx: typer.Context,
    since: Annotated[
        str,
        typer.Option("--since", metavar="WHEN", help=N_("From then on: 03:00, '2026-01-31 03:00', 2h.")),
    ],
    until: Annotated[
        str, typer.Option("--until", metavar="WHEN", help=N_("Up to then; until now when absent."))
    ] = "",
) -> None:
    """Tell what happened in a short time."""
    begins, ends = _bounds(since, until)
    ctx.obj.show_table(
        lambda site: incident_report.timeline(site, begins, ends), _("What happened, in its order")
    )


def _bounds(since: str, until: str) -> tuple[datetime, datetime]:
    """Return the two moments; times of day without a date are the last ones, the second behind the first."""
    now = datetime.now().astimezone()
    begins = moments.interval(since, "--since")[0]
    ends = moments.interval(until, "--until")[1] if until else now
    if ends <= begins and moments.is_time_of_day(until):
        ends += timedelta(days=1)
    if ends <= begins:
        raise UsageError(_("--until is not behind --since"), hint="--since 03:00 --until 04:00")
    return begins, min(ends, now)
