"""`samaops docker`: the containers."""

from __future__ import annotations

from typing import Annotated

import typer

from samaops.changes.balancer.members import LEAST_SECONDS, MOST_SECONDS
from samaops.changes.docker.roll import API, WORKERS
from samaops.cli import configuration_file, moments, screen, stdout
from samaops.cli.changing import ChangeCommand
from samaops.cli.options import ListOutputOption, completed_by
from samaops.i18n import N_
from samaops.model.status import NAGIOS_CODE, Status
from samaops.model.table import Table
from samaops.render import escape
from samaops.render.faces import Output
from samaops.workflows import docker

app = typer.Typer(
    no_args_is_help=True, add_completion=False, context_settings={"help_option_names": ["-h", "--help"]}
)
ContainerArgument = Annotated[
    str,
    typer.Argument(
        metavar="CONTAINER",
        help=N_("A container that the configuration names."),
        autocompletion=completed_by("containers"),
    ),
]


@app.command(help=N_("List the containers of all servers: their state, since when, and their image."))
def ps(ctx: typer.Context, output: ListOutputOption = Output.HUMAN) -> None:
    """List the containers."""
    _show(docker.listed(configuration_file.site(ctx.obj)), output)


@app.command(help=N_("Measure what the containers of all servers use now."))
def stats(ctx: typer.Context, output: ListOutputOption = Output.HUMAN) -> None:
    """Measure the containers."""
    _show(docker.stats(configuration_file.site(ctx.obj)), output)


def _show(table: Table, output: Output) -> None:
    """Show a list; it is unknown when a server could not be looked at."""
    screen.show_table(table, output)
    if not docker.is_whole(table):
        raise typer.Exit(NAGIOS_CODE[Status.UNKNOWN])


@app.command(help=N_("Show the last lines of one container's log."))
def logs(
    ctx: typer.Context,
    container: ContainerArgument,
    tail: Annotated[
        int, typer.Option("--tail", metavar="N", min=1, max=10_000, help=N_("How many lines at most."))
    ] = 100,
    since: Annotated[
        str | None, typer.Option("--since", metavar="WHEN", help=N_("As docker has it: 15m, 2h, or a time."))
    ] = None,
    output: ListOutputOption = Output.HUMAN,
) -> None:
    """Show a log."""
    table = docker.logs(configuration_file.site(ctx.obj), container, tail, since)
    if output is not Output.HUMAN or not table.rows:
        screen.show_table(table, output)
        return
    for row in table.rows:
        stdout.write(f"{escape.plain(row['line'])}\n")


@app.command(
    help=N_("Remove the images that no container uses and no rollback needs; never a volume."),
    cls=ChangeCommand,
)
def cleanup(
    ctx: typer.Context,
    server: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[SERVER]...", help=N_("All servers when absent."), autocompletion=completed_by("servers")
        ),
    ] = None,
) -> None:
    """Remove images."""
    ctx.obj.change("docker cleanup", *(server or ()))


@app.command(
    "set-limit",
    help=N_("Let one container take more memory, within that of its server; it goes on running."),
    cls=ChangeCommand,
)
def set_limit(
    ctx: typer.Context,
    container: ContainerArgument,
    memory: Annotated[
        str, typer.Argument(metavar="MEMORY", help=N_("As docker has it: 512m, 2g. Never less than now."))
    ],
) -> None:
    """Raise a memory limit."""
    ctx.obj.change("docker set-limit", container, memory)


@app.command(
    help=N_("Restart one container, or start it when it has ended, and see that it works again."),
    cls=ChangeCommand,
)
def restart(
    ctx: typer.Context,
    container: ContainerArgument,
) -> None:
    """Restart a container."""
    ctx.obj.change("docker restart", container)


@app.command(
    help=N_("Restart the API's members or the workers by turns: enough of them serve all the time."),
    cls=ChangeCommand,
)
def roll(
    ctx: typer.Context,
    what: Annotated[
        str,
        typer.Argument(
            metavar=f"{API}|{WORKERS}",
            help=N_("Which of them; all that the configuration names."),
            autocompletion=completed_by("rolled"),
        ),
    ],
    limit: Annotated[
        str,
        typer.Option(
            "--limit",
            metavar="SERVER,..",
            help=N_("Only those on these servers."),
            autocompletion=completed_by("servers"),
        ),
    ] = "",
    serial: Annotated[int, typer.Option("--serial", metavar="N", min=1, help=N_("How many at once."))] = 1,
    healthy: Annotated[
        int | None,
        typer.Option(
            "--healthy",
            metavar="N",
            min=1,
            help=N_("How many stay well meanwhile, at least: all but one turn, when absent."),
        ),
    ] = None,
    within: Annotated[
        float | None,
        typer.Option(
            "--within",
            metavar="SECONDS",
            min=LEAST_SECONDS,
            max=MOST_SECONDS,
            help=N_("How long what one has under way is waited for, at most."),
        ),
    ] = None,
    started_before: Annotated[
        str | None,
        typer.Option(
            "--started-before",
            metavar="WHEN",
            help=N_("Only what runs since before then: goes on where an earlier one has stopped."),
        ),
    ] = None,
) -> None:
    """Restart by turns."""
    before = moments.interval(started_before, "--started-before")[0].isoformat() if started_before else ""
    numbers = (str(serial), "" if healthy is None else str(healthy), "" if within is None else f"{within:g}")
    ctx.obj.change("docker roll", what, limit, *numbers, before)
