"""`samaops silence`: that nobody is told of a finding for some time; list that, and end it."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import typer

from samaops.cli import moments, screen
from samaops.cli.changing import ChangeCommand, Changing
from samaops.cli.options import completed_by
from samaops.errors import UsageError
from samaops.i18n import N_, _
from samaops.workflows.notify import silences

app = typer.Typer(add_completion=False, context_settings={"help_option_names": ["-h", "--help"]})
_HINT = "samaops silence CODE --for 4h --reason 'TEXT', --list, --end NUMBER"


@app.command(cls=ChangeCommand)
def silence(
    ctx: typer.Context,
    code: Annotated[
        str | None,
        typer.Argument(
            metavar="[CODE]",
            help=N_("A check, or all under one: redis.memory.high, redis."),
            autocompletion=completed_by("selection"),
        ),
    ] = None,
    subject: Annotated[
        str | None,
        typer.Argument(metavar="[SUBJECT]", help=N_("Only this subject; all of the check when absent.")),
    ] = None,
    for_: Annotated[
        str | None, typer.Option("--for", metavar="TIME", help=N_("For how long: 30m, 4h, 3d."))
    ] = None,
    until: Annotated[
        str | None, typer.Option("--until", metavar="WHEN", help=N_("Until then: '2026-01-31 14:00'."))
    ] = None,
    reason: Annotated[
        str | None, typer.Option("--reason", metavar="TEXT", help=N_("Why nobody is told of it."))
    ] = None,
    is_listed: Annotated[
        bool, typer.Option("--list", help=N_("List the silences that hold, and the last that are over."))
    ] = False,
    end: Annotated[
        str | None, typer.Option("--end", metavar="NUMBER", help=N_("End this one of --list now."))
    ] = None,
) -> None:
    """Tell nobody of a finding for some time."""
    wanted: Changing = ctx.obj
    if sum((code is not None, is_listed, end is not None)) != 1:
        raise UsageError(_("a CODE to silence, or --list, or --end NUMBER"), hint=_HINT)
    if code is None:
        if any(each is not None for each in (subject, for_, until, reason)):
            raise UsageError(_("--for, --until and --reason need a CODE"), hint=_HINT)
        if end is not None:
            wanted.change("silence end", end)
        else:
            screen.show_table(silences.listed(wanted.site()), wanted.output)
        return
    if reason is None:
        raise UsageError(_("--reason: say why nobody is told of it"), hint=_HINT)
    ends = _ends(for_, until)
    wanted.plan(lambda site: silences.plan(site, code, subject or "", ends, reason))


def _ends(for_: str | None, until: str | None) -> datetime:
    """Return when a silence ends. Raises UsageError unless it was said in one way."""
    if for_ is not None and until is None:
        # The same words go back in time elsewhere.
        then, _then = moments.interval(for_, "--for")
        now = datetime.now().astimezone()
        return now + (now - then)
    if until is not None and for_ is None:
        return moments.interval(until, "--until")[1]
    raise UsageError(_("for how long: --for 2h, or --until '2026-01-31 14:00'"))
