"""`samaops disk`: who uses the disks of the servers, who grew, what can be given back, and a reserve."""

from __future__ import annotations

from typing import Annotated

import typer

from samaops.changes.disk.reserving import GIVEN_UP
from samaops.changes.disk.uploads import USUAL_HOURS
from samaops.cli import moments
from samaops.cli.changing import ChangeCommand
from samaops.cli.looking import LookCommand
from samaops.cli.options import completed_by
from samaops.errors import UsageError
from samaops.i18n import N_, _
from samaops.workflows import disk
from samaops.workflows.reports import growth

app = typer.Typer(
    no_args_is_help=True, add_completion=False, context_settings={"help_option_names": ["-h", "--help"]}
)
ServerOption = Annotated[
    str | None,
    typer.Option(
        "--server",
        metavar="SERVER",
        help=N_("One server; all when absent."),
        autocompletion=completed_by("servers"),
    ),
]


@app.command(help=N_("Show who uses the disks, the largest first, and whose it is."), cls=LookCommand)
def usage(
    ctx: typer.Context,
    path: Annotated[
        str | None,
        typer.Argument(metavar="[PATH]", help=N_("A directory; the disks themselves when absent.")),
    ] = None,
    server: ServerOption = None,
    limit: Annotated[
        int, typer.Option("--limit", metavar="N", min=1, max=300, help=N_("How many lines at most."))
    ] = 15,
) -> None:
    """Show who uses the disks."""
    ctx.obj.show(lambda site: disk.usage(site, server or "", path or "", limit))


@app.command(
    help=N_("Show which directories grew since an earlier look at the disks, and how soon they are full."),
    cls=LookCommand,
)
def grew(
    ctx: typer.Context,
    server: ServerOption = None,
    since: Annotated[
        str | None,
        typer.Option(
            "--since",
            metavar="WHEN",
            help=N_("Answer at once by what was kept since then, without a look: 7d, 2026-01-31."),
        ),
    ] = None,
) -> None:
    """Show who grew."""
    if since is None:
        ctx.obj.show(lambda site: disk.grew(site, server or ""))
        return
    begins = moments.interval(since, "--since")[0]
    ctx.obj.show(lambda site: growth.table(site, server or "", begins))


@app.command(
    help=N_("Give space back: each step says how much, and the disk is measured again after it."),
    cls=ChangeCommand,
)
def clean(
    ctx: typer.Context,
    server: ServerOption = None,
    only: Annotated[
        str | None,
        typer.Option(
            "--only",
            metavar="KIND,..",
            help=N_(
                "images, cache, packages, rotated, deleted; and what loses lines: journal, logs, container-logs."
            ),
        ),
    ] = None,
) -> None:
    """Give space back."""
    ctx.obj.change("disk clean", server or "", only or "")


@app.command(
    "abort-uploads",
    help=N_("Abort uploads to MinIO that were never finished: each by its name, none that is young."),
    cls=ChangeCommand,
)
def abort_uploads(
    ctx: typer.Context,
    bucket: Annotated[
        str | None, typer.Argument(metavar="[BUCKET]", help=N_("One bucket; all when absent."))
    ] = None,
    older_than: Annotated[
        int,
        typer.Option(
            "--older-than",
            metavar="HOURS",
            min=1,
            help=N_("Only those to which nothing came for so many hours."),
        ),
    ] = int(USUAL_HOURS),
) -> None:
    """Abort unfinished uploads."""
    ctx.obj.change("disk abort-uploads", bucket or "", str(older_than))


@app.command(
    help=N_("Keep a file on a disk that only takes space, to be given up in an emergency."),
    cls=ChangeCommand,
)
def reserve(
    ctx: typer.Context,
    server: Annotated[
        str,
        typer.Option(
            "--server", metavar="SERVER", help=N_("On which server."), autocompletion=completed_by("servers")
        ),
    ],
    mount: Annotated[
        str | None, typer.Option("--mount", metavar="MOUNT", help=N_("On which disk, where it has several."))
    ] = None,
    size: Annotated[
        str | None,
        typer.Option("--size", metavar="SIZE", help=N_("Such as 500M or 1G; 2 % of the disk when absent.")),
    ] = None,
    give_up: Annotated[
        bool, typer.Option(GIVEN_UP, help=N_("Give it up: its space is free at once."))
    ] = False,
) -> None:
    """Keep a reserve, or give it up."""
    if give_up and size:
        raise UsageError(_("--size or --give-up"), hint="samaops disk reserve --help")
    ctx.obj.change("disk reserve", server, mount or "", GIVEN_UP if give_up else size or "")
