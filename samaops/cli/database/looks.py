"""`samaops db activity` and the other looks at what the database does now."""

from __future__ import annotations

from typing import Annotated

import typer

from samaops.cli.database.group import app
from samaops.cli.looking import LookCommand
from samaops.cli.options import completed_by
from samaops.i18n import N_
from samaops.workflows.database import activity as sessions
from samaops.workflows.database import cache as buffers
from samaops.workflows.database import connections as taken
from samaops.workflows.database import locks as queues
from samaops.workflows.database import progress as works
from samaops.workflows.database import settings as values
from samaops.workflows.database import wraparound as ages
from samaops.workflows.database import xmin as holders

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
        typer.Option(
            "--state",
            metavar="STATE",
            help=N_("active, idle, waiting, or idle in transaction."),
            autocompletion=completed_by("session_states"),
        ),
    ] = "",
    older: Annotated[
        float,
        typer.Option("--older", metavar="SECONDS", min=0, help=N_("Only transactions older than this.")),
    ] = 0.0,
    database: Annotated[
        str, typer.Option("--database", metavar="NAME", help=N_("Only sessions of this database."))
    ] = "",
    user: Annotated[str, typer.Option("--user", metavar="NAME", help=N_("Only sessions of this user."))] = "",
    application: Annotated[
        str, typer.Option("--application", metavar="NAME", help=N_("Only sessions of this application."))
    ] = "",
    limit: LimitOption = 20,
) -> None:
    """List the sessions."""
    wanted = sessions.Wanted(state, older, database, user, application, limit)
    ctx.obj.show(lambda site: sessions.activity(site, wanted))


@app.command(
    cls=LookCommand, help=N_("Show who waits for a lock, for how long, and who stands before all of them.")
)
def locks(ctx: typer.Context) -> None:
    """Show the trees of those who wait."""
    ctx.obj.show(queues.locks)


@app.command(
    cls=LookCommand,
    help=N_("Count the connections by state, user, client, application, against what there may be."),
)
def connections(
    ctx: typer.Context,
    by: Annotated[
        str,
        typer.Option(
            "--by",
            metavar="WHAT,..",
            help=N_("state, user, client, application or database; several with commas: together."),
            autocompletion=completed_by("kinds_of_connections"),
        ),
    ] = "",
    limit: LimitOption = 20,
) -> None:
    """Count the connections."""
    ctx.obj.show(lambda site: taken.connections(site, by, limit))


@app.command(
    cls=LookCommand,
    help=N_("Show what is found in shared_buffers and what is read from outside, by database and relation."),
)
def cache(
    ctx: typer.Context,
    over: Annotated[
        float,
        typer.Option("--over", metavar="SECONDS", min=0.1, max=600, help=N_("Between the two samples.")),
    ] = 10.0,
    since_reset: Annotated[
        bool, typer.Option("--since-reset", help=N_("Since the counters began, in place of two samples."))
    ] = False,
    limit: LimitOption = 20,
) -> None:
    """Show the hit ratio."""
    ctx.obj.show(lambda site: buffers.cache(site, None if since_reset else over, limit))


@app.command(
    cls=LookCommand,
    help=N_("Show who holds back cleaning: what no vacuum can remove as long as they are there."),
)
def xmin(ctx: typer.Context, limit: LimitOption = 20) -> None:
    """Show who holds back cleaning."""
    ctx.obj.show(lambda site: holders.xmin(site, limit))


@app.command(
    cls=LookCommand,
    help=N_("Show how near transaction ids, multixacts and sequences are to their end."),
)
def wraparound(
    ctx: typer.Context,
    over: Annotated[
        float | None,
        typer.Option(
            "--over",
            metavar="SECONDS",
            min=0.1,
            max=600,
            help=N_("Measure the rate for so long, in place of since the last checkpoint."),
        ),
    ] = None,
    limit: LimitOption = 20,
) -> None:
    """Show ages and limits."""
    ctx.obj.show(lambda site: ages.wraparound(site, over, limit))


@app.command(
    cls=LookCommand,
    help=N_("Show settings against the guide and the last look kept, and what waits for a restart."),
)
def settings(
    ctx: typer.Context,
    pattern: Annotated[
        str,
        typer.Argument(metavar="[PATTERN]", help=N_("A part of the name, or one with * for anything.")),
    ] = "",
) -> None:
    """Show settings."""
    ctx.obj.show(lambda site: values.settings(site, pattern))


@app.command(
    cls=LookCommand,
    help=N_("Show how far vacuum, analyze, index builds, rewrites, copies and base backups are."),
)
def progress(
    ctx: typer.Context,
    over: Annotated[
        float,
        typer.Option("--over", metavar="SECONDS", min=0.1, max=60, help=N_("Measure the rate for so long.")),
    ] = 0.5,
) -> None:
    """Show what works."""
    ctx.obj.show(lambda site: works.progress(site, over))
