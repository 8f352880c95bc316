"""`samaops release`: what ran, what runs, and what is kept to go back to."""

from __future__ import annotations

from typing import Annotated

import typer

from samaops.cli.changing import ChangeCommand
from samaops.cli.looking import LookCommand
from samaops.i18n import N_
from samaops.workflows.release import listed

app = typer.Typer(
    no_args_is_help=True, add_completion=False, context_settings={"help_option_names": ["-h", "--help"]}
)


@app.command(
    "list", cls=LookCommand, help=N_("List the releases of each server: which runs, which are kept.")
)
def list_(ctx: typer.Context) -> None:
    """List the releases."""
    ctx.obj.show(listed.listed)


@app.command(
    cls=ChangeCommand,
    help=N_("Record the releases that run and keep their images, so that no prune takes the way back."),
)
def record(ctx: typer.Context) -> None:
    """Record the releases."""
    ctx.obj.change("release record")


@app.command(
    cls=ChangeCommand,
    help=N_("Before a deployment: record what runs as what to go back to, and take a backup."),
)
def begin(
    ctx: typer.Context,
    name: Annotated[
        str, typer.Argument(metavar="[NAME]", help=N_("What the deployment is called."), show_default=False)
    ] = "",
) -> None:
    """Begin a release."""
    ctx.obj.change("release begin", name)
