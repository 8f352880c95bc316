"""`samaops checklist`: the five checklists of going live."""

from __future__ import annotations

import sys
from datetime import datetime, timezone
from typing import Annotated

import typer

from samaops.cli import configuration_file, screen, stdout
from samaops.cli.changing import ChangeCommand, Changing
from samaops.cli.consent import ask
from samaops.cli.exit_codes import Answered
from samaops.cli.looking import LookCommand
from samaops.cli.options import ListOutputOption, completed_by
from samaops.cli.paging import Form, PageCommand, Paging
from samaops.config import checklists
from samaops.errors import UsageError
from samaops.i18n import N_, _
from samaops.journal.lock import this_process_now
from samaops.render import checklist as face
from samaops.render import json
from samaops.render import table as table_face
from samaops.render.faces import Output
from samaops.render.pages import html, text
from samaops.render.words import symbols_for
from samaops.workflows.checklist import listing, meeting
from samaops.workflows.checklist.listing import Answer

app = typer.Typer(
    no_args_is_help=True, add_completion=False, context_settings={"help_option_names": ["-h", "--help"]}
)
ListArgument = Annotated[
    str,
    typer.Argument(
        metavar="ID", help=N_("A list of samaops checklist list."), autocompletion=completed_by("checklists")
    ),
]
ItemArgument = Annotated[
    str, typer.Argument(metavar="ITEM", help=N_("An item of samaops checklist show ID."))
]
DeadlineOption = Annotated[
    float,
    typer.Option(
        "--deadline",
        metavar="SECONDS",
        min=1.0,
        max=600.0,
        help=N_("The answer comes by then, whatever hangs."),
    ),
]


@app.command(
    "list", help=N_("List the checklists: how many items each has, how many are closed."), cls=LookCommand
)
def list_(ctx: typer.Context) -> None:
    """List the checklists."""
    ctx.obj.show(listing.listed)


@app.command(help=N_("Show the items of a list, and what closes each; look at nothing."))
def show(ctx: typer.Context, checklist: ListArgument, output: ListOutputOption = Output.HUMAN) -> None:
    """Show a list."""
    _answer(Answer(listing.shown(configuration_file.site(ctx.obj), checklist)), output)


@app.command(help=N_("Look at what a list names, and say of each item how it is and what is next."))
def run(
    ctx: typer.Context,
    checklist: ListArgument,
    deadline: DeadlineOption = listing.DEADLINE_SECONDS,
    output: ListOutputOption = Output.HUMAN,
) -> None:
    """Look at a list."""
    checklists.named(checklist)
    site = configuration_file.site(ctx.obj)
    with screen.progress(_("Looking at everything…")):
        answer = listing.run(site, (checklist,), deadline)
    _answer(answer, output)


@app.command(
    help=N_(
        "The page for the meeting: go or no-go, and what is open. Without ID: the three lists before it."
    ),
    cls=PageCommand,
)
def report(
    ctx: typer.Context,
    checklist: Annotated[
        str,
        typer.Argument(metavar="[ID]", help=N_("One list alone."), autocompletion=completed_by("checklists")),
    ] = "",
    deadline: DeadlineOption = listing.DEADLINE_SECONDS,
) -> None:
    """Make the page."""
    wanted: Paging = ctx.obj
    names = (checklists.named(checklist).id,) if checklist else ()
    site = configuration_file.site(wanted.root)
    wanted.check()
    with screen.progress(_("Looking at everything…")):
        answer = listing.report(site, names, deadline)
    if wanted.form is Form.HUMAN and wanted.to is None:
        screen.show_screen(face.screen(answer.table, symbols_for(sys.stdout.encoding)))
    elif wanted.form is Form.JSON:
        wanted.write(json.text(table_face.document(answer.table)))
    else:
        page = meeting.page(site, answer.table, datetime.now(timezone.utc))
        wanted.write(html.render(page) if wanted.form is Form.HTML else text.markdown(page))
    raise typer.Exit(Answered(answer.exit_code))


@app.command(help=N_("Sign an item: who says so, and why. Taken back with samaops undo."), cls=ChangeCommand)
def sign(
    ctx: typer.Context,
    checklist: ListArgument,
    item: ItemArgument,
    note: Annotated[
        str | None,
        typer.Option(
            "--note", metavar="TEXT", help=N_("What was looked at, or agreed; asked for when absent.")
        ),
    ] = None,
    by: Annotated[
        str, typer.Option("--by", metavar="NAME", help=N_("Whose signature it is; yours when absent."))
    ] = "",
) -> None:
    """Sign an item."""
    ctx.obj.change("checklist sign", checklist, item, by or this_process_now().user, _noted(ctx.obj, note))


def _noted(wanted: Changing, note: str | None) -> str:
    """Return the note of a signature, asked for where somebody sits there. Raises UsageError without one."""
    if note is None and wanted.may_ask:
        return ask(_("What was looked at, or agreed"))
    if note is None:
        raise UsageError(_("--note: say what was looked at, or agreed"))
    return note


@app.command(help=N_("Take the signature of an item back."), cls=ChangeCommand)
def unsign(ctx: typer.Context, checklist: ListArgument, item: ItemArgument) -> None:
    """Take a signature back."""
    ctx.obj.change("checklist unsign", checklist, item)


@app.command(
    help=N_("Try load or a failure, on the lab or a test site alone, and keep the figures."),
    cls=ChangeCommand,
)
def measure(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help=N_("load, ramp, member or worker."))],
) -> None:
    """Measure."""
    ctx.obj.change("checklist measure", name)


def _answer(answer: Answer, output: Output) -> None:
    if output is Output.HUMAN:
        screen.show_screen(face.screen(answer.table, symbols_for(sys.stdout.encoding)))
    elif output is Output.MARKDOWN:
        stdout.write(face.markdown(answer.table))
    else:
        screen.show_table(answer.table, output)
    raise typer.Exit(Answered(answer.exit_code))
