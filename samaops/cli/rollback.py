"""`samaops rollback`: can we go back, and how; and going back."""

from __future__ import annotations

from typing import Annotated

import typer

from samaops.cli.changing import ChangeCommand
from samaops.cli.looking import LookCommand
from samaops.i18n import N_
from samaops.model.status import NAGIOS_CODE, Status
from samaops.model.table import Table
from samaops.site.site import Site
from samaops.workflows.release import database, way_back

app = typer.Typer(
    no_args_is_help=True, add_completion=False, context_settings={"help_option_names": ["-h", "--help"]}
)
ToOption = Annotated[
    str,
    typer.Option("--to", metavar="RELEASE", help=N_("A version or an image, see samaops release list.")),
]


@app.command(
    cls=LookCommand,
    help=N_("Say whether there is a way back right now, to which release, and what it would cost."),
)
def check(ctx: typer.Context, to: ToOption = "") -> None:
    """Say whether there is a way back."""
    statuses: list[Status] = []

    def look(site: Site) -> Table:
        table, status = way_back.check(site, to)
        statuses.append(status)
        return table

    ctx.obj.show(look)
    raise typer.Exit(NAGIOS_CODE[statuses[-1]])


@app.command(
    "app",
    cls=ChangeCommand,
    help=N_("Go back to an earlier release, the code alone: member after member, then the workers."),
)
def app_(ctx: typer.Context, to: ToOption = "") -> None:
    """Go back to an earlier release."""
    ctx.obj.change("rollback app", to)


@app.command(
    "db",
    cls=ChangeCommand,
    help=N_(
        "Make the database one that an earlier release runs with: a downgrade that was proved on a copy, else a restore."
    ),
)
def db_(ctx: typer.Context, to: ToOption = "") -> None:
    """Take the database back."""
    ctx.obj.plan(lambda site: database.prepare(site, to))
