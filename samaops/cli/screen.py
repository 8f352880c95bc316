"""Where an answer is written: stdout as a screen for people, or as exact bytes for machines."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from msgspec import Struct
from rich.console import Console, Group, RenderableType
from rich.text import Text

from samaops.cli import global_options
from samaops.cli.stdout import let_fit, write
from samaops.cli.streams import WIDEST
from samaops.collect import awaited
from samaops.errors import UsageError
from samaops.i18n import _, joined
from samaops.model.report import Report
from samaops.model.table import Table
from samaops.render import faces, json
from samaops.render import human as human_face
from samaops.render import table as table_face
from samaops.render.faces import Output
from samaops.render.layout import Screen
from samaops.render.words import symbols_for

# On a narrower screen, or where COLUMNS says nothing that can be meant, the terminal breaks the lines: text that has no
# room at all would be left out.
_NARROWEST = 40


def show(report: Report, output: Output, *, verbose: bool = False) -> None:
    """Write a report to stdout."""
    if output is Output.HUMAN:
        _show_to_people(report, verbose=verbose)
    else:
        write(faces.render(report, output))


def _show_to_people(report: Report, *, verbose: bool) -> None:
    """Print a report; where it is longer than the terminal, its answer stands at the end once more."""
    if global_options.current().quiet and report.is_well:
        return
    screen, content = console(), human(report, verbose=verbose)
    screen.print(content)
    if screen.is_terminal and len(screen.render_lines(content)) >= screen.height:
        screen.print(Group(Text(""), human(report, verbose=verbose, answer_only=True)))


def show_checklist(report: Report, output: Output) -> None:
    """Write a report of which every line counts: for people one under the other, else as any report."""
    if output is Output.HUMAN:
        view = human_face.View(symbols_for(sys.stdout.encoding))
        console().print(human_face.checklist(report, view))
    else:
        write(faces.render(report, output))


def human(report: Report, *, verbose: bool, answer_only: bool = False) -> RenderableType:
    """Return a report for the screen that stdout is."""
    view = human_face.View(symbols_for(sys.stdout.encoding), verbose)
    return human_face.once_more(report, view) if answer_only else human_face.render(report, view)


def show_screen(content: RenderableType) -> None:
    """Print something of rich to stdout: plain when it is no terminal, without colours for NO_COLOR."""
    console().print(content)


def show_table(table: Table, output: Output) -> None:
    """Write a list: for people as columns, for programs as JSON. Raises UsageError for another form."""
    if output is Output.HUMAN:
        show_screen(table_face.screen(table))
    elif output is Output.JSON:
        write(json.text(table_face.document(table)))
    elif output is Output.MARKDOWN:
        write(table_face.markdown(table))
    else:
        raise no_form(output, "markdown")


def no_form(output: Output, *others: str) -> UsageError:
    """Return that an answer has not this form, with those that it has."""
    forms = joined(f"-o {form}" for form in ("human", "json", *others))
    return UsageError(_("this answer has no form {output}").format(output=output), hint=forms)


def console(*, stderr: bool = False) -> Console:
    """Return a console for one of the streams; text is never taken for markup."""
    stream = sys.stderr if stderr else sys.stdout
    let_fit(stream)
    screen = Screen(stderr=stderr, highlight=False, markup=False, emoji=False)
    screen.width = max(_NARROWEST, min(screen.width, WIDEST))
    return screen


@contextmanager
def progress(message: str, latest: Callable[[], str] = str) -> Iterator[None]:
    """Show on stderr that work goes on, and how far it has come by ``latest``, when somebody watches."""
    if global_options.current().quiet or not sys.stderr.isatty():
        yield
        return
    with console(stderr=True).status(Waiting(message, latest)):
        yield


class Waiting(Struct, frozen=True):
    """What is done, and which systems it waits for now; one line, drawn again and again."""

    message: str
    latest: Callable[[], str] = str

    def __rich__(self) -> Text:
        if reached := self.latest():
            return Text(reached, no_wrap=True, overflow="ellipsis")
        names = ", ".join(awaited.systems())
        text = _("{message} waiting for {names}").format(message=self.message, names=names)
        return Text(text if names else self.message, no_wrap=True, overflow="ellipsis")
