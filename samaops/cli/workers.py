"""`samaops workers`: the Celery workers."""

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
def workers() -> None:
    """Keep this a group, however few commands it has."""


@app.command("add-queue", help=N_("Let a running worker consume one more queue, until it restarts."))
def add_queue(
    ctx: typer.Context,
    worker: Annotated[str, typer.Argument(metavar="WORKER", help=N_("A worker of [celery.workers]."))],
    queue: Annotated[str, typer.Argument(metavar="QUEUE", help=N_("A queue that the broker has."))],
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    confirm: ConfirmOption = None,
    wait: WaitOption = 60.0,
    output: OutputOption = Output.HUMAN,
    verbose: VerboseOption = False,
) -> None:
    """Add a queue to a worker."""
    from samaops.workflows import change

    settings = ctx.obj.configuration().settings
    consent = Consent(dry_run, yes, confirm, wait)
    changing.carry_out(
        settings,
        lambda: change.prepare(settings, "workers add-queue", (worker, queue)),
        consent,
        output,
        verbose=verbose or ctx.obj.verbose,
    )
