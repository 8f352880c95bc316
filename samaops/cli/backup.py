"""`samaops backup`: the backups."""

from __future__ import annotations

import typer

from samaops.changes.restoring.drill import NAME
from samaops.cli.changing import ChangeCommand
from samaops.cli.restore import LATEST, BackupArgument
from samaops.i18n import N_
from samaops.workflows import restoring

app = typer.Typer(
    no_args_is_help=True, add_completion=False, context_settings={"help_option_names": ["-h", "--help"]}
)


@app.callback()
def backup() -> None:
    """Hold the commands."""


@app.command(cls=ChangeCommand, help=N_("Restore a backup for a trial, compare it, and drop that again."))
def drill(ctx: typer.Context, backup: BackupArgument = LATEST) -> None:
    """Try a backup."""
    ctx.obj.plan(lambda site: restoring.plan(site, NAME, (backup,), backup))
