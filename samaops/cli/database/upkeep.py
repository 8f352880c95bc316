"""`samaops db vacuum`, `analyze`, `reindex` and `optimize`: upkeep beside everybody's work."""

from __future__ import annotations

from typing import Annotated

import typer

from samaops.changes.postgresql.upkeep_work import WAIT_SECONDS
from samaops.cli import changing
from samaops.cli.changing import ChangeCommand, Changing
from samaops.cli.database.group import app
from samaops.i18n import N_
from samaops.workflows.database import upkeep

TablesArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[TABLE]...", help=N_("Their names; without any, those that need it."), show_default=False
    ),
]
WindowOption = Annotated[
    str, typer.Option("--window", metavar="02:00-05:00", help=N_("Be over at its end; the rest is left."))
]
BlockedOption = Annotated[
    float,
    typer.Option("--wait", metavar="SECONDS", help=N_("How long a rebuild waits for others, at most.")),
]


@app.command(help=N_("Vacuum tables that need it, one by one, beside everybody's work."), cls=ChangeCommand)
def vacuum(
    ctx: typer.Context,
    tables: TablesArgument = None,
    window: WindowOption = "",
    full: Annotated[
        bool, typer.Option("--full", help=N_("Write one table anew; nobody reaches it meanwhile."))
    ] = False,
) -> None:
    """Vacuum tables."""
    _tend(ctx, "db vacuum", (*(tables or ()), *(("--full",) if full else ()), *_window(window)))


@app.command(help=N_("Count anew what the planner knows of tables that changed."), cls=ChangeCommand)
def analyze(ctx: typer.Context, tables: TablesArgument = None, window: WindowOption = "") -> None:
    """Analyze tables."""
    _tend(ctx, "db analyze", (*(tables or ()), *_window(window)))


@app.command(help=N_("Rebuild indexes that need it, one by one, beside everybody's work."), cls=ChangeCommand)
def reindex(
    ctx: typer.Context,
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[INDEX|TABLE]...",
            help=N_("Their names; without any, those that need it."),
            show_default=False,
        ),
    ] = None,
    window: WindowOption = "",
    wait: BlockedOption = WAIT_SECONDS,
) -> None:
    """Rebuild indexes."""
    changing.check_wait(wait)
    _tend(ctx, "db reindex", (*(names or ()), *_window(window), "--wait", f"{wait:g}"))


@app.command(
    help=N_("Vacuum, analyze and rebuild all that needs it, and say what is left out."), cls=ChangeCommand
)
def optimize(ctx: typer.Context, window: WindowOption = "", wait: BlockedOption = WAIT_SECONDS) -> None:
    """Tend the whole database."""
    changing.check_wait(wait)
    _tend(ctx, "db optimize", (*_window(window), "--wait", f"{wait:g}"))


def _window(window: str) -> tuple[str, ...]:
    return ("--window", window) if window else ()


def _tend(ctx: typer.Context, verb: str, arguments: tuple[str, ...]) -> None:
    wanted: Changing = ctx.obj
    wanted.plan(lambda site: upkeep.prepare(site, verb, arguments))
