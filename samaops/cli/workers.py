"""`samaops workers`: the Celery workers."""

from __future__ import annotations

from typing import Annotated

import typer

from samaops.changes.celery.revoke import TERMINATE
from samaops.cli import configuration_file, screen
from samaops.cli.changing import ChangeCommand
from samaops.cli.options import ListOutputOption, completed_by
from samaops.errors import UsageError
from samaops.i18n import N_, _
from samaops.render.faces import Output
from samaops.workflows import workers

app = typer.Typer(
    no_args_is_help=True, add_completion=False, context_settings={"help_option_names": ["-h", "--help"]}
)


WorkerArgument = Annotated[
    str,
    typer.Argument(
        metavar="WORKER",
        help=N_("A worker that the configuration names."),
        autocompletion=completed_by("workers"),
    ),
]


@app.command("list", help=N_("List the workers: connected or not, what each consumes, how much it holds."))
def list_(ctx: typer.Context, output: ListOutputOption = Output.HUMAN) -> None:
    """List the workers."""
    screen.show_table(workers.listed(configuration_file.site(ctx.obj)), output)


@app.command(help=N_("List the queues with the workers that consume them, and those that must."))
def queues(ctx: typer.Context, output: ListOutputOption = Output.HUMAN) -> None:
    """List who consumes what."""
    screen.show_table(workers.queues(configuration_file.site(ctx.obj)), output)


@app.command(
    "add-queue", cls=ChangeCommand, help=N_("Let a running worker consume one more queue, until it restarts.")
)
def add_queue(
    ctx: typer.Context,
    worker: WorkerArgument,
    queue: Annotated[
        str,
        typer.Argument(
            metavar="QUEUE", help=N_("A queue that the broker has."), autocompletion=completed_by("queues")
        ),
    ],
) -> None:
    """Add a queue to a worker."""
    ctx.obj.change("workers add-queue", worker, queue)


@app.command(help=N_("Restart one worker warm: its tasks may end first."), cls=ChangeCommand)
def restart(
    ctx: typer.Context,
    worker: WorkerArgument,
) -> None:
    """Restart a worker."""
    ctx.obj.change("workers restart", worker)


@app.command(
    help=N_("Make a worker's pool larger (--add) or smaller (--remove), until it restarts."),
    cls=ChangeCommand,
)
def scale(
    ctx: typer.Context,
    worker: WorkerArgument,
    add: Annotated[int, typer.Option("--add", metavar="N", min=0, help=N_("So many more processes."))] = 0,
    remove: Annotated[
        int, typer.Option("--remove", metavar="N", min=0, help=N_("So many processes less."))
    ] = 0,
) -> None:
    """Scale a worker's pool."""
    if bool(add) == bool(remove):
        raise UsageError(_("Give one of {one} and {other}").format(one="--add N", other="--remove N"))
    ctx.obj.change("workers scale", worker, f"{add - remove:+d}")


@app.command(help=N_("Revoke a task in which a worker is stuck; its message is lost."), cls=ChangeCommand)
def revoke(
    ctx: typer.Context,
    task_id: Annotated[str, typer.Argument(metavar="ID", help=N_("The id of a task that is active."))],
    terminate: Annotated[
        bool, typer.Option("--terminate", help=N_("Kill its process; else it is dropped if it comes again."))
    ] = False,
) -> None:
    """Revoke a task."""
    ctx.obj.change("workers revoke", task_id, *([TERMINATE] if terminate else []))
