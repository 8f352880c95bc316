"""`samaops maintain`: what is done every day, so that nobody has to think of it."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from typing import Annotated

import typer

from samaops.cli import changing, configuration_file, screen, stdout, streams, textfile
from samaops.cli.consent import Consent, DryRunOption, YesOption, obtain
from samaops.cli.diagnose import exit_code
from samaops.cli.options import OutputOption, completed_by
from samaops.cli.textfile import TextfileOption
from samaops.errors import ConfigurationError, UsageError
from samaops.i18n import N_, _
from samaops.model.plan import Plan
from samaops.render import escape, json, tasks
from samaops.render.bulletin import bulletin
from samaops.render.faces import Output
from samaops.site.site import Site
from samaops.workflows.maintenance import routine
from samaops.workflows.maintenance.daily import DAILY

app = typer.Typer(
    no_args_is_help=True, add_completion=False, context_settings={"help_option_names": ["-h", "--help"]}
)


@app.command(help=N_("Do the daily tasks; says nothing when all is well, and tells somebody when it is not."))
def daily(
    ctx: typer.Context,
    only: Annotated[
        str,
        typer.Option(
            "--only",
            metavar="TASK,..",
            help=N_("Only these tasks, see samaops maintain list."),
            autocompletion=completed_by("tasks"),
        ),
    ] = "",
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    textfile_: TextfileOption = None,
    output: OutputOption = Output.HUMAN,
) -> None:
    """Do the daily tasks."""
    textfile.check(textfile_)
    names = tuple(name.strip() for name in only.split(",") if name.strip())
    is_watched = sys.stdin.isatty() and sys.stderr.isatty()
    request = routine.Request(
        lambda plan: _consent(site, plan, yes=yes),
        bulletin, names, dry_run=dry_run, note=_note, is_watched=is_watched,
    )  # fmt: skip
    try:
        site = configuration_file.site(ctx.obj)
    except ConfigurationError as error:
        routine.tell_failure(configuration_file.who_is_told(ctx.obj), DAILY, request, error)
        raise
    # a question cannot be asked on a line that moves
    may_ask = not (yes or dry_run) and sys.stdin.isatty()
    with nullcontext() if may_ask else screen.progress(_("Doing the daily tasks…")):
        outcome = routine.run(site, DAILY, request)
    code = outcome.exit_code if outcome.exit_code is not None else exit_code(outcome.report)
    is_verbose = ctx.obj.verbose
    failure = ""
    try:
        textfile.write(textfile_, outcome.report)
        for note in outcome.notes:
            _note(note)
        if code or is_verbose or dry_run or output is not Output.HUMAN:
            screen.show(outcome.report, output, verbose=is_verbose)
        sys.stdout.flush()
        unwritten = streams.lost(sys.stdout)
        if unwritten is not None and not isinstance(unwritten, BrokenPipeError):
            failure = type(unwritten).__name__
    except BaseException as error:
        failure = type(error).__name__
        raise
    finally:
        for note in outcome.end(failure):
            _note(note)
    raise typer.Exit(code)


def _note(text: str) -> None:
    screen.console(stderr=True).print(f"samaops: {escape.command(text)}", soft_wrap=True)


def _consent(site: Site, plan: Plan, *, yes: bool) -> None:
    obtain(plan, Consent(yes=yes), lambda: changing.show_plan(site, plan))


@app.command("list", help=N_("List the tasks and what each does."))
def list_(ctx: typer.Context, output: OutputOption = Output.HUMAN) -> None:  # noqa: ARG001 - a command's signature
    """List the tasks."""
    if output is Output.HUMAN:
        screen.show_screen(tasks.table(DAILY))
    elif output is Output.JSON:
        stdout.write(json.text(tasks.document(DAILY)))
    else:
        raise UsageError(_("this answer has no form {output}").format(output=output), hint="-o human|json")
