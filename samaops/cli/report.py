"""`samaops report`: availability, the guide's objectives, growth."""

from __future__ import annotations

import typer

from samaops.cli import report_pages
from samaops.cli.paging import PageCommand

app = typer.Typer(
    no_args_is_help=True, add_completion=False, context_settings={"help_option_names": ["-h", "--help"]}
)


app.command(help=report_pages.MONTHLY_HELP, cls=PageCommand)(report_pages.monthly)
app.command(help=report_pages.INCIDENT_HELP, cls=PageCommand)(report_pages.incident)
