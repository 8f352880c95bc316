"""`samaops undo ID|last`."""

from __future__ import annotations

from typing import Annotated

import typer

from samaops.cli.changing import ChangeCommand
from samaops.cli.options import completed_by
from samaops.i18n import N_
from samaops.workflows import history

app = typer.Typer(add_completion=False, context_settings={"help_option_names": ["-h", "--help"]})


@app.command(cls=ChangeCommand)
def undo(
    ctx: typer.Context,
    change: Annotated[
        str,
        typer.Argument(
            metavar="ID|last",
            help=N_("A change of samaops history list; its beginning is enough, or the last one."),
            autocompletion=completed_by("changes"),
        ),
    ],
) -> None:
    """Take a change back."""
    ctx.obj.plan(lambda site: history.undo(site, change))
