"""`samaops history`: what was changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer
from rich.console import RenderableType

from samaops.cli import completing, configuration_file, screen, stdout
from samaops.cli.options import OutputOption
from samaops.errors import UsageError
from samaops.i18n import N_, _
from samaops.model.history import PastChange
from samaops.render import history as face
from samaops.render import json
from samaops.render.faces import Output
from samaops.workflows import history

app = typer.Typer(
    no_args_is_help=True, add_completion=False, context_settings={"help_option_names": ["-h", "--help"]}
)


@app.command("list", help=N_("List the last changes, newest first, with how each ended."))
def list_(
    ctx: typer.Context,
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=1, help=N_("How many at most."))] = 20,
    output: OutputOption = Output.HUMAN,
) -> None:
    """List the last changes."""
    changes = history.changes(configuration_file.site(ctx.obj), limit)
    _show(changes, face.table(changes), output)


@app.command(help=N_("Show one change: every step, before and after."))
def show(
    ctx: typer.Context,
    change: Annotated[
        str,
        typer.Argument(
            metavar="ID", help=N_("A change of samaops history list."), autocompletion=completing.changes
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
        raise UsageError(_("this answer has no form {output}").format(output=output), hint="-o human|json")
