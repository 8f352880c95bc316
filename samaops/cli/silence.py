"""`samaops silence`: that nobody is told of a finding for some time; list that, and end it."""

from __future__ import annotations

from typing import Annotated

import typer

from samaops.cli import moments, screen
from samaops.cli.changing import ChangeCommand, Changing
from samaops.cli.options import completed_by
from samaops.errors import UsageError
from samaops.i18n import N_, _
from samaops.workflows.notify import silences

app = typer.Typer(add_completion=False, context_settings={"help_option_names": ["-h", "--help"]})
_HINT = "samaops silence --help"


@app.command(cls=ChangeCommand)
def silence(
    ctx: typer.Context,
    code: Annotated[
        str,
        typer.Argument(
            metavar="list|end|CODE",
            help=N_("A check, or all under one: redis.memory.high, redis; or list, or end NUMBER."),
            autocompletion=completed_by("selection"),
        ),
    ],
    subject: Annotated[
        str | None,
        typer.Argument(
            metavar="[SUBJECT|NUMBER]",
            help=N_("Only this subject, all of the check when absent; the silence that end is to end."),
        ),
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
) -> None:
    """Tell nobody of a finding for some time."""
    wanted: Changing = ctx.obj
    if code in ("list", "end"):
        if any(each is not None for each in (for_, until, reason)):
            raise UsageError(_("--for, --until and --reason need a CODE"), hint=_HINT)
        if (code == "end") != (subject is not None):
            raise UsageError(_("end needs the NUMBER of a silence, and list nothing"), hint=_HINT)
        if subject is not None:
            wanted.change("silence end", subject)
        else:
            screen.show_table(silences.listed(wanted.site()), wanted.output)
        return
    if reason is None:
        raise UsageError(_("--reason: say why nobody is told of it"), hint=_HINT)
    ends = moments.end(for_, until)
    wanted.plan(lambda site: silences.plan(site, code, subject or "", ends, reason))
