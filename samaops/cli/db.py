"""`samaops db`: the database, by its own program and by ours."""

from __future__ import annotations

from typing import Annotated

import typer

from samaops.cli import configuration_file
from samaops.cli.database.group import app
from samaops.clients import interactive
from samaops.i18n import N_


@app.command(help=N_("Run psql on the database, with the configured user and password."))
def psql(
    ctx: typer.Context,
    arguments: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[-- ARGUMENTS]",
            help=N_(
                'Those of psql: -c "SELECT 1". After -U the password of that user, where one is configured.'
            ),
            show_default=False,
        ),
    ] = None,
    pool: Annotated[bool, typer.Option("--pool", help=N_("On PgBouncer's console instead."))] = False,
) -> None:
    """Run psql."""
    settings = configuration_file.site(ctx.obj).settings
    interactive.become(interactive.psql(settings, arguments or (), of_pool=pool))
