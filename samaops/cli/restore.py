"""`samaops restore`: bring a backup back: the database, a table of it, objects; and the way back from that."""

from __future__ import annotations

from datetime import timezone
from typing import Annotated

import typer

from samaops.changes.restoring import database, recovery, replaced
from samaops.changes.restoring import table as one_table
from samaops.cli import moments
from samaops.cli.changing import ChangeCommand
from samaops.cli.looking import LookCommand
from samaops.errors import UsageError
from samaops.i18n import N_, _
from samaops.workflows import objects as of_objects
from samaops.workflows import restoring, restoring_broker, restoring_config

app = typer.Typer(
    no_args_is_help=True, add_completion=False, context_settings={"help_option_names": ["-h", "--help"]}
)
LATEST = "latest"
HELP_OF_BACKUP = N_("A backup by its id or the beginning of it, a dump by its file's name, or latest.")
BackupArgument = Annotated[str, typer.Argument(metavar="BACKUP", help=HELP_OF_BACKUP, show_default=False)]
ToOption = Annotated[
    str | None,
    typer.Option(
        "--to",
        metavar="WHEN",
        help=N_("Instead of a backup: as it was at a moment, '2026-11-28 14:30:00' (pgBackRest)."),
    ),
]
NameArgument = Annotated[
    str,
    typer.Argument(metavar="NAME", help=N_("A database that samaops keeps, see samaops restore list.")),
]
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


@app.command(
    cls=ChangeCommand, help=N_("Put a backup in the place of the database; the old one is kept, closed.")
)
def db(
    ctx: typer.Context,
    backup: Annotated[str, typer.Argument(metavar="[BACKUP]", help=HELP_OF_BACKUP, show_default=False)] = "",
    to: ToOption = None,
) -> None:
    """Restore the database."""
    if bool(backup) == bool(to):
        raise UsageError(
            _("a backup, or --to and a moment"), hint="samaops restore db --to '2026-11-28 14:30'"
        )
    if not to:
        ctx.obj.plan(lambda site: restoring.plan(site, database.NAME, (backup,), backup))
        return
    moment = _moment(to)
    ctx.obj.plan(lambda site: restoring.plan(site, database.NAME, (recovery.TO, moment)))


def _moment(typed: str) -> str:
    """Return a moment as plans have it. Raises UsageError."""
    return moments.interval(typed, "--to")[0].astimezone(timezone.utc).isoformat(sep=" ")


@app.command(cls=ChangeCommand, help=N_("Put one table of a backup into the database, under a free name."))
def table(
    ctx: typer.Context,
    relation: Annotated[
        str,
        typer.Argument(
            metavar="TABLE", help=N_("A table of the backup: schema.name, or its name in public.")
        ),
    ],
    name: Annotated[
        str, typer.Option("--as", metavar="NAME", help=N_("How it is called in the live database."))
    ],
    backup: Annotated[
        str, typer.Option("--from", metavar="BACKUP", help=HELP_OF_BACKUP, show_default=LATEST)
    ] = "",
    where: Annotated[
        str,
        typer.Option("--where", metavar="CONDITION", help=N_("Only the rows for which this SQL is true.")),
    ] = "",
    to: ToOption = None,
) -> None:
    """Restore one table, or some of its rows."""
    if to and backup:
        raise UsageError(
            _("--from and a backup, or --to and a moment, not both"),
            hint="samaops restore table --help",
        )
    if to:
        arguments: tuple[str, ...] = (relation, name, "", where, _moment(to))
        ctx.obj.plan(lambda site: restoring.plan(site, one_table.NAME, arguments))
        return
    wanted = backup or LATEST
    arguments = (relation, name, wanted, *((where,) if where else ()))
    ctx.obj.plan(lambda site: restoring.plan(site, one_table.NAME, arguments, wanted))


@app.command(cls=ChangeCommand, help=N_("Put the database that was replaced last back in its place."))
def undo(
    ctx: typer.Context,
    name: Annotated[
        str,
        typer.Argument(
            metavar="[NAME]", help=N_("A replaced database; the newest when absent."), show_default=False
        ),
    ] = "",
) -> None:
    """Swap back."""
    ctx.obj.plan(lambda site: restoring.plan(site, replaced.BACK, (name,) if name else ()))


@app.command(cls=ChangeCommand, help=N_("Drop a database that was replaced, or is left of a restore."))
def forget(ctx: typer.Context, name: NameArgument) -> None:
    """Drop a kept database."""
    ctx.obj.plan(lambda site: restoring.plan(site, replaced.FORGET, (name,)))


@app.command("list", cls=LookCommand, help=N_("List the databases that were replaced, and when they may go."))
def kept(ctx: typer.Context) -> None:
    """List the databases of ours."""
    ctx.obj.show(restoring.databases)


@app.command(
    cls=ChangeCommand,
    help=N_("Put back the objects that are missing or different as of a day; nothing is deleted."),
)
def objects(
    ctx: typer.Context, as_of: AsOfOption = "", bucket: BucketOption = "", prefix: PrefixOption = ""
) -> None:
    """Put objects back."""
    ctx.obj.plan(lambda site: of_objects.prepare_restore(site, as_of, bucket, prefix))


@app.command(
    cls=ChangeCommand,
    help=N_("Put configuration files of the servers back from a backup; what they replace is kept."),
)
def config(
    ctx: typer.Context,
    paths: Annotated[
        list[str] | None,
        typer.Argument(metavar="[PATH]...", help=N_("Files by their paths; all that differ when absent.")),
    ] = None,
    backup: Annotated[str, typer.Option("--from", metavar="BACKUP", help=HELP_OF_BACKUP)] = LATEST,
    server: Annotated[
        str, typer.Option("--server", metavar="NAME", help=N_("Only those of this server."))
    ] = "",
) -> None:
    """Put configuration files back."""
    ctx.obj.plan(lambda site: restoring_config.plan(site, backup, server, tuple(paths or ())))


@app.command(
    cls=ChangeCommand,
    help=N_("Make again what RabbitMQ lacks of a backup: users, rights, queues, bindings, policies."),
)
def broker(
    ctx: typer.Context,
    kinds: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KIND]...", help=N_("Only these: vhosts, users, permissions, queues, ...")),
    ] = None,
    backup: Annotated[str, typer.Option("--from", metavar="BACKUP", help=HELP_OF_BACKUP)] = LATEST,
) -> None:
    """Make the broker's definitions again."""
    ctx.obj.plan(lambda site: restoring_broker.plan(site, backup, tuple(kinds or ())))
