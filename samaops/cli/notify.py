"""`samaops notify`: who is told."""

from __future__ import annotations

from typing import Annotated

import typer

from samaops.cli import configuration_file, screen
from samaops.cli.consent import DryRunOption
from samaops.cli.exit_codes import Answered
from samaops.cli.options import ListOutputOption, completed_by
from samaops.errors import UNAVAILABLE
from samaops.i18n import N_, _
from samaops.model.status import NAGIOS_CODE, Status
from samaops.render.faces import Output
from samaops.workflows.notify import trying

app = typer.Typer(
    no_args_is_help=True, add_completion=False, context_settings={"help_option_names": ["-h", "--help"]}
)


@app.callback()
def _group() -> None:
    """Keep the name of the command."""


@app.command("test", help=N_("Send one message marked as a test by each channel, and say what was answered."))
def try_out(
    ctx: typer.Context,
    to: Annotated[
        str | None,
        typer.Option(
            "--to",
            metavar="CHANNEL",
            help=N_("Only this one: mail, slack, alertmanager, ping, or the name of a webhook."),
            autocompletion=completed_by("channels"),
        ),
    ] = None,
    dry_run: DryRunOption = False,
    output: ListOutputOption = Output.HUMAN,
) -> None:
    """Send a test."""
    site = configuration_file.site(ctx.obj)
    chosen = trying.channels(site, to)
    if dry_run:
        screen.show_table(trying.table_of(trying.planned(chosen), site), output)
        return
    with screen.progress(_("Telling…")):
        tried = trying.send(chosen)
    screen.show_table(trying.table_of(tried, site), output)
    failed = [each for each in tried if each.state == trying.FAILED]
    if failed:
        is_nobody_there = len(failed) == len(tried) and all(each.is_unreached for each in failed)
        raise typer.Exit(Answered(UNAVAILABLE if is_nobody_there else NAGIOS_CODE[Status.CRITICAL]))
