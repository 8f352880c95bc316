"""Looking more than once: ``--watch`` and ``--wait``."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Generic, NoReturn, TypeVar

import typer
from msgspec import Struct
from rich.console import Group, RenderableType
from rich.live import Live
from rich.text import Text
from typer.core import TyperCommand

from samaops.cli import screen, stdout, streams
from samaops.errors import UsageError
from samaops.i18n import _
from samaops.model.report import Report
from samaops.model.table import Table
from samaops.render import changes
from samaops.render import table as table_face
from samaops.render.faces import Output
from samaops.render.words import symbols_for

DEFAULT_WATCH_SECONDS = 5
# Between two looks of --wait: soon enough for a person, rare enough for the systems.
PAUSE_SECONDS = 2.0
# The age of the answer is told in seconds; what has changed lately, in a few lines above the answer.
_DRAWN_PER_SECOND = 2
_MOST_CHANGES = 5
AnswerT = TypeVar("AnswerT")


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


class Face(Struct, Generic[AnswerT], frozen=True):
    """How an answer that is looked for again and again is shown.

    ``screen`` is what people see of it, ``show`` writes it to stdout in the form that was asked for, ``differences`` are
    the lines that say what has changed since the last one.
    """

    screen: Callable[[AnswerT], RenderableType]
    show: Callable[[AnswerT], None]
    differences: Callable[[AnswerT, AnswerT], Iterable[RenderableType]]


def face_of_reports(output: Output, *, verbose: bool) -> Face[Report]:
    """Return how reports are shown."""
    return Face(
        lambda report: screen.human(report, verbose=verbose),
        lambda report: screen.show(report, output, verbose=verbose),
        lambda last, report: changes.lines(last, report, symbols_for(sys.stdout.encoding)),
    )


def face_of_tables(output: Output) -> Face[Table]:
    """Return how lists are shown: as long as the screen, and all of it changes all the time."""
    return Face(table_face.screen, lambda table: screen.show_table(table, output), lambda _last, _table: ())


def watch(look: Callable[[], AnswerT], seconds: float, output: Output, face: Face[AnswerT]) -> NoReturn:
    """Show an answer again and again, in place on a terminal, one after the other elsewhere. Ends with Ctrl-C."""
    if output in (Output.JSON, Output.JUNIT):
        raise UsageError(
            _("-o {output} is one document; --watch would write many").format(output=output),
            hint="--wait SECONDS",
        )
    if output is Output.HUMAN and sys.stdout.isatty():
        _Watch(look, seconds, face).run()
    last: AnswerT | None = None
    while not streams.lost(sys.stdout):
        answer = look()
        if last is not None and output is Output.HUMAN:
            for line in face.differences(last, answer):
                screen.show_screen(line)
        face.show(answer)
        stdout.write("\n")
        last = answer
        time.sleep(seconds)
    raise typer.Exit(0)  # whoever read has seen enough


class _Watch(Generic[AnswerT]):
    """A screen that is drawn again while the looks go on: what is done now, how old the answer is, what has changed."""

    def __init__(self, look: Callable[[], AnswerT], seconds: float, face: Face[AnswerT]) -> None:
        self._look = look
        self._seconds = seconds
        self._face = face
        self._last: AnswerT | None = None
        self._seen_at = 0.0
        self._moment = ""
        self._is_looking = True
        self._changes: deque[RenderableType] = deque(maxlen=_MOST_CHANGES)

    def run(self) -> None:
        """Look again and again, until Ctrl-C; the last answer stays to be read."""
        console = screen.console()
        try:
            # Not redirected: what we ask of stdout (its encoding) must stay the terminal's.
            with Live(
                console=console,
                get_renderable=self._screen,
                refresh_per_second=_DRAWN_PER_SECOND,
                screen=True,
                redirect_stdout=False,
                redirect_stderr=False,
            ) as live:
                while not streams.lost(sys.stdout):
                    self._take(self._look())
                    live.refresh()
                    time.sleep(self._seconds)
                    self._is_looking = True
        finally:
            if self._last is not None:  # the alternate screen is gone
                console.print(self._face.screen(self._last))

    def _take(self, answer: AnswerT) -> None:
        if self._last is not None:
            self._changes.extendleft(self._face.differences(self._last, answer))
        self._last, self._seen_at, self._is_looking = answer, time.monotonic(), False
        self._moment = time.strftime("%H:%M:%S")

    def _screen(self) -> RenderableType:
        if self._last is None:
            return screen.Waiting(_("Looking at everything…"))
        age = time.monotonic() - self._seen_at
        seen = _("seen at {time}, {age:.0f} s ago").format(time=self._moment, age=age)
        now = (
            screen.Waiting(_("{seen}; looking again…").format(seen=seen))
            if self._is_looking
            else Text(
                _("{seen}; every {seconds:g} s; Ctrl-C ends").format(seen=seen, seconds=self._seconds), "dim"
            )
        )
        changed = [*self._changes, Text("")] if self._changes else []
        return Group(now, *changed, self._face.screen(self._last))
