"""What all commands that change something share: the plan shown, the consent, the change, the answer."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Annotated, NoReturn

import typer
from msgspec import Struct

from samaops.cli import configuration_file, questions, screen
from samaops.cli.answered import Answered
from samaops.clients import shells
from samaops.errors import RefusedError, SamaopsError, UsageError
from samaops.i18n import N_, _
from samaops.model.plan import Plan, Risk
from samaops.model.report import Report
from samaops.render import escape
from samaops.render.faces import Output
from samaops.render.layout import CommandLine
from samaops.render.words import symbols_for
from samaops.site.site import Site
from samaops.workflows import change

LONGEST_WAIT_SECONDS = 3600.0
DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help=N_("Show the plan that would be run; change nothing."))
]
YesOption = Annotated[
    bool, typer.Option("--yes", "-y", help=N_("Do not ask; never covers a plan that loses data."))
]
ConfirmOption = Annotated[
    str | None,
    typer.Option(
        "--confirm", metavar="NAME", help=N_("The target's name: confirms a plan that loses data too.")
    ),
]
WaitOption = Annotated[
    float, typer.Option("--wait", metavar="SECONDS", help=N_("How long to wait for the effect, at most."))
]


class Consent(Struct, frozen=True):
    """What the command line says about asking."""

    dry_run: bool = False
    yes: bool = False
    name: str | None = None
    wait_seconds: float = 60.0


def carry_out_verb(
    ctx: typer.Context, verb: str, words: Sequence[str], consent: Consent, output: Output, *, verbose: bool
) -> None:
    """Carry out a verb of ``samaops.changes.verbs`` with these arguments."""
    site = configuration_file.site(ctx.obj)
    carry_out(
        site,
        lambda: change.prepare(site, verb, words),
        consent,
        output,
        verbose=verbose or ctx.obj.verbose,
    )


def carry_out(
    site: Site,
    make: Callable[[], Plan],
    consent: Consent,
    output: Output,
    *,
    verbose: bool = False,
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
    check_wait(consent.wait_seconds)
    try:
        plan, obstacle = _look(site, make, consent)
    except SamaopsError as error:
        if within is None:
            raise
        _show_refused(within(change.not_planned(error)), output)
    if consent.dry_run or not plan.steps:
        planned = change.report_of(site, plan)
        screen.show(within(planned) if within else planned, output, verbose=verbose)
        _show_notes(plan, output)
        return
    try:
        if obstacle:
            raise obstacle
        obtain(plan, consent, lambda: show_plan(site, plan))
        with screen.progress(_("Changing, and looking whether it worked…")):
            report = apply(plan) if apply else change.apply(site, plan, consent.wait_seconds)
    except SamaopsError as error:
        if output is Output.HUMAN:
            raise
        refused = change.refused(site, plan, error)
        _show_refused(within(refused) if within else refused, output)
    if finish:
        finish(report)
    screen.show(within(report) if within else report, output, verbose=verbose)
    _show_notes(plan, output)
    if then and output is Output.HUMAN and not report.errors:
        _show_next(then)
    raise typer.Exit(Answered(report.errors[0].exit_code if report.errors else 0))


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


def obtain(plan: Plan, consent: Consent, show: Callable[[], None]) -> None:
    """Get the user's yes. Raises RefusedError without one.

    A plan that loses data needs the target's name, typed or given by ``--confirm``; ``--yes`` is not enough.
    """
    if consent.name is not None:
        if consent.name != plan.target:
            text = _("--confirm {name!r} is not the target's name, {target!r}; nothing was changed")
            raise RefusedError(text.format(name=consent.name, target=plan.target))
        return
    if consent.yes and plan.risk is not Risk.DESTRUCTIVE:
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise _not_asked(plan)
    show()
    if not _ask(plan):
        raise RefusedError(_("Not confirmed; nothing was changed"))


def _not_asked(plan: Plan) -> RefusedError:
    flag = f"--confirm {plan.target}" if plan.risk is Risk.DESTRUCTIVE else "--yes"
    hint = _("--dry-run shows the plan; {flag} runs it").format(flag=flag)
    return RefusedError(_("There is no terminal to ask at; nothing was changed"), hint=hint)


def _ask(plan: Plan) -> bool:
    if plan.risk is Risk.DESTRUCTIVE:
        question = _("Data will be lost. Type the name {target!r} to go on").format(target=plan.target)
        return questions.ask(question) == plan.target
    return questions.is_yes(_("Do this?"))


def show_plan(site: Site, plan: Plan) -> None:
    """Show the plan where the question is asked: stdout may be a file or a document for a program."""
    console = screen.console(stderr=True)
    console.print(screen.human(change.report_of(site, plan), verbose=False))
    for note in plan.notes:
        console.print(note)


def _show_next(command: str) -> None:
    said = _("the rest needs a moment; look again: ")
    screen.show_screen("")
    screen.show_screen(
        CommandLine(escape.command(command), prefix=f"{symbols_for(sys.stdout.encoding).arrow} {said}")
    )


def _show_notes(plan: Plan, output: Output) -> None:
    """Tell on stderr what people should know besides."""
    if output is Output.HUMAN:
        for note in plan.notes:
            screen.console(stderr=True).print(note)


def _show_refused(report: Report, output: Output) -> NoReturn:
    """Leave with a refusal: the plan that was not run as one document on stdout, the reason on stderr."""
    (error,) = report.errors
    screen.show(report, output)
    typer.echo(f"samaops: {escape.command(error.message)}", err=True)
    if error.hint:
        typer.echo(f"  -> {escape.command(error.hint)}", err=True)
    raise typer.Exit(error.exit_code)
