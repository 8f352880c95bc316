"""`samaops docs [PAGE]`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from samaops.cli import screen, stdout
from samaops.cli.options import ListOutputOption, completed_by
from samaops.cli.streams import say
from samaops.errors import UsageError
from samaops.i18n import N_, _
from samaops.render import document as face
from samaops.render import escape, json
from samaops.render.faces import Output
from samaops.workflows import documentation
from samaops.workflows.documentation import Page

app = typer.Typer(add_completion=False, context_settings={"help_option_names": ["-h", "--help"]})


@app.command()
def docs(
    page: Annotated[
        str | None,
        typer.Argument(
            metavar="[PAGE]",
            help=N_("A page, such as install; without: the list of all pages."),
            autocompletion=completed_by("documents"),
            show_default=False,
        ),
    ] = None,
    site: Annotated[
        Path | None,
        typer.Option(
            "--site", metavar="DIRECTORY", help=N_("Write all pages there, to be read in a browser.")
        ),
    ] = None,
    output: ListOutputOption = Output.HUMAN,
) -> None:
    """List the pages, show one, or write them all as a site."""
    if site is not None:
        if page is not None:
            raise UsageError(_("--site writes all pages: {page} goes without it").format(page=page))
        say(_("{path} is written").format(path=escape.plain(documentation.build(site))))
    elif page is None:
        screen.show_table(documentation.table(), output)
    else:
        _show(documentation.page(page), output)


def _show(page: Page, output: Output) -> None:
    """Show a page: paged and drawn on a terminal, else exactly as it is written."""
    if output is Output.JSON:
        stdout.write(json.text(face.document(page.name, page.title, page.text)))
        return
    if output not in (Output.HUMAN, Output.MARKDOWN):
        raise screen.no_form(output, "markdown")
    console, drawn = screen.console(), face.page(page.text)
    if output is Output.MARKDOWN or not console.is_terminal:
        stdout.write(page.text)
    elif len(console.render_lines(drawn)) < console.height:
        console.print(drawn)
    else:
        _prepare_pager(console.encoding)
        with console.pager(styles=not console.no_color):
            console.print(drawn)


def _prepare_pager(encoding: str) -> None:
    """Have less show colours as such, and letters too where the locale that is named is not installed."""
    os.environ.setdefault("LESS", "-R")
    if encoding.lower().startswith("utf"):
        os.environ.setdefault("LESSCHARSET", "utf-8")
