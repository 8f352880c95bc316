"""`samaops backup`: make backups, prove them, keep and remove them."""

from __future__ import annotations

from enum import Enum
from typing import Annotated

import typer

from samaops.changes.backup.verify import ALL
from samaops.changes.restoring import drill as trial
from samaops.cli.changing import ChangeCommand
from samaops.cli.looking import LookCommand
from samaops.errors import UsageError
from samaops.i18n import N_, _
from samaops.workflows import backup, restoring

app = typer.Typer(
    no_args_is_help=True, add_completion=False, context_settings={"help_option_names": ["-h", "--help"]}
)
BackupArgument = Annotated[
    str,
    typer.Argument(
        metavar="ID|latest",
        help=N_("A backup of samaops backup list; its beginning is enough."),
    ),
]


class Grade(str, Enum):
    """How far a backup is proved."""

    STORED = "stored"
    READABLE = "readable"


@app.command(
    help=N_("Back up the database and what a bad day needs besides, and prove it."), cls=ChangeCommand
)
def create(ctx: typer.Context) -> None:
    """Make a backup."""
    ctx.obj.change("backup create")


@app.command("list", help=N_("List all backups, newest first, with how far each is proved."), cls=LookCommand)
def list_(ctx: typer.Context) -> None:
    """List the backups."""
    ctx.obj.show(backup.listed)


@app.command(help=N_("Show one backup: what it holds, when and how it was proved."), cls=LookCommand)
def show(ctx: typer.Context, identifier: BackupArgument = "latest") -> None:
    """Show one backup."""
    ctx.obj.show(lambda site: backup.shown(site, identifier))


@app.command(
    help=N_("Prove a backup: its sums, and that it can be read through to its end."), cls=ChangeCommand
)
def verify(
    ctx: typer.Context,
    identifier: Annotated[
        str | None,
        typer.Argument(
            metavar="[ID|latest]",
            help=N_("A backup of samaops backup list; the newest when absent."),
        ),
    ] = None,
    every: Annotated[bool, typer.Option(ALL, help=N_("All backups, one after the other."))] = False,
    grade: Annotated[
        Grade, typer.Option("--grade", help=N_("stored: its sums alone; readable: it is read too."))
    ] = Grade.READABLE,
) -> None:
    """Prove backups."""
    if every and identifier:
        raise UsageError(_("one backup, or --all"), hint="samaops backup list")
    ctx.obj.change("backup verify", ALL if every else identifier or "latest", "--grade", grade.value)


@app.command(help=N_("Restore a backup for a trial, compare it, and drop that again."), cls=ChangeCommand)
def drill(ctx: typer.Context, identifier: BackupArgument = "latest") -> None:
    """Try a backup."""
    ctx.obj.plan(lambda site: restoring.plan(site, trial.NAME, (identifier,), identifier))


@app.command(help=N_("Remove the backups that have expired by the configured policy."), cls=ChangeCommand)
def prune(ctx: typer.Context) -> None:
    """Remove what has expired."""
    ctx.obj.change("backup prune")


@app.command(help=N_("Keep a backup whatever its age."), cls=ChangeCommand)
def pin(
    ctx: typer.Context,
    identifier: BackupArgument,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help=N_("Why it is kept."))],
) -> None:
    """Keep a backup."""
    ctx.obj.change("backup pin", identifier, reason)


@app.command(help=N_("Let a backup that is pinned expire in its time again."), cls=ChangeCommand)
def unpin(ctx: typer.Context, identifier: BackupArgument) -> None:
    """Let a backup expire."""
    ctx.obj.change("backup unpin", identifier)


@app.command(
    cls=ChangeCommand,
    help=N_("Copy a backup to the other configured places, and see that it is whole there."),
)
def copy(
    ctx: typer.Context,
    identifier: Annotated[
        str | None,
        typer.Argument(
            metavar="[ID|latest]",
            help=N_("A backup of samaops backup list; the newest when absent."),
        ),
    ] = None,
    to: Annotated[
        str | None, typer.Option("--to", metavar="NAME", help=N_("Only to this place; to all when absent."))
    ] = None,
) -> None:
    """Copy a backup."""
    ctx.obj.change("backup copy", *((identifier,) if identifier else ()), *(("--to", to) if to else ()))


@app.command(
    cls=ChangeCommand,
    help=N_("Copy the objects of MinIO: what is new, beside what is there; nothing is deleted."),
)
def objects(ctx: typer.Context) -> None:
    """Copy the objects."""
    ctx.obj.change("backup objects")
