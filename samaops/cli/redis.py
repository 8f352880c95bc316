"""`samaops redis`: Redis, by its own program."""

from __future__ import annotations

from typing import Annotated

import typer

from samaops.cli import configuration_file
from samaops.clients import interactive
from samaops.i18n import N_

app = typer.Typer(
    no_args_is_help=True, add_completion=False, context_settings={"help_option_names": ["-h", "--help"]}
)


@app.callback()
def redis() -> None:
    """Hold the group while it has one command."""


@app.command(help=N_("Run redis-cli on Redis, with the configured user and password."))
def cli(
    ctx: typer.Context,
    arguments: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[-- ARGUMENTS]", help=N_("Those of redis-cli: info memory."), show_default=False
        ),
    ] = None,
) -> None:
    """Run redis-cli."""
    interactive.become(interactive.redis_cli(configuration_file.site(ctx.obj).settings, arguments or ()))
