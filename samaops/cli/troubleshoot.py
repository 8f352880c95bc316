"""`samaops troubleshoot`: one symptom, its cause, its fix, and the proof that it helped."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated, NoReturn

import typer
from msgspec.structs import replace
from rich.text import Text

from samaops.cli import canary as canaries
from samaops.cli import changing, configuration_file, questions, screen, stdout
from samaops.cli.changing import ConfirmOption, Consent, DryRunOption, YesOption
from samaops.cli.diagnose import exit_code
from samaops.cli.options import OutputOption, VerboseOption
from samaops.config import consistency
from samaops.errors import UsageError
from samaops.i18n import N_, _
from samaops.render import escape, json, words
from samaops.render import guide as face
from samaops.render.faces import Output
from samaops.render.layout import Hanging
from samaops.render.words import symbols_for
from samaops.site.commands import samaops
from samaops.site.site import Site
from samaops.workflows.troubleshooting import guide
from samaops.workflows.troubleshooting import troubleshoot as workflow
from samaops.workflows.troubleshooting.stations import PREFIX
from samaops.workflows.troubleshooting.troubleshoot import Diagnosis, Offer

_WAIT_SECONDS, _CANARY_WAIT_SECONDS = 60.0, 30.0

app = typer.Typer(add_completion=False, context_settings={"help_option_names": ["-h", "--help"]})


@app.command()
def troubleshoot(
    ctx: typer.Context,
    playbook: Annotated[
        str,
        typer.Argument(
            metavar="list|show|ID", help=N_("A playbook, such as notifications; or list, or show ID.")
        ),
    ],
    shown: Annotated[
        str | None, typer.Argument(metavar="[ID]", help=N_("The playbook that show prints."))
    ] = None,
    apply: Annotated[
        str | None, typer.Option("--apply", metavar="FIX", help=N_("Make this fix, after a yes."))
    ] = None,
    canary: Annotated[
        bool,
        typer.Option(
            "--canary",
            help=N_(
                "Send one marked message, which FCM only validates, through every hop; no phone gets it."
            ),
        ),
    ] = False,
    queue: Annotated[
        str | None,
        typer.Option("--queue", metavar="QUEUE", help=N_("The queue of the canary; normal when absent.")),
    ] = None,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    confirm: ConfirmOption = None,
    wait: Annotated[
        float | None,
        typer.Option(
            "--wait",
            metavar="SECONDS",
            help=N_("How long to wait for the effect, at most: 60 for a fix, 30 for a canary."),
        ),
    ] = None,
    output: OutputOption = Output.HUMAN,
    verbose: VerboseOption = False,
) -> None:
    """Find the cause of one symptom, and repair it."""
    site = configuration_file.site(ctx.obj)
    verbose = verbose or ctx.obj.verbose
    if (playbook == "show") != (shown is not None):
        raise UsageError(
            _("show needs the playbook to show, and nothing else takes one"), "samaops troubleshoot list"
        )
    canaries.require_alone(playbook, queue, apply, is_asked=canary)
    if canary:
        consent = Consent(dry_run, yes, confirm, _CANARY_WAIT_SECONDS if wait is None else wait)
        canaries.run(site, queue, consent, output, verbose=verbose)
    elif playbook == "list":
        _list(site, output)
    elif shown is not None:
        _show(site, shown, output)
    else:
        consent = Consent(dry_run, yes, confirm, _WAIT_SECONDS if wait is None else wait)
        _run(site, playbook, apply, _Manner(consent, output, verbose))


def _list(site: Site, output: Output) -> None:
    screen.show_table(guide.listed(site), output)


def _show(site: Site, name: str, output: Output) -> None:
    found = guide.guide_of(workflow.find(site, name), site)
    if output is Output.HUMAN:
        screen.show_screen(face.page(found))
    elif output is Output.JSON:
        stdout.write(json.text(face.document(found)))
    else:
        raise UsageError(_("this answer has no form {output}").format(output=output), hint="-o human|json")


class _Manner:
    """How the command line wants it: consent, form, length."""

    def __init__(self, consent: Consent, output: Output, verbose: bool) -> None:
        self.consent, self.output, self.verbose = consent, output, verbose

    @property
    def may_ask(self) -> bool:
        """Whether somebody sits there who could choose."""
        return (
            self.output is Output.HUMAN
            and not self.consent.dry_run
            and sys.stdin.isatty()
            and sys.stderr.isatty()
        )


def _run(site: Site, name: str, fix: str | None, manner: _Manner) -> None:
    with screen.progress(_("Following the way of a notification…")):
        diagnosis = workflow.run(site, name)
    if fix is not None:
        _require_known(diagnosis, fix)
    if fix is None or manner.output is Output.HUMAN:
        _show_diagnosis(diagnosis, manner)
    offer = diagnosis.offered(fix) if fix is not None else _chosen(diagnosis, manner)
    if offer is not None:
        _carry_out(site, diagnosis, offer, manner)
        return
    if fix is not None:
        _nothing_to_do(diagnosis, fix, manner)
        return
    _leave(diagnosis)


def _require_known(diagnosis: Diagnosis, fix: str) -> None:
    if fix not in diagnosis.playbook.fixes:
        text = _("The playbook {id} has no fix {fix!r}").format(id=diagnosis.playbook.id, fix=fix)
        raise UsageError(text, hint=consistency.not_one_of(fix, diagnosis.playbook.fixes))


def _show_diagnosis(diagnosis: Diagnosis, manner: _Manner) -> None:
    """Show what was found; to people the hops first, in their order, and not once more among the findings."""
    report = diagnosis.report
    if manner.output is Output.HUMAN and not manner.verbose:
        by_id = {one.subject.partition("/")[2]: one for one in report.findings if one.code.startswith(PREFIX)}
        ordered = [by_id[hop.id] for hop in diagnosis.playbook.hops]
        screen.show_screen(face.hop_lines(ordered, symbols_for(sys.stdout.encoding)))
        screen.show_screen("")
        findings = tuple(one for one in report.findings if not one.code.startswith(PREFIX))
        report = replace(report, findings=findings)
    screen.show(report, manner.output, verbose=manner.verbose)


def _chosen(diagnosis: Diagnosis, manner: _Manner) -> Offer | None:
    """Ask which fix to make, the least risky first; nobody has to choose one."""
    offers = [one for one in diagnosis.offers if not one.refusal]
    if not offers or not manner.may_ask:
        return None
    _show_menu(offers)
    return _single(offers[0]) if len(offers) == 1 else _numbered(offers)


def _show_menu(offers: Sequence[Offer]) -> None:
    console = screen.console(stderr=True)
    console.print("")
    for number, offer in enumerate(offers, start=1):
        mark = f"{number}. " if len(offers) > 1 else ""
        body = f"{escape.plain(offer.title)} ({words.risk(offer.fix.risk)})"
        console.print(Hanging(Text(mark), Text(body)))


def _single(offer: Offer) -> Offer | None:
    """Ask whether the only fix is wanted: its plan, which is asked for in its turn, or its text."""
    asked = _("Show this text?") if offer.text else _("Show the plan of this fix?")
    return offer if questions.is_yes(asked) else None


def _numbered(offers: Sequence[Offer]) -> Offer | None:
    question = _("Which one? (1-{count}, nothing for none)").format(count=len(offers))
    answer = questions.ask(question)
    if not answer:
        return None
    if not answer.isascii() or not answer.isdigit() or not 1 <= int(answer) <= len(offers):
        raise UsageError(_("{answer!r} is not one of them; nothing was changed").format(answer=answer))
    return offers[int(answer) - 1]


def _carry_out(site: Site, diagnosis: Diagnosis, offer: Offer, manner: _Manner) -> None:
    if offer.text:
        _show_text(diagnosis, offer, manner)
        _leave(diagnosis)
    if manner.output is Output.HUMAN:
        screen.show_screen("")
    is_shown = manner.output is Output.HUMAN
    changing.carry_out(
        site,
        lambda: workflow.prepare(site, offer),
        manner.consent,
        manner.output,
        verbose=manner.verbose,
        within=None if is_shown else lambda done: workflow.with_change(site, diagnosis, done),
        then=samaops(site, f"diagnose --wait {_WAIT_SECONDS:g}"),
    )


def _show_text(diagnosis: Diagnosis, offer: Offer, manner: _Manner) -> None:
    """Show what to send to those who can repair it: nothing of ours can."""
    if manner.output is Output.HUMAN:
        screen.show_screen("")
        for line in offer.text.splitlines():
            stdout.write(f"{escape.plain(line)}\n")
    else:
        screen.show(replace(diagnosis.report, answer=offer.text), manner.output)


def _nothing_to_do(diagnosis: Diagnosis, fix: str, manner: _Manner) -> None:
    text = _("Nothing to do: no cause that was found asks for {fix}").format(fix=fix)
    if manner.output is Output.HUMAN:
        typer.echo(text, err=True)
    else:
        screen.show(replace(diagnosis.report, answer=text), manner.output)


def _leave(diagnosis: Diagnosis) -> NoReturn:
    raise typer.Exit(exit_code(diagnosis.report))
