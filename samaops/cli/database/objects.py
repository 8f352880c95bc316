"""`samaops db checkpoint`, `set`, `slot`, `index`: changes of what the database has, not of who uses it."""

from __future__ import annotations

from typing import Annotated

import typer

from samaops.changes.postgresql.indexes import UNIQUE
from samaops.cli.changing import ChangeCommand, check_wait
from samaops.cli.database.group import app
from samaops.i18n import N_

slot = typer.Typer(no_args_is_help=True, help=N_("Change replication slots."))
index = typer.Typer(no_args_is_help=True, help=N_("Build and drop indexes."))
BlockedOption = Annotated[
    float,
    typer.Option(
        "--wait", metavar="SECONDS", help=N_("How long others may keep it waiting before it gives up.")
    ),
]


@slot.callback()
def _slots() -> None:
    """Keep the group a group."""


@app.command(help=N_("Write a checkpoint now: everything that is dirty goes to the disk."), cls=ChangeCommand)
def checkpoint(ctx: typer.Context) -> None:
    """Write a checkpoint."""
    ctx.obj.change("db checkpoint")


@app.command(
    "set",
    help=N_(
        "Change a setting that needs no restart (ALTER SYSTEM, and a reload); undo brings the old one back."
    ),
    cls=ChangeCommand,
)
def set_(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help=N_("The setting, such as work_mem."))],
    value: Annotated[str, typer.Argument(metavar="VALUE", help=N_("With its unit: 64MB, 5min, on."))],
) -> None:
    """Change a setting."""
    ctx.obj.change("db set", name, value)


@slot.command(
    help=N_("Drop a replication slot that nobody reads; its reader has to be built anew."), cls=ChangeCommand
)
def drop(
    ctx: typer.Context, name: Annotated[str, typer.Argument(metavar="NAME", help=N_("The slot."))]
) -> None:
    """Drop a slot."""
    ctx.obj.change("db slot drop", name)


@index.command(help=N_("Build an index while everybody reads and writes (CONCURRENTLY)."), cls=ChangeCommand)
def create(
    ctx: typer.Context,
    table: Annotated[str, typer.Argument(metavar="TABLE", help=N_("The table, with its schema or without."))],
    columns: Annotated[
        list[str], typer.Argument(metavar="COLUMN...", help=N_("Its columns, in their order."))
    ],
    unique: Annotated[
        bool, typer.Option("--unique", help=N_("No two rows may have the same values."))
    ] = False,
    name: Annotated[
        str, typer.Option("--name", metavar="NAME", help=N_("Another name than the usual one."))
    ] = "",
    wait: BlockedOption = 120.0,
) -> None:
    """Build an index."""
    check_wait(wait)
    more = (UNIQUE,) if unique else ()
    ctx.obj.change("db index create", table, name, f"{wait:g}", *columns, *more)


@index.command(
    "drop",
    help=N_("Drop an index that enforces nothing (CONCURRENTLY); undo builds it anew."),
    cls=ChangeCommand,
)
def drop_index(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help=N_("The index, with its schema or without."))],
    wait: BlockedOption = 120.0,
) -> None:
    """Drop an index."""
    check_wait(wait)
    ctx.obj.change("db index drop", name, f"{wait:g}")


app.add_typer(slot, name="slot")
app.add_typer(index, name="index")
