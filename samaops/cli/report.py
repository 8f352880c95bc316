"""`samaops report`: availability, the guide's objectives, growth."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

from samaops.cli import moments, report_pages
from samaops.cli.paging import PageCommand
from samaops.errors import UsageError
from samaops.facts.availability import Period
from samaops.i18n import N_, _
from samaops.model.table import Table
from samaops.site.site import Site
from samaops.workflows.reports import availability as available
from samaops.workflows.reports import capacity as foreseen
from samaops.workflows.reports import kpi as objectives
from samaops.workflows.reports import period as periods

app = typer.Typer(
    no_args_is_help=True, add_completion=False, context_settings={"help_option_names": ["-h", "--help"]}
)
MonthOption = Annotated[
    str | None,
    typer.Option(
        "--month", metavar="YYYY-MM", help=N_("A month: 2026-10; the last whole one when nothing is given.")
    ),
]
SinceOption = Annotated[
    str | None,
    typer.Option(
        "--since", metavar="WHEN", help=N_("From then on: 2026-01-31, '2026-01-31 14:00', today, 2h, 7d.")
    ),
]
UntilOption = Annotated[
    str | None, typer.Option("--until", metavar="WHEN", help=N_("Up to then; a day is meant whole."))
]


@app.command(
    help=N_(
        "How much of a time the service was there, at least and at most, and how much of it was observed."
    ),
    cls=PageCommand,
)
def availability(
    ctx: typer.Context, month: MonthOption = None, since: SinceOption = None, until: UntilOption = None
) -> None:
    """Show the availability."""
    _show(ctx, (month, since, until), available.table, _("Availability"))


@app.command(help=N_("The guide's six objectives against what was measured."), cls=PageCommand)
def kpi(
    ctx: typer.Context, month: MonthOption = None, since: SinceOption = None, until: UntilOption = None
) -> None:
    """Show the objectives."""
    _show(ctx, (month, since, until), objectives.table, _("Objectives"))


@app.command(
    help=N_("When disks, Redis and the pool are full if they go on so, or why no date can be told."),
    cls=PageCommand,
)
def capacity(
    ctx: typer.Context, month: MonthOption = None, since: SinceOption = None, until: UntilOption = None
) -> None:
    """Show what grows."""
    _show(ctx, (month, since, until), foreseen.table, _("Growth"))


def _show(
    ctx: typer.Context,
    asked: tuple[str | None, str | None, str | None],
    make: Callable[[Site, Period], Table],
    title: str,
) -> None:
    ctx.obj.show_table(lambda site: make(site, period_of(site, *asked)), title)


def period_of(site: Site, month: str | None, since: str | None, until: str | None) -> Period:
    """Return the time that was asked for; the last whole month where none was. Raises UsageError."""
    if since is None and until is None:
        return periods.of_month(site, month or "")
    if month is not None:
        raise UsageError(
            _("--month or --since and --until"), hint="samaops report availability --month 2026-10"
        )
    begins = moments.interval(since or "30d", "--since")[0]
    ends = moments.interval(until or "0m", "--until")[1]
    return periods.between(site, begins, ends)


app.command(help=report_pages.MONTHLY_HELP, cls=PageCommand)(report_pages.monthly)
app.command(help=report_pages.INCIDENT_HELP, cls=PageCommand)(report_pages.incident)
