"""`samaops restore`: bring back what was lost."""

from __future__ import annotations

from typing import Annotated

import typer

from samaops.cli.changing import ChangeCommand
from samaops.i18n import N_
from samaops.workflows import objects as of_objects

app = typer.Typer(
    no_args_is_help=True, add_completion=False, context_settings={"help_option_names": ["-h", "--help"]}
)
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


@app.callback()
def _group() -> None:
    """Keep the group while it has one command."""


@app.command(
    cls=ChangeCommand,
    help=N_("Put back the objects that are missing or different as of a day; nothing is deleted."),
)
def objects(
    ctx: typer.Context, as_of: AsOfOption = "", bucket: BucketOption = "", prefix: PrefixOption = ""
) -> None:
    """Put objects back."""
    ctx.obj.plan(lambda site: of_objects.prepare_restore(site, as_of, bucket, prefix))
