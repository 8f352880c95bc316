"""`samaops db cancel` and the other changes of single sessions."""

from __future__ import annotations

from typing import Annotated

import typer

from samaops.cli.changing import ChangeCommand
from samaops.cli.database.group import app
from samaops.i18n import N_

PidArgument = Annotated[
    str, typer.Argument(metavar="PID", help=N_("The process number of a session, see samaops db activity."))
]


@app.command(help=N_("Cancel the statement that one session works on; the session stays."), cls=ChangeCommand)
def cancel(ctx: typer.Context, pid: PidArgument) -> None:
    """Cancel a statement."""
    ctx.obj.change("db cancel", pid)
