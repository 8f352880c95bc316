"""Looking more than once: ``--watch`` and ``--wait``."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any, NoReturn

import typer
from rich.console import Group
from rich.live import Live
from rich.text import Text
from typer.core import TyperCommand

from samaops.cli import screen, stdout, streams
from samaops.errors import UsageError
from samaops.i18n import _
from samaops.model.report import Report
from samaops.render.faces import Output

DEFAULT_WATCH_SECONDS = 5
# Between two looks of --wait: soon enough for a person, rare enough for the systems.
PAUSE_SECONDS = 2.0


class WatchCommand(TyperCommand):
    """A command whose ``--watch`` may stand without a number, which typer cannot say."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        arguments = []
        for place, word in enumerate(args):
            following = args[place + 1] if place + 1 < len(args) else ""
            is_bare = word == "--watch" and not following.replace(".", "", 1).isdigit()
            arguments.append(f"--watch={DEFAULT_WATCH_SECONDS}" if is_bare else word)
        return super().parse_args(ctx, arguments)


def until_healthy(look: Callable[[], Report], seconds: float, code_of: Callable[[Report], int]) -> Report:
    """Look until the exit code would be 0 or the time is over; return the last report."""
    ends_at = time.monotonic() + seconds
    with screen.progress(_("Waiting until all is well…")):
        while True:
            report = look()
            if code_of(report) == 0 or time.monotonic() + PAUSE_SECONDS >= ends_at:
                return report
            time.sleep(PAUSE_SECONDS)


def watch(look: Callable[[], Report], seconds: float, output: Output, *, verbose: bool) -> NoReturn:
    """Show a report again and again, in place on a terminal, one after the other elsewhere. Ends with Ctrl-C."""
    if output in (Output.JSON, Output.JUNIT):
        raise UsageError(
            _("-o {output} is one document; --watch would write many").format(output=output),
            hint="--wait SECONDS",
        )
    if output is Output.HUMAN and sys.stdout.isatty():
        _refresh(look, seconds, verbose=verbose)
    while not streams.lost(sys.stdout):
        screen.show(look(), output, verbose=verbose)
        stdout.write("\n")
        time.sleep(seconds)
    raise typer.Exit(0)  # whoever read has seen enough


def _refresh(look: Callable[[], Report], seconds: float, *, verbose: bool) -> None:
    console = screen.console()
    last: Report | None = None
    try:
        # Not redirected: what we ask of stdout (its encoding) must stay the terminal's.
        with Live(
            console=console, auto_refresh=False, screen=True, redirect_stdout=False, redirect_stderr=False
        ) as live:
            while not streams.lost(sys.stdout):
                last = look()
                every = _("{time}, every {seconds} s; Ctrl-C ends").format(
                    time=last.started_at.astimezone().strftime("%H:%M:%S"), seconds=f"{seconds:g}"
                )
                live.update(Group(Text(every, "dim"), screen.human(last, verbose=verbose)), refresh=True)
                time.sleep(seconds)
    finally:
        if last is not None:  # the alternate screen is gone: leave the last answer to be read
            console.print(screen.human(last, verbose=verbose))
