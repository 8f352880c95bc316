"""`samaops db activity` and the other looks at what the database does now."""

from __future__ import annotations

from typing import Annotated

import typer

from samaops.cli.database.group import app
from samaops.cli.looking import LookCommand
from samaops.i18n import N_
from samaops.workflows.database import activity as sessions

LimitOption = Annotated[
    int, typer.Option("--limit", metavar="N", min=1, max=1000, help=N_("How many rows at most, worst first."))
]


@app.command(
    cls=LookCommand, help=N_("List the clients' sessions: what each does, for how long, what it waits for.")
)
def activity(
    ctx: typer.Context,
    state: Annotated[
        str,
        typer.Option("--state", metavar="STATE", help=N_("active, idle, waiting, or idle in transaction.")),
    ] = "",
    older: Annotated[
        float,
        typer.Option("--older", metavar="SECONDS", min=0, help=N_("Only transactions older than this.")),
    ] = 0.0,
    database: Annotated[
        str, typer.Option("--database", metavar="NAME", help=N_("Only sessions of this database."))
    ] = "",
    limit: LimitOption = 20,
) -> None:
    """List the sessions."""
    ctx.obj.show(lambda site: sessions.activity(site, sessions.Wanted(state, older, database, limit)))
