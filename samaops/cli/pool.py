"""`samaops pool`: PgBouncer, by its admin console."""

from __future__ import annotations

from typing import Annotated

import typer

from samaops.changes.pgbouncer.pausing import LEAST_SECONDS, MOST_SECONDS
from samaops.cli.changing import ChangeCommand
from samaops.cli.looking import LookCommand
from samaops.errors import UsageError
from samaops.i18n import N_, _
from samaops.workflows.pool import databases as of_databases
from samaops.workflows.pool import pools as of_pools
from samaops.workflows.pool import sessions
from samaops.workflows.pool import settings as of_settings
from samaops.workflows.pool import stats as of_stats

app = typer.Typer(
    no_args_is_help=True, add_completion=False, context_settings={"help_option_names": ["-h", "--help"]}
)
_HELP_OF_NAME = N_("A database of the pool, see samaops pool databases.")
DatabaseArgument = Annotated[str, typer.Argument(metavar="DATABASE", help=_HELP_OF_NAME)]
AnyDatabaseArgument = Annotated[
    str,
    typer.Argument(
        metavar="[DATABASE]",
        help=N_("A database of the pool, see samaops pool databases; all when absent."),
        show_default=False,
    ),
]
DatabaseOption = Annotated[
    str, typer.Option("--database", metavar="NAME", help=N_("Only those of this database."))
]
StateOption = Annotated[
    str, typer.Option("--state", metavar="STATE", help=N_("Only those in this state: active, waiting, idle."))
]
LimitOption = Annotated[
    int,
    typer.Option("--limit", metavar="N", min=1, max=10_000, help=N_("How many rows at most, worst first.")),
]
ForOption = Annotated[
    float,
    typer.Option(
        "--for",
        metavar="SECONDS",
        min=LEAST_SECONDS,
        max=MOST_SECONDS,
        help=N_("When it ends by itself, at most half of query_wait_timeout."),
    ),
]


@app.command(cls=LookCommand, help=N_("List the pools: who waits and how long, what is full or paused."))
def pools(ctx: typer.Context, database: DatabaseOption = "") -> None:
    """List the pools."""
    ctx.obj.show(lambda site: of_pools.pools(site, database))


@app.command(cls=LookCommand, help=N_("Measure for some seconds what goes through the pool."))
def stats(
    ctx: typer.Context,
    over: Annotated[
        float, typer.Option("--over", metavar="SECONDS", min=0.1, max=60, help=N_("For how long."))
    ] = 2.0,
) -> None:
    """Show rates."""
    ctx.obj.show(lambda site: of_stats.stats(site, over))


@app.command(cls=LookCommand, help=N_("List the clients: who waits, who has which connection."))
def clients(
    ctx: typer.Context, state: StateOption = "", database: DatabaseOption = "", limit: LimitOption = 20
) -> None:
    """List the clients."""
    ctx.obj.show(lambda site: sessions.clients(site, sessions.Wanted(state, database, limit)))


@app.command(cls=LookCommand, help=N_("List the connections to PostgreSQL: which works for whom."))
def servers(
    ctx: typer.Context, state: StateOption = "", database: DatabaseOption = "", limit: LimitOption = 20
) -> None:
    """List the connections."""
    ctx.obj.show(lambda site: sessions.servers(site, sessions.Wanted(state, database, limit)))


@app.command(cls=LookCommand, help=N_("List the databases of the pool: their limits, what is paused."))
def databases(ctx: typer.Context) -> None:
    """List the databases."""
    ctx.obj.show(of_databases.databases)


@app.command(cls=LookCommand, help=N_("List the settings in force, those that are not as expected first."))
def settings(
    ctx: typer.Context,
    every: Annotated[bool, typer.Option("--all", help=N_("Those with their default too."))] = False,
) -> None:
    """List the settings."""
    ctx.obj.show(lambda site: of_settings.settings(site, is_all=every))


@app.command(
    "set-size",
    cls=ChangeCommand,
    help=N_("Set how many connections a pool may open, if PostgreSQL has room."),
)
def set_size(
    ctx: typer.Context,
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="[DATABASE] N",
            help=N_("How many for each user of a database; for all databases when none is named."),
            show_default=False,
        ),
    ],
) -> None:
    """Set the size of the pools."""
    if len(words) > 2:
        raise UsageError(_("Give a number, and at most one database before it"))
    ctx.obj.change("pool set-size", "" if len(words) < 2 else words[0], words[-1])


@app.command(
    cls=ChangeCommand, help=N_("Let clients wait for a while, with no connection; it ends by itself.")
)
def pause(ctx: typer.Context, database: AnyDatabaseArgument = "", seconds: ForOption = 30.0) -> None:
    """Pause databases."""
    ctx.obj.change("pool pause", database, f"{seconds:g}")


@app.command(cls=ChangeCommand, help=N_("Let the clients of a paused database go on."))
def resume(ctx: typer.Context, database: AnyDatabaseArgument = "") -> None:
    """Resume databases."""
    ctx.obj.change("pool resume", database)


@app.command(cls=ChangeCommand, help=N_("Let PgBouncer read its file again, after it was checked."))
def reload(ctx: typer.Context) -> None:
    """Reload the file."""
    ctx.obj.change("pool reload")


@app.command(
    cls=ChangeCommand, help=N_("Open the connections to PostgreSQL anew, each after its transaction.")
)
def reconnect(ctx: typer.Context, database: AnyDatabaseArgument = "") -> None:
    """Replace the connections."""
    ctx.obj.change("pool reconnect", database)


@app.command(
    cls=ChangeCommand, help=N_("Cut off all clients of a database; new ones wait, which ends by itself.")
)
def kill(ctx: typer.Context, database: DatabaseArgument, seconds: ForOption = 10.0) -> None:
    """Cut off clients."""
    ctx.obj.change("pool kill", database, f"{seconds:g}")


@app.command(cls=ChangeCommand, help=N_("Refuse new clients of a database until it is enabled again."))
def disable(ctx: typer.Context, database: DatabaseArgument) -> None:
    """Refuse new clients."""
    ctx.obj.change("pool disable", database)


@app.command(cls=ChangeCommand, help=N_("Let new clients of a disabled database in again."))
def enable(ctx: typer.Context, database: DatabaseArgument) -> None:
    """Let new clients in."""
    ctx.obj.change("pool enable", database)
