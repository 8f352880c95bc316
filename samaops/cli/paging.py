"""What the commands share that answer with a report to read or hand on: its form, and the file that it goes to."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer
from msgspec import Struct

from samaops.cli import configuration_file, screen, stdout
from samaops.cli.exit_codes import Answered
from samaops.cli.global_options import Globals
from samaops.cli.options import SharingCommand
from samaops.config.files import write_whole
from samaops.errors import UsageError, reason_of
from samaops.i18n import N_, _
from samaops.model import page as pages
from samaops.model.page import Page
from samaops.model.status import NAGIOS_CODE, Status, worst
from samaops.model.table import Table
from samaops.render import escape, json
from samaops.render import table as table_face
from samaops.render.pages import html, text
from samaops.site.site import Site

# What is written is of the servers and their users: nobody else reads it.
_MODE = 0o600


class Form(str, Enum):
    """How a report is written."""

    HUMAN = "human"
    JSON = "json"
    MARKDOWN = "markdown"
    HTML = "html"

    def __str__(self) -> str:
        return self.value


FormOption = Annotated[
    Form,
    typer.Option("-o", "--output", metavar="FORM", help=N_("human, json, markdown or html.")),
]
ToOption = Annotated[
    Path | None,
    typer.Option("--to", metavar="FILE", help=N_("Write it to this file, that only you can read.")),
]


class Paging(Struct, frozen=True):
    """What the body of a reporting command has as ``ctx.obj``: the site, and how and where the answer is wanted."""

    root: Globals
    form: Form
    to: Path | None

    def show_page(self, make: Callable[[Site], Page]) -> None:
        """Make a page and show it; leave with its status."""
        site = configuration_file.site(self.root)
        self.check()
        with screen.progress(_("Looking…")):
            page = make(site)
        if self.form is Form.HUMAN and self.to is None:
            screen.show_screen(text.screen(page))
        else:
            self.write(_written(page, self.form))
        _leave(page.status, is_whole=page.is_whole)

    def show_table(self, make: Callable[[Site], Table], title: str) -> None:
        """Make a list and show it, under a title where it is a file; leave with its status."""
        site = configuration_file.site(self.root)
        self.check()
        with screen.progress(_("Looking…")):
            table = make(site)
        if self.form is Form.HUMAN and self.to is None:
            screen.show_screen(table_face.screen(table))
        elif self.form is Form.HTML:
            self.write(html.render_table(table, site.name, title))
        elif self.form is Form.JSON:
            self.write(json.text(table_face.document(table)))
        else:
            self.write(table_face.markdown(table))
        _leave(table.status, is_whole=table.is_whole)

    def check(self) -> None:
        """Raise UsageError for a file that could not be written, before anything is looked at."""
        if self.to is not None and not self.to.absolute().parent.is_dir():
            reason = _("there is no directory {path}").format(path=self.to.absolute().parent)
            raise UsageError(_("{path} cannot be written: {reason}").format(path=self.to, reason=reason))

    def write(self, written: str) -> None:
        """Write an answer where it is wanted. Raises UsageError where that is not possible."""
        if self.to is None:
            stdout.write(written)
            return
        try:
            write_whole(self.to, written.encode("utf-8", "backslashreplace"), _MODE)
        except OSError as error:
            message = _("{path} cannot be written: {reason}")
            raise UsageError(message.format(path=self.to, reason=reason_of(error))) from error
        sentence = _("written to {path}").format(path=self.to)
        screen.console(stderr=True).print(f"samaops: {escape.command(sentence)}", soft_wrap=True)


def _leave(status: Status, *, is_whole: bool) -> None:
    """Leave with the worst status: what the report says, and unknown where a part of it could not be seen."""
    code = NAGIOS_CODE[worst([status, Status.OK if is_whole else Status.UNKNOWN])]
    if code:
        raise typer.Exit(Answered(code))


def _written(page: Page, form: Form) -> str:
    if form is Form.JSON:
        return json.text(pages.document(page))
    return html.render(page) if form is Form.HTML else text.markdown(page)


_shared = typer.Typer(add_completion=False)


@_shared.command()
def _options(ctx: typer.Context, output: FormOption = Form.HUMAN, to: ToOption = None) -> Paging:
    """Hold the options of every reporting command."""
    return Paging(ctx.obj, output, to)


class PageCommand(SharingCommand):
    """A command that answers with a report: it has the options above, and ``Paging`` as its ``ctx.obj``."""

    shared = _shared
