"""What all commands that change something share: the plan shown, the consent, the change, the answer."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Annotated, NoReturn

import typer
from msgspec import Struct
from rich.console import Console
from rich.text import Text

from samaops.changes.run import progress
from samaops.cli import configuration_file, exit_codes, global_options, screen
from samaops.cli.consent import ConfirmOption, Consent, DryRunOption, YesOption, obtain
from samaops.cli.exit_codes import Answered
from samaops.cli.global_options import Globals
from samaops.cli.options import OutputOption, SharingCommand
from samaops.clients import shells
from samaops.errors import SamaopsError, UsageError
from samaops.i18n import N_, _
from samaops.model.plan import Plan
from samaops.model.report import Report
from samaops.model.status import NAGIOS_CODE
from samaops.render import escape
from samaops.render.faces import Output
from samaops.render.layout import CommandLine, Hanging
from samaops.render.words import symbols_for
from samaops.site.site import Site
from samaops.workflows import change

LONGEST_WAIT_SECONDS = 3600.0
WaitOption = Annotated[
    float, typer.Option("--wait", metavar="SECONDS", help=N_("How long to wait for the effect, at most."))
]


class Changing(Struct, frozen=True):
    """What the body of a changing command has as ``ctx.obj``: the site, and how the command line wants it changed."""

    root: Globals
    consent: Consent
    output: Output
    verbose: bool

    def site(self) -> Site:
        """Read and check the configuration, and return the site it is of."""
        return configuration_file.site(self.root)

    @property
    def may_ask(self) -> bool:
        """Whether somebody sits there who could choose."""
        is_seen = sys.stdin.isatty() and sys.stderr.isatty()
        return self.output is Output.HUMAN and not self.consent.dry_run and is_seen

    def change(self, verb: str, *arguments: str) -> None:
        """Carry out a verb of ``samaops.changes.verbs`` with these arguments."""
        self.plan(lambda site: change.prepare(site, verb, arguments))

    def plan(self, make: Callable[[Site], Plan]) -> None:
        """Carry out a plan, where making it is more than a verb."""
        site = self.site()
        carry_out(site, lambda: make(site), self)


_shared = typer.Typer(add_completion=False)


@_shared.command()
def _options(
    ctx: typer.Context,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    confirm: ConfirmOption = None,
    wait: WaitOption = 60.0,
    output: OutputOption = Output.HUMAN,
) -> Changing:
    """Hold the options of every changing command."""
    return Changing(ctx.obj, Consent(dry_run, yes, confirm, wait), output, ctx.obj.verbose)


class ChangeCommand(SharingCommand):
    """A command that changes something: it has the options above, and ``Changing`` as its ``ctx.obj``."""

    shared = _shared


def carry_out(
    site: Site,
    make: Callable[[], Plan],
    wanted: Changing,
    *,
    apply: Callable[[Plan], Report] | None = None,
    finish: Callable[[Report], NoReturn] | None = None,
    within: Callable[[Report], Report] | None = None,
    then: str = "",
) -> None:
    """Plan, show, ask, change, verify, answer; leave with the exit code of the contract.

    ``apply`` makes the change and ``finish`` shows how it went, where a command does these in a way of its own.
    ``within`` puts the report of the change, also of one that cannot be planned, into a larger one.
    ``then`` is the command that shows people, once all went well, what the change itself does not verify.
    """
    consent, output = wanted.consent, wanted.output
    place = within or (lambda report: report)
    check_wait(consent.wait_seconds)
    try:
        plan, obstacle = _look(site, make, consent)
    except SamaopsError as error:
        if within is None:
            raise
        _show_refused(within(change.not_planned(error)), output)
    if consent.dry_run or not plan.steps:
        report = place(change.report_of(site, plan))
        screen.show(report, output, verbose=wanted.verbose)
        _show_notes(plan, output)
        if plan.left_out:
            raise typer.Exit(Answered(NAGIOS_CODE[report.status]))
        return
    try:
        if obstacle:
            raise obstacle
        obtain(plan, consent, lambda: show_plan(site, plan))
        with screen.progress(_("Changing, and looking whether it worked…"), progress.latest):
            report = apply(plan) if apply else change.apply(site, plan, consent.wait_seconds)
    except SamaopsError as error:
        if output is Output.HUMAN:
            raise
        _show_refused(place(change.refused(site, plan, error)), output)
    if finish:
        finish(report)
    screen.show(place(report), output, verbose=wanted.verbose)
    _show_notes(plan, output)
    if then and output is Output.HUMAN and not report.errors and not global_options.current().quiet:
        _show_next(then)
    raise typer.Exit(Answered(exit_codes.of_report(report)))


def _look(site: Site, make: Callable[[], Plan], consent: Consent) -> tuple[Plan, SamaopsError | None]:
    """Return the plan, and what would stop it where it is to be made: one log-in on each server for both."""
    with shells.kept(), screen.progress(_("Looking before changing anything…")):
        plan = make()
        try:
            if plan.steps and not consent.dry_run:
                plan = change.require_possible(site, plan)
        except SamaopsError as error:
            return plan, error
        return plan, None


def check_wait(seconds: float) -> None:
    """Raise UsageError when a wait is too long, or none at all."""
    if not 0 <= seconds <= LONGEST_WAIT_SECONDS:
        raise UsageError(_("--wait: {seconds:g} is not between 0 and 3600").format(seconds=seconds))


def show_plan(site: Site, plan: Plan) -> None:
    """Show the plan where the question is asked: stdout may be a file or a document for a program."""
    console = screen.console(stderr=True)
    if global_options.current().site is not None:  # of several: whoever says yes sees which
        console.print(_("Site: {name}").format(name=site.name), style="bold")
    console.print(screen.human(change.report_of(site, plan), verbose=False))
    _print_notes(plan, console)


def _show_next(command: str) -> None:
    arrow = Text(f"{symbols_for(sys.stdout.encoding).arrow} ")
    screen.show_screen("")
    screen.show_screen(Hanging(arrow, Text(_("the rest needs a moment; look again:"))))
    screen.show_screen(CommandLine(escape.command(command), indent=5))


def _show_notes(plan: Plan, output: Output) -> None:
    """Tell on stderr what people should know besides."""
    if output is Output.HUMAN and not global_options.current().quiet:
        _print_notes(plan, screen.console(stderr=True))


def _print_notes(plan: Plan, console: Console) -> None:
    """Print what people should know besides; a note that is a command stands on a line of its own, to be copied."""
    for line in "\n".join(plan.notes).splitlines():
        is_command = line.startswith("samaops ")
        shown = CommandLine(escape.command(line), indent=2) if is_command else Hanging(Text(""), Text(line))
        console.print(shown)


def _show_refused(report: Report, output: Output) -> NoReturn:
    """Leave with a refusal: the plan that was not run as one document on stdout, the reason on stderr."""
    (error,) = report.errors
    screen.show(report, output)
    typer.echo(f"samaops: {escape.command(error.message)}", err=True)
    if error.hint:
        typer.echo(f"  -> {escape.command(error.hint)}", err=True)
    raise typer.Exit(error.exit_code)
