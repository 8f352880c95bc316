"""`samaops docker`: the containers."""

from __future__ import annotations

from typing import Annotated

import typer

from samaops.cli import changing
from samaops.cli.changing import ConfirmOption, Consent, DryRunOption, WaitOption, YesOption
from samaops.cli.options import OutputOption, VerboseOption
from samaops.i18n import N_
from samaops.render.faces import Output

app = typer.Typer(
    no_args_is_help=True, add_completion=False, context_settings={"help_option_names": ["-h", "--help"]}
)


@app.callback()
def docker() -> None:
    """Keep this a group, however few commands it has."""


@app.command(help=N_("Restart one container, or start it when it has ended, and see that it works again."))
def restart(
    ctx: typer.Context,
    container: Annotated[
        str, typer.Argument(metavar="CONTAINER", help=N_("A container that the configuration names."))
    ],
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    confirm: ConfirmOption = None,
    wait: WaitOption = 60.0,
    output: OutputOption = Output.HUMAN,
    verbose: VerboseOption = False,
) -> None:
    """Restart a container."""
    from samaops.workflows import change

    settings = ctx.obj.configuration().settings
    consent = Consent(dry_run, yes, confirm, wait)
    changing.carry_out(
        settings,
        lambda: change.prepare(settings, "docker restart", (container,)),
        consent,
        output,
        verbose=verbose or ctx.obj.verbose,
    )
