"""What all commands share that look and answer with a list: the form of the answer, and looking again and again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer
from msgspec import Struct

from samaops.cli import configuration_file, repeat, screen
from samaops.cli.global_options import Globals
from samaops.cli.options import ListOutputOption, SharingCommand
from samaops.errors import UsageError
from samaops.i18n import N_, _
from samaops.model.status import NAGIOS_CODE, Status
from samaops.model.table import Table
from samaops.render.faces import Output
from samaops.site.site import Site

_LONGEST_WATCH_SECONDS = 3600.0
WatchOption = Annotated[
    float | None,
    typer.Option("--watch", metavar="[SECONDS]", help=N_("Look again and again, until Ctrl-C.")),
]


class Looking(Struct, frozen=True):
    """What the body of a looking command has as ``ctx.obj``: the site, and how the answer is wanted."""

    root: Globals
    output: Output
    watch: float | None

    def show(self, make: Callable[[Site], Table], latest: Callable[[], str] = str) -> None:
        """Look, and show the list; leave with its status, or unknown where a part of it could not be seen.

        ``latest`` says, to whoever watches a look that takes long, how far it has come.
        """
        site = configuration_file.site(self.root)
        if self.watch is not None:
            if not 0 < self.watch <= _LONGEST_WATCH_SECONDS:
                raise UsageError(
                    _("--watch: {seconds:g} is not between 0 and 3600").format(seconds=self.watch)
                )
            repeat.watch(lambda: make(site), self.watch, self.output, repeat.face_of_tables(self.output))
        with screen.progress(_("Looking…"), latest):
            table = make(site)
        status = (
            Status.UNKNOWN if not table.is_whole and table.status is not Status.CRITICAL else table.status
        )
        # As a report: of what is judged and well, -q says nothing.
        is_quiet = table.judges and status is Status.OK and self.root.quiet and self.output is Output.HUMAN
        if not is_quiet:
            screen.show_table(table, self.output)
        if status is not Status.OK:
            raise typer.Exit(NAGIOS_CODE[status])


_shared = typer.Typer(add_completion=False)


@_shared.command()
def _options(
    ctx: typer.Context, watch: WatchOption = None, output: ListOutputOption = Output.HUMAN
) -> Looking:
    """Hold the options of every looking command."""
    return Looking(ctx.obj, output, watch)


class LookCommand(SharingCommand, repeat.WatchCommand):
    """A command that looks and answers with a list: it has the options above, and ``Looking`` as its ``ctx.obj``."""

    shared = _shared
