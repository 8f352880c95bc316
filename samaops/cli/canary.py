"""`samaops troubleshoot notifications --canary`: one marked message that FCM only validates, through every hop."""

from __future__ import annotations

import sys
from typing import NoReturn

import typer

from samaops.cli import changing, exit_codes, screen
from samaops.cli.changing import Changing
from samaops.cli.exit_codes import Answered
from samaops.errors import UsageError
from samaops.i18n import _
from samaops.model.report import Report
from samaops.render import canary as face
from samaops.render.faces import Output
from samaops.render.human import View
from samaops.render.words import symbols_for
from samaops.site.commands import samaops
from samaops.site.site import Site
from samaops.workflows.troubleshooting import canary
from samaops.workflows.troubleshooting.canary import PLAYBOOK


def run(site: Site, queue: str | None, wanted: Changing) -> None:
    """Plan a canary, ask, send it, follow it, and leave with the exit code of the worst hop."""
    wait_seconds = wanted.consent.wait_seconds
    changing.check_wait(wait_seconds)

    def finish(report: Report) -> NoReturn:
        _finish(site, report, wanted.output, wanted.verbose)

    with screen.progress(_("Looking before anything is sent…")):
        prepared = canary.prepare(site, queue, wait_seconds)
    if isinstance(prepared, Report):
        finish(prepared)
    changing.carry_out(
        site,
        lambda: prepared,
        wanted,
        apply=lambda plan: canary.send(site, plan, wait_seconds),
        finish=finish,
    )


def require_alone(playbook: str, queue: str | None, fix: str | None, *, is_asked: bool) -> None:
    """Refuse a canary together with a fix, or of another symptom, and a queue without a canary."""
    if not is_asked and queue is not None:
        raise UsageError(_("--queue is for --canary"))
    if is_asked and fix is not None:
        raise UsageError(_("--canary and --apply do not go together"))
    if is_asked and playbook != PLAYBOOK:
        raise UsageError(
            _("Only {playbook} has a canary").format(playbook=PLAYBOOK),
            hint=f"samaops troubleshoot {PLAYBOOK} --canary",
        )


def _finish(site: Site, report: Report, output: Output, verbose: bool) -> NoReturn:
    if output is not Output.HUMAN:
        screen.show(report, output)
    else:
        view = View(symbols_for(sys.stdout.encoding), verbose)
        journal = next((action.journal for action in report.actions if action.journal), None)
        journaled = samaops(site, f"history show {journal}") if journal else ""
        screen.show_screen(face.page(report, view, journaled))
    raise typer.Exit(Answered(exit_codes.of_report(report)))
