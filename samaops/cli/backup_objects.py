"""The commands about the objects of MinIO in ``samaops backup`` and ``samaops restore``."""

from __future__ import annotations

from typing import Annotated

import typer

from samaops.cli.changing import ChangeCommand
from samaops.i18n import N_
from samaops.workflows import objects as workflow

AsOfOption = Annotated[
    str,
    typer.Option(
        "--as-of", metavar="ID|DAY", help=N_("A run, or a day as 2026-11-27; the newest copy when absent.")
    ),
]
BucketOption = Annotated[
    str, typer.Option("--bucket", metavar="BUCKET", help=N_("Only those of this bucket."))
]
PrefixOption = Annotated[
    str, typer.Option("--prefix", metavar="TEXT", help=N_("Only those whose names begin so."))
]


def add_to_backup(app: typer.Typer) -> None:
    """Add the command that copies the objects."""

    @app.command(
        cls=ChangeCommand,
        help=N_("Copy the objects of MinIO: what is new, beside what is there; nothing is deleted."),
    )
    def objects(ctx: typer.Context) -> None:
        """Copy the objects."""
        ctx.obj.change("backup objects")


def add_to_restore(app: typer.Typer) -> None:
    """Add the command that puts objects back."""

    @app.command(
        cls=ChangeCommand,
        help=N_("Put back the objects that are missing or different as of a day; nothing is deleted."),
    )
    def objects(
        ctx: typer.Context, as_of: AsOfOption = "", bucket: BucketOption = "", prefix: PrefixOption = ""
    ) -> None:
        """Put objects back."""
        ctx.obj.plan(lambda site: workflow.prepare_restore(site, as_of, bucket, prefix))
