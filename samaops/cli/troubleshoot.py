"""`samaops troubleshoot`: one symptom, its cause, its fix, and the proof that it helped."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from msgspec.structs import replace
from rich.text import Text

from samaops.cli import canary as canaries
from samaops.cli import changing, exit_codes, screen, stdout, symptoms
from samaops.cli.changing import ChangeCommand, Changing
from samaops.cli.consent import ask, is_yes
from samaops.cli.options import completed_by
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
from samaops.workflows.troubleshooting import bundle, guide, own_playbooks
from samaops.workflows.troubleshooting import troubleshoot as workflow
from samaops.workflows.troubleshooting.hops import prefix
from samaops.workflows.troubleshooting.troubleshoot import Diagnosis, Offer

_WAIT_SECONDS, _CANARY_WAIT_SECONDS = 60.0, 30.0

app = typer.Typer(add_completion=False, context_settings={"help_option_names": ["-h", "--help"]})


@app.command(cls=ChangeCommand)
def troubleshoot(
    ctx: typer.Context,
    playbook: Annotated[
        str | None,
        typer.Argument(
            metavar="[list|show|all|ID]",
            help=N_("A playbook, such as notifications; or list, show ID, all. Without: asked for."),
            autocompletion=completed_by("symptoms"),
        ),
    ] = None,
    shown: Annotated[
        str | None,
        typer.Argument(
            metavar="[ID]", help=N_("The playbook that show prints."), autocompletion=completed_by("symptoms")
        ),
    ] = None,
    apply: Annotated[
        str | None,
        typer.Option(
            "--apply",
            metavar="FIX",
            help=N_("Make this fix, after a yes."),
            autocompletion=completed_by("fixes"),
        ),
    ] = None,
    symptom: Annotated[
        str | None,
        typer.Option("--symptom", metavar="WORDS", help=N_("What people notice, in place of a playbook.")),
    ] = None,
    bundle_: Annotated[
        Path | None,
        typer.Option(
            "--bundle",
            metavar="FILE",
            help=N_("Keep what was seen, and what the containers concerned show, for others to read."),
        ),
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
        typer.Option(
            "--queue",
            metavar="QUEUE",
            help=N_("The queue of the canary; normal when absent."),
            autocompletion=completed_by("queues"),
        ),
    ] = None,
    wait: Annotated[
        float | None,
        typer.Option(
            "--wait",
            metavar="SECONDS",
            help=N_("How long to wait for the effect, at most: 60 for a fix, 30 for a canary."),
        ),
    ] = None,
) -> None:
    """Find the cause of one symptom, and repair it."""
    site = ctx.obj.site()
    for problem in own_playbooks.problems(site):
        typer.echo("samaops: " + escape.command(_("left out: {problem}").format(problem=problem)), err=True)
    usual_wait = _CANARY_WAIT_SECONDS if canary else _WAIT_SECONDS
    consent = replace(ctx.obj.consent, wait_seconds=usual_wait if wait is None else wait)
    wanted = replace(ctx.obj, consent=consent)
    if symptom is not None and playbook is not None:
        raise UsageError(_("--symptom stands in place of a playbook"), hint="samaops troubleshoot list")
    if playbook is None:
        canaries.require_alone("", queue, apply, is_asked=canary)
        playbook = symptoms.playbook_of(site, symptom, may_ask=wanted.may_ask)
    if bundle_ is not None and (canary or playbook in ("list", "show")):
        raise UsageError(_("--bundle needs a playbook that looks"), hint="samaops troubleshoot list")
    if (playbook == "show") != (shown is not None):
        raise UsageError(
            _("show needs the playbook to show, and nothing else takes one"), "samaops troubleshoot list"
        )
    canaries.require_alone(playbook, queue, apply, is_asked=canary)
    if canary:
        canaries.run(site, queue, wanted)
    elif playbook == "list":
        _list(site, wanted.output)
    elif shown is not None:
        _show(site, shown, wanted.output)
    else:
        _run(site, playbook, apply, wanted, bundle_)


def _list(site: Site, output: Output) -> None:
    screen.show_table(guide.listed(site), output)


def _show(site: Site, name: str, output: Output) -> None:
    playbook_guide = guide.guide_of(workflow.find(site, name), site)
    if output is Output.HUMAN:
        screen.show_screen(face.page(playbook_guide))
    elif output is Output.JSON:
        stdout.write(json.text(face.document(playbook_guide)))
    elif output is Output.MARKDOWN:
        stdout.write(face.markdown(playbook_guide))
    else:
        raise screen.no_form(output, "markdown")


def _run(site: Site, name: str, fix: str | None, wanted: Changing, file: Path | None) -> None:
    with screen.progress(_("Looking at what concerns {name}…").format(name=name)):
        diagnosis = workflow.run(site, name)
    if fix is not None:
        _require_known(diagnosis, fix)
    held = ""
    if file is not None:
        with screen.progress(_("Keeping what the containers show…")):
            held = bundle.write(file, site, diagnosis)
    if fix is None or wanted.output is Output.HUMAN:
        _show_diagnosis(diagnosis, wanted)
    if held:
        typer.echo(escape.plain(held), err=True)
    offer = diagnosis.offered(fix) if fix is not None else _chosen(diagnosis, wanted)
    if offer is not None:
        _carry_out(site, diagnosis, offer, wanted)
        return
    if fix is not None:
        _nothing_to_do(diagnosis, fix, wanted)
        return
    _leave(diagnosis)


def _require_known(diagnosis: Diagnosis, fix: str) -> None:
    if fix not in diagnosis.playbook.fixes:
        text = _("The playbook {id} has no fix {fix!r}").format(id=diagnosis.playbook.id, fix=fix)
        raise UsageError(text, hint=consistency.not_one_of(fix, diagnosis.playbook.fixes))


def _show_diagnosis(diagnosis: Diagnosis, wanted: Changing) -> None:
    """Show what was found; to people the hops first, in their order, and not once more among the findings."""
    report, beginning = diagnosis.report, prefix(diagnosis.playbook.id)
    if wanted.output is Output.HUMAN and not wanted.verbose:
        by_id = {
            finding.subject.partition("/")[2]: finding
            for finding in report.findings
            if finding.code.startswith(beginning)
        }
        ordered = [by_id[hop.id] for hop in diagnosis.playbook.hops]
        if ordered:
            screen.show_screen(face.hop_lines(ordered, symbols_for(sys.stdout.encoding)))
            screen.show_screen("")
        findings = tuple(finding for finding in report.findings if not finding.code.startswith(beginning))
        report = replace(report, findings=findings)
    screen.show(report, wanted.output, verbose=wanted.verbose)


def _chosen(diagnosis: Diagnosis, wanted: Changing) -> Offer | None:
    """Ask which fix to make, the least risky first; nobody has to choose one."""
    offers = [offer for offer in diagnosis.offers if not offer.refusal]
    if not offers or not wanted.may_ask:
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
    question = _("Show this text?") if offer.text else _("Show the plan of this fix?")
    return offer if is_yes(question) else None


def _numbered(offers: Sequence[Offer]) -> Offer | None:
    question = _("Which one? (1-{count}, nothing for none)").format(count=len(offers))
    answer = ask(question)
    if not answer:
        return None
    if not answer.isascii() or not answer.isdigit() or not 1 <= int(answer) <= len(offers):
        raise UsageError(_("{answer!r} is not one of them; nothing was changed").format(answer=answer))
    return offers[int(answer) - 1]


def _carry_out(site: Site, diagnosis: Diagnosis, offer: Offer, wanted: Changing) -> None:
    if offer.text:
        _show_text(site, diagnosis, offer, wanted)
        _leave(diagnosis)
    if wanted.output is Output.HUMAN:
        screen.show_screen("")
    is_shown = wanted.output is Output.HUMAN
    changing.carry_out(
        site,
        lambda: workflow.prepare(site, offer),
        wanted,
        within=None if is_shown else lambda done: workflow.with_change(site, diagnosis, done),
        then=samaops(site, f"diagnose --wait {_WAIT_SECONDS:g}"),
    )


def _show_text(site: Site, diagnosis: Diagnosis, offer: Offer, wanted: Changing) -> None:
    """Show what to send to those who can repair it: nothing of ours can."""
    if wanted.output is Output.HUMAN:
        screen.show_screen("")
        for line in offer.text.splitlines():
            stdout.write(f"{_as_typed(line, site)}\n")
    else:
        screen.show(replace(diagnosis.report, answer=offer.text), wanted.output)


def _as_typed(line: str, site: Site) -> str:
    """Return a line of such a text: a command of ours that stands alone chooses the same configuration, and is whole."""
    bare = line.lstrip(" ")
    indent = " " * (len(line) - len(bare))
    if bare.startswith("samaops "):
        return indent + escape.command(samaops(site, bare.removeprefix("samaops ")))
    return indent + escape.plain(line)


def _nothing_to_do(diagnosis: Diagnosis, fix: str, wanted: Changing) -> None:
    text = _("Nothing to do: no cause that was found asks for {fix}").format(fix=fix)
    if wanted.output is Output.HUMAN:
        typer.echo(text, err=True)
    else:
        screen.show(replace(diagnosis.report, answer=text), wanted.output)


def _leave(diagnosis: Diagnosis) -> NoReturn:
    raise typer.Exit(exit_codes.of_report(diagnosis.report))
