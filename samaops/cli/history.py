"""`samaops history`: what was changed."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Annotated

import typer
from rich.console import RenderableType

from samaops.cli import configuration_file, moments, screen, stdout
from samaops.cli.options import OutputOption, completed_by
from samaops.i18n import N_
from samaops.model.history import PastChange
from samaops.render import history as face
from samaops.render import json
from samaops.render.faces import Output
from samaops.workflows import history

app = typer.Typer(
    no_args_is_help=True, add_completion=False, context_settings={"help_option_names": ["-h", "--help"]}
)


class Result(str, Enum):
    """How a change ended."""

    VERIFIED = "verified"
    APPLIED = "applied"
    FAILED = "failed"
    REVERTED = "reverted"
    REFUSED = "refused"
    RUNNING = "running"
    INTERRUPTED = "interrupted"
    UNREADABLE = history.UNREADABLE


@app.command("list", help=N_("List the last changes, newest first, with how each ended."))
def list_(
    ctx: typer.Context,
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=1, help=N_("How many at most."))] = 20,
    since: Annotated[
        str | None,
        typer.Option(
            "--since", metavar="WHEN", help=N_("From then on: 2026-01-31, '2026-01-31 14:00', today, 2h, 7d.")
        ),
    ] = None,
    until: Annotated[
        str | None, typer.Option("--until", metavar="WHEN", help=N_("Up to then; a day is meant whole."))
    ] = None,
    kind: Annotated[
        str, typer.Option("--kind", metavar="VERB", help=N_("Only these: docker, 'docker restart', undo."))
    ] = "",
    server: Annotated[
        str, typer.Option("--server", metavar="SERVER", help=N_("Only those that touch this server."))
    ] = "",
    result: Annotated[Result | None, typer.Option("--result", help=N_("Only those that ended so."))] = None,
    output: OutputOption = Output.HUMAN,
) -> None:
    """List the last changes."""
    wanted = history.Wanted(
        since=moments.interval(since, "--since")[0] if since is not None else None,
        until=moments.interval(until, "--until")[1] if until is not None else None,
        kind=kind,
        server=server,
        result=result.value if result else "",
    )
    changes = history.changes(configuration_file.site(ctx.obj), limit, wanted)
    _show(changes, face.table(changes, is_filtered=wanted != history.ANY), output)


@app.command(help=N_("Show one change: every step, before and after."))
def show(
    ctx: typer.Context,
    change: Annotated[
        str,
        typer.Argument(
            metavar="ID|last",
            help=N_("A change of samaops history list; its beginning is enough."),
            autocompletion=completed_by("changes"),
        ),
    ],
    output: OutputOption = Output.HUMAN,
) -> None:
    """Show one change."""
    past_change = history.change(configuration_file.site(ctx.obj), change)
    _show((past_change,), face.page(past_change), output)


def _show(changes: Sequence[PastChange], page: RenderableType, output: Output) -> None:
    if output is Output.HUMAN:
        screen.show_screen(page)
    elif output is Output.JSON:
        stdout.write(json.text(face.document(changes)))
    else:
        raise screen.no_form(output)
