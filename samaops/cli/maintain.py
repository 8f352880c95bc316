"""`samaops maintain`: what is done every day, week and month, so that nobody has to think of it."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer
from msgspec import Struct

from samaops.cli import (
    changing,
    configuration_file,
    exit_codes,
    report_pages,
    sampler,
    screen,
    stdout,
    streams,
    textfile,
)
from samaops.cli.consent import ConfirmOption, Consent, DryRunOption, YesOption, obtain
from samaops.cli.options import OutputOption, completed_by
from samaops.cli.textfile import TextfileOption
from samaops.errors import ConfigurationError
from samaops.i18n import N_, _
from samaops.model.plan import Plan, Risk
from samaops.model.routine import Routine
from samaops.render import escape, json, tasks
from samaops.render.bulletin import bulletin
from samaops.render.faces import Output
from samaops.site.site import Site
from samaops.workflows.maintenance import routine, routines
from samaops.workflows.maintenance.daily import DAILY
from samaops.workflows.maintenance.monthly import MONTHLY
from samaops.workflows.maintenance.request import Request
from samaops.workflows.maintenance.weekly import WEEKLY

app = typer.Typer(
    no_args_is_help=True, add_completion=False, context_settings={"help_option_names": ["-h", "--help"]}
)


OnlyOption = Annotated[
    str,
    typer.Option(
        "--only",
        metavar="TASK,..",
        help=N_("Only these tasks, see samaops maintain list."),
        autocompletion=completed_by("tasks"),
    ),
]


@app.command(help=N_("Do the daily tasks; says nothing when all is well, and tells somebody when it is not."))
def daily(
    ctx: typer.Context,
    only: OnlyOption = "",
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    textfile_: TextfileOption = None,
    output: OutputOption = Output.HUMAN,
) -> None:
    """Do the daily tasks."""
    _do(ctx, DAILY, _Asked(_names(only), Consent(dry_run, yes), textfile_, output))


@app.command(
    help=N_("Do the weekly tasks: compare with last week, tend the database, remove what has expired.")
)
def weekly(
    ctx: typer.Context,
    only: OnlyOption = "",
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    confirm: ConfirmOption = None,
    textfile_: TextfileOption = None,
    output: OutputOption = Output.HUMAN,
) -> None:
    """Do the weekly tasks."""
    _do(ctx, WEEKLY, _Asked(_names(only), Consent(dry_run, yes, confirm), textfile_, output))


@app.command(
    help=N_(
        "Do the monthly tasks: updates, an audit, who may log in, a restore for a trial; rebuild what needs it."
    )
)
def monthly(
    ctx: typer.Context,
    only: OnlyOption = "",
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    textfile_: TextfileOption = None,
    output: OutputOption = Output.HUMAN,
) -> None:
    """Do the monthly tasks."""
    _do(ctx, MONTHLY, _Asked(_names(only), Consent(dry_run, yes), textfile_, output))


@app.command(help=N_("Do one task of samaops maintain list."))
def run(
    ctx: typer.Context,
    task: Annotated[
        str,
        typer.Argument(
            metavar="TASK",
            help=N_("Its name, see samaops maintain list."),
            autocompletion=completed_by("tasks"),
        ),
    ],
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    confirm: ConfirmOption = None,
    textfile_: TextfileOption = None,
    output: OutputOption = Output.HUMAN,
) -> None:
    """Do one task."""
    _do(ctx, routines.routine_of(task), _Asked((task,), Consent(dry_run, yes, confirm), textfile_, output))


app.command(help=sampler.HELP)(sampler.sample)


class _Asked(Struct, frozen=True):
    """What is asked for: which tasks (none: all), what may be done, and where and how the answer goes."""

    only: tuple[str, ...]
    consent: Consent
    textfile: Path | None
    output: Output


def _names(only: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in only.split(",") if name.strip())


def _do(ctx: typer.Context, of: Routine, asked: _Asked) -> None:
    textfile.check(asked.textfile)
    dry_run, yes = asked.consent.dry_run, asked.consent.yes
    is_watched = sys.stdin.isatty() and sys.stderr.isatty()
    request = Request(
        lambda plan: _consent(site, plan, asked.consent),
        bulletin, asked.only, dry_run=dry_run, note=_note, is_watched=is_watched, last=report_pages.deliver,
    )  # fmt: skip
    try:
        site = configuration_file.site(ctx.obj)
    except ConfigurationError as error:
        routine.tell_failure(configuration_file.who_is_told(ctx.obj), of, request, error)
        raise
    # a question cannot be asked on a line that moves
    may_ask = not (yes or dry_run) and sys.stdin.isatty()
    with nullcontext() if may_ask else screen.progress(_("{routine}…").format(routine=_(of.title))):
        outcome = routine.run(site, of, request)
    code = outcome.exit_code if outcome.exit_code is not None else exit_codes.of_report(outcome.report)
    is_verbose = ctx.obj.verbose
    failure = ""
    try:
        textfile.write(asked.textfile, outcome.report)
        for note in outcome.notes:
            _note(note)
        if code or is_verbose or dry_run or asked.output is not Output.HUMAN:
            screen.show(outcome.report, asked.output, verbose=is_verbose)
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


def _consent(site: Site, plan: Plan, consent: Consent) -> None:
    """Get the yes to one of several plans: ``--confirm`` is for those that lose data, ``--yes`` for the others."""
    if plan.risk is not Risk.DESTRUCTIVE:
        consent = Consent(yes=consent.yes or consent.name is not None)
    obtain(plan, consent, lambda: changing.show_plan(site, plan))


@app.command("list", help=N_("List the tasks, what each does, when it was done last and how that ended."))
def list_(ctx: typer.Context, output: OutputOption = Output.HUMAN) -> None:
    """List the tasks."""
    if output not in (Output.HUMAN, Output.JSON):
        raise screen.no_form(output)
    listed, reason = routines.listed(_site(ctx))
    if output is Output.HUMAN:
        screen.show_screen(tasks.table(listed))
    else:
        stdout.write(json.text(tasks.document(listed)))
    if reason:
        _note(_("When they were done last is not known: {reason}").format(reason=reason))
        raise typer.Exit(3)


def _site(ctx: typer.Context) -> Site | None:
    """Return the site; None where none is configured yet: what there is to do is told all the same."""
    try:
        return configuration_file.site(ctx.obj)
    except ConfigurationError:
        return None
