"""`samaops ssh SERVER [-- COMMAND]`."""

from __future__ import annotations

from typing import Annotated

import typer

from samaops.cli import configuration_file
from samaops.clients import interactive
from samaops.i18n import N_

app = typer.Typer(add_completion=False, context_settings={"help_option_names": ["-h", "--help"]})


@app.command()
def ssh(
    ctx: typer.Context,
    server: Annotated[str, typer.Argument(metavar="SERVER", help=N_("A server of the configuration."))],
    command: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[-- COMMAND]",
            help=N_(
                "What to run there: one word is a line for its shell, more are a program and its arguments. "
                "A log-in when absent. The exit code is that of the command; 255: ssh itself failed."
            ),
            show_default=False,
        ),
    ] = None,
) -> None:
    """Log in to a server, or run one command there."""
    site = configuration_file.site(ctx.obj, by_satellite=True)
    interactive.become(interactive.shell_of(site.settings, server, command or ()))
