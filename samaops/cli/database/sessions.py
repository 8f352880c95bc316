"""`samaops db cancel` and the other changes of single sessions."""

from __future__ import annotations

from typing import Annotated

import typer

from samaops.changes.postgresql.terminate import IDLE_IN_TRANSACTION, PREPARED, ROOT, VERB
from samaops.cli.changing import ChangeCommand
from samaops.cli.database.group import app
from samaops.errors import UsageError
from samaops.i18n import N_, _

PidArgument = Annotated[
    str, typer.Argument(metavar="PID", help=N_("The process number of a session, see samaops db activity."))
]


@app.command(help=N_("Cancel the statement that one session works on; the session stays."), cls=ChangeCommand)
def cancel(ctx: typer.Context, pid: PidArgument) -> None:
    """Cancel a statement."""
    ctx.obj.change("db cancel", pid)


@app.command(
    help=N_(
        "End a session: its statement is cancelled first, and the session ended where that does not help."
    ),
    cls=ChangeCommand,
)
def terminate(
    ctx: typer.Context,
    pid: Annotated[
        str | None,
        typer.Argument(metavar="PID", help=N_("The process number of a session."), show_default=False),
    ] = None,
    root: Annotated[
        bool, typer.Option("--root", help=N_("The one session that the others wait for, at last."))
    ] = False,
    idle: Annotated[
        int | None,
        typer.Option(
            "--idle-in-transaction",
            metavar="SECONDS",
            min=1,
            help=N_("Each that has done nothing in its open transaction for so long."),
        ),
    ] = None,
    prepared: Annotated[
        str | None,
        typer.Option("--prepared", metavar="GID", help=N_("A prepared transaction: it is rolled back.")),
    ] = None,
) -> None:
    """End one session, or several of a kind."""
    wanted = [
        words
        for words, is_given in (
            ((pid,), pid is not None),
            ((ROOT,), root),
            ((IDLE_IN_TRANSACTION, str(idle)), idle is not None),
            ((PREPARED, prepared), prepared is not None),
        )
        if is_given
    ]
    if len(wanted) != 1:
        raise UsageError(
            _("name one session: PID, --root, --idle-in-transaction SECONDS or --prepared GID"),
            hint="samaops db activity",
        )
    ctx.obj.change(VERB, *map(str, wanted[0]))
