"""`samaops undo ID`."""

from __future__ import annotations

from typing import Annotated

import typer

from samaops.cli import changing, configuration_file
from samaops.cli.changing import ConfirmOption, Consent, DryRunOption, WaitOption, YesOption
from samaops.cli.options import OutputOption, VerboseOption
from samaops.i18n import N_
from samaops.render.faces import Output
from samaops.workflows import history

app = typer.Typer(add_completion=False, context_settings={"help_option_names": ["-h", "--help"]})


@app.command()
def undo(
    ctx: typer.Context,
    change: Annotated[
        str, typer.Argument(metavar="ID", help=N_("A change of the history: samaops history list."))
    ],
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    confirm: ConfirmOption = None,
    wait: WaitOption = 60.0,
    output: OutputOption = Output.HUMAN,
    verbose: VerboseOption = False,
) -> None:
    """Take a change back."""
    site = configuration_file.site(ctx.obj)
    consent = Consent(dry_run, yes, confirm, wait)
    changing.carry_out(
        site,
        lambda: history.undo(site, change),
        consent,
        output,
        verbose=verbose or ctx.obj.verbose,
    )
