"""`samaops doctor`."""

from __future__ import annotations

import sys

import typer

from samaops.cli import configuration_file, exit_codes, log, screen
from samaops.cli.global_options import Globals
from samaops.cli.options import OutputOption
from samaops.config.load import Configuration
from samaops.errors import ConfigurationError
from samaops.i18n import N_, _
from samaops.render.faces import Output
from samaops.workflows import doctor as workflow

app = typer.Typer(add_completion=False, context_settings={"help_option_names": ["-h", "--help"]})


@app.command(help=N_("Look whether this machine has what samaops needs, and what to do where it has not."))
def doctor(ctx: typer.Context, output: OutputOption = Output.HUMAN) -> None:
    """Look at this machine."""
    configuration, problem = _read(ctx.obj)
    machine = workflow.Machine(
        configuration,
        problem,
        log_directory=log.path().parent,
        encoding=sys.stdout.encoding or "ascii",
        is_terminal=sys.stdin.isatty() and sys.stderr.isatty(),
    )
    with screen.progress(_("Looking at this machine…")):
        report = workflow.examine(machine)
    screen.show_checklist(report, output)
    raise typer.Exit(exit_codes.of_report(report))


def _read(globals_: Globals) -> tuple[Configuration | None, ConfigurationError | None]:
    try:
        return configuration_file.read(globals_), None
    except ConfigurationError as error:
        return None, error
