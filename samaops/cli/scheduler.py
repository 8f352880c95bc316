"""`samaops schedule run` alone, without what the other commands of its group import."""

from __future__ import annotations

import typer

from samaops.cli import configuration_file, global_options, screen
from samaops.i18n import N_
from samaops.render import escape
from samaops.render.bulletin import bulletin
from samaops.workflows.schedule import foreground

HELP = N_("Be the scheduler, in the foreground: for systemd or a container.")
app = typer.Typer(
    no_args_is_help=True, add_completion=False, context_settings={"help_option_names": ["-h", "--help"]}
)


@app.callback()
def _group() -> None:
    """Keep the name of the command."""


@app.command(help=HELP)
def run(ctx: typer.Context) -> None:
    """Be the scheduler."""
    foreground.run(configuration_file.site(ctx.obj), tell, bulletin)


def tell(text: str) -> None:
    """Say on stderr what happens, unless quiet is asked for."""
    if not global_options.current().quiet:
        screen.console(stderr=True).print(f"samaops: {escape.command(text)}", soft_wrap=True)
