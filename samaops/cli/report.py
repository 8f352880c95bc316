"""`samaops report`: availability, the guide's objectives, growth."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

from samaops.cli import moments
from samaops.cli.looking import LookCommand
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
        "--month", metavar="MONTH", help=N_("A month: 2026-10; the last whole one when nothing is given.")
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
    cls=LookCommand,
)
def availability(
    ctx: typer.Context, month: MonthOption = None, since: SinceOption = None, until: UntilOption = None
) -> None:
    """Show the availability."""
    _show(ctx, (month, since, until), available.table)


@app.command(help=N_("The guide's six objectives against what was measured."), cls=LookCommand)
def kpi(
    ctx: typer.Context, month: MonthOption = None, since: SinceOption = None, until: UntilOption = None
) -> None:
    """Show the objectives."""
    _show(ctx, (month, since, until), objectives.table)


@app.command(
    help=N_("When disks, Redis and the pool are full if they go on so, or why no date can be told."),
    cls=LookCommand,
)
def capacity(
    ctx: typer.Context, month: MonthOption = None, since: SinceOption = None, until: UntilOption = None
) -> None:
    """Show what grows."""
    _show(ctx, (month, since, until), foreseen.table)


def _show(
    ctx: typer.Context,
    asked: tuple[str | None, str | None, str | None],
    make: Callable[[Site, Period], Table],
) -> None:
    ctx.obj.show(lambda site: make(site, period_of(site, *asked)))


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
