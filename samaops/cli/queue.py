"""`samaops queue`: RabbitMQ's queues."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from samaops.changes.rabbitmq.parking import ALL, GIVEN_BACK
from samaops.cli import configuration_file, screen
from samaops.cli.changing import ChangeCommand
from samaops.cli.options import ListOutputOption, completed_by
from samaops.errors import UsageError
from samaops.i18n import N_, _
from samaops.model.table import Column, Table
from samaops.render.faces import Output
from samaops.workflows import queues

app = typer.Typer(
    no_args_is_help=True, add_completion=False, context_settings={"help_option_names": ["-h", "--help"]}
)
QueueArgument = Annotated[
    str,
    typer.Argument(
        metavar="QUEUE",
        help=N_("A queue that the configuration names."),
        autocompletion=completed_by("queues"),
    ),
]
FileOption = Annotated[
    Path | None,
    typer.Option("--to", metavar="FILE", help=N_("A new file; under the state directory when absent.")),
]


@app.command("list", help=N_("List the queues: what waits, who consumes, how fast."))
def list_(ctx: typer.Context, output: ListOutputOption = Output.HUMAN) -> None:
    """List the queues."""
    screen.show_table(queues.listed(configuration_file.site(ctx.obj)), output)


@app.command(help=N_("Show the first messages of a queue; it keeps them."))
def peek(
    ctx: typer.Context,
    queue: QueueArgument,
    count: Annotated[
        int, typer.Option("--count", metavar="N", min=1, max=1000, help=N_("How many at most."))
    ] = 5,
    output: ListOutputOption = Output.HUMAN,
) -> None:
    """Show the first messages."""
    screen.show_table(queues.peek(configuration_file.site(ctx.obj), queue, count), output)


@app.command(help=N_("Write all messages that wait in a queue to a file; the queue keeps them."))
def export(
    ctx: typer.Context, queue: QueueArgument, to: FileOption = None, output: ListOutputOption = Output.HUMAN
) -> None:
    """Write the messages of a queue to a file."""
    count, path = queues.export(configuration_file.site(ctx.obj), queue, to)
    columns = (
        Column("queue", _("queue")),
        Column("messages", _("messages"), True),
        Column("file", _("file")),
    )
    row = {"queue": queue, "messages": count, "file": str(path)}
    screen.show_table(Table("export", columns, (row,), ""), output)


@app.command(help=N_("Take all messages that wait in a queue out of it, into a file."), cls=ChangeCommand)
def purge(
    ctx: typer.Context,
    queue: QueueArgument,
    to: FileOption = None,
) -> None:
    """Empty a queue into a file."""
    ctx.obj.change("queue purge", queue, str(to or queues.default_file(queue)))


@app.command(
    help=N_("Park a message that kills its process in a holding queue; all others stay."), cls=ChangeCommand
)
def park(
    ctx: typer.Context,
    queue: QueueArgument,
    message: Annotated[
        str | None, typer.Option("--message", metavar="ID", help=N_("The id of its Celery task."))
    ] = None,
    redelivered: Annotated[
        bool, typer.Option("--redelivered", help=N_("Whatever a worker gives back meanwhile, at most 10."))
    ] = False,
    to: Annotated[
        str, typer.Option("--to", metavar="HOLDING", help=N_("samaops.parked.QUEUE when absent."))
    ] = "",
    within: Annotated[
        float, typer.Option("--within", metavar="SECONDS", help=N_("How long to watch, 5 to 300."))
    ] = 30.0,
) -> None:
    """Park messages."""
    if bool(message) == redelivered:
        raise UsageError(_("Give one of {one} and {other}").format(one="--message ID", other="--redelivered"))
    words = (queue, message or GIVEN_BACK, to, f"{within:g}")
    ctx.obj.plan(lambda site: queues.plan_park(site, words))


@app.command(help=N_("Put what is parked back to the end of its queue."), cls=ChangeCommand)
def unpark(
    ctx: typer.Context,
    queue: QueueArgument,
    message: Annotated[
        str | None, typer.Option("--message", metavar="ID", help=N_("One task only; all when absent."))
    ] = None,
    source: Annotated[
        str, typer.Option("--from", metavar="HOLDING", help=N_("samaops.parked.QUEUE when absent."))
    ] = "",
) -> None:
    """Put parked messages back."""
    ctx.obj.change("queue unpark", queue, message or ALL, source)


@app.command("clear-policy", cls=ChangeCommand, help=N_("Clear the policy that makes a queue drop messages."))
def clear_policy(
    ctx: typer.Context,
    queue: QueueArgument,
) -> None:
    """Clear the policy that limits a queue."""
    ctx.obj.change("queue clear-policy", queue)


@app.command(
    "set-watermark",
    help=N_("Set the memory above which RabbitMQ blocks publishers, until it restarts."),
    cls=ChangeCommand,
)
def set_watermark(
    ctx: typer.Context,
    fraction: Annotated[
        float,
        typer.Argument(
            metavar="FRACTION", help=N_("Of the memory of its container, or of its host: 0.4, at most 0.7.")
        ),
    ],
) -> None:
    """Set the broker's memory watermark."""
    ctx.obj.change("queue set-watermark", f"{fraction:g}")
