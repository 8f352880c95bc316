"""`samaops sites`."""

from __future__ import annotations

import typer

from samaops.cli import screen
from samaops.cli.options import ListOutputOption
from samaops.i18n import N_
from samaops.model.status import NAGIOS_CODE, Status
from samaops.render import words
from samaops.render.faces import Output
from samaops.workflows.sites import listed

app = typer.Typer(add_completion=False, context_settings={"help_option_names": ["-h", "--help"]})


@app.command(help=N_("List the sites: the file of each, whether it can be used, how the last look found it."))
def sites(output: ListOutputOption = Output.HUMAN) -> None:
    """List the sites."""
    table = listed.listed(words.status)
    screen.show_table(table, output)
    if not table.is_whole:
        raise typer.Exit(NAGIOS_CODE[Status.UNKNOWN])
