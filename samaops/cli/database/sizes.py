"""`samaops db size` and the other looks at what takes room and time: statements, bloat, indexes, plans."""

from __future__ import annotations

from typing import Annotated

import typer

from samaops.cli.database.group import app
from samaops.cli.database.looks import LimitOption
from samaops.cli.looking import LookCommand
from samaops.errors import UsageError
from samaops.i18n import N_, _
from samaops.workflows.database import bloat as waste
from samaops.workflows.database import explain as plans
from samaops.workflows.database import indexes as advice
from samaops.workflows.database import size as sizes
from samaops.workflows.database import slow as statements


@app.command(
    name="size",
    cls=LookCommand,
    help=N_("List what takes the room: databases, tables, indexes, their growth, and when the disk is full."),
)
def size(
    ctx: typer.Context,
    days: Annotated[
        float, typer.Option("--days", metavar="DAYS", min=0, help=N_("Growth since about so many days ago."))
    ] = 7.0,
    sort: Annotated[str, typer.Option("--sort", metavar="BY", help=N_("size or growth."))] = "size",
    limit: LimitOption = 20,
) -> None:
    """List the sizes."""
    ctx.obj.show(lambda site: sizes.sizes(site, sizes.Wanted(days, sort, limit)))


@app.command(
    name="slow",
    cls=LookCommand,
    help=N_("List the statements that the server's time goes to, counted over some seconds from now on."),
)
def slow(
    ctx: typer.Context,
    over: Annotated[
        float,
        typer.Option("--over", metavar="SECONDS", min=0.1, max=3600, help=N_("How long to count.")),
    ] = 30.0,
    since_reset: Annotated[
        bool, typer.Option("--since-reset", help=N_("All that was counted so far, at once."))
    ] = False,
    limit: LimitOption = 20,
) -> None:
    """List the statements."""
    waiting = statements.Waiting()
    wanted = statements.Wanted(over, since_reset, limit, ends_early=ctx.obj.watch is None)
    ctx.obj.show(lambda site: statements.slow(site, wanted, waiting), waiting.latest)


@app.command(
    name="bloat",
    cls=LookCommand,
    help=N_("List the tables and indexes that waste the most room, by estimate; or measure one exactly."),
)
def bloat(
    ctx: typer.Context,
    exact: Annotated[
        str,
        typer.Option("--exact", metavar="NAME", help=N_("Measure this table or index; it is read for it.")),
    ] = "",
    at_most: Annotated[
        float, typer.Option("--at-most", metavar="MB", min=0, help=N_("With --exact: the largest to read."))
    ] = 2048.0,
    limit: LimitOption = 20,
) -> None:
    """List the waste."""
    ctx.obj.show(lambda site: waste.exact(site, exact, at_most) if exact else waste.bloat(site, limit))


@app.command(
    name="indexes",
    cls=LookCommand,
    help=N_("List the indexes that are of no use, and those that are missing; nothing is dropped."),
)
def indexes(ctx: typer.Context, limit: LimitOption = 20) -> None:
    """List the indexes."""
    ctx.obj.show(lambda site: advice.indexes(site, limit))


@app.command(
    name="explain",
    cls=LookCommand,
    help=N_(
        "Show the plan of one statement, what matters first; it is not run unless --analyze asks for it."
    ),
    # A queryid may begin with a dash.
    context_settings={"ignore_unknown_options": True},
)
def explain(
    ctx: typer.Context,
    queryid: Annotated[
        str,
        typer.Argument(
            metavar="QUERYID|-", help=N_("A queryid of samaops db slow; - reads the statement from stdin.")
        ),
    ],
    analyze: Annotated[
        bool,
        typer.Option("--analyze", help=N_("Run it too: in a read-only transaction, which is rolled back.")),
    ] = False,
    timeout: Annotated[
        float,
        typer.Option("--timeout", metavar="SECONDS", min=0.1, max=600, help=N_("For --analyze, at most.")),
    ] = 10.0,
) -> None:
    """Show a plan."""
    text = _from_stdin() if queryid == "-" else ""
    wanted = plans.Wanted("" if text else queryid, text, analyze, timeout)
    ctx.obj.show(lambda site: plans.explain(site, wanted))


def _from_stdin() -> str:
    """Return the statement that stdin holds; somebody at a terminal is told how it ends."""
    source = typer.get_text_stream("stdin")
    if source.isatty():
        typer.echo(_("The statement, then Ctrl-D:"), err=True)
    text = source.read(plans.LONGEST_STATEMENT)
    if not text.strip() or len(text) == plans.LONGEST_STATEMENT:
        raise UsageError(_("no statement came on stdin, or one that is too long"), "samaops db slow")
    return text
