"""The few shapes a screen is built of. They hold plain text and styles, never markup."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from msgspec import Struct
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.segment import Segment
from rich.text import Text

from samaops.model import spaces
from samaops.render import escape, shell_lines


class Hanging(Struct, frozen=True):
    """A text after a prefix; where it wraps, the further lines stand under its beginning."""

    prefix: Text
    body: Text
    indent: int = 0

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        margin = self.indent + cell_len(self.prefix.plain)
        first = Text(" " * self.indent).append_text(self.prefix)
        body = self.body.copy()
        body.plain = spaces.held(body.plain)  # rich would break there, even at a no-break space
        for line in body.wrap(console, max(20, options.max_width - margin), overflow="fold"):
            line.rstrip()
            line.plain = spaces.released(line.plain)
            whole = first.append_text(line)
            whole.rstrip()
            yield Text(whole.plain, spans=whole.spans, no_wrap=True, overflow="fold")
            first = Text(" " * margin)


class CommandLine(Struct, frozen=True):
    """A command to type, on lines of its own, never shortened."""

    text: str
    prefix: str = ""
    indent: int = 0
    style: str = "bold cyan"

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        margin = self.indent + cell_len(self.prefix)
        first = " " * self.indent + self.prefix
        for line in shell_lines.wrap(self.text, max(20, options.max_width - margin)):
            # A word longer than the line is left to the terminal to break: copied, it is one word again.
            yield Text(first, no_wrap=True, overflow="ignore").append(line, self.style)
            first = " " * margin


class Screen(Console):
    """A console that cuts nothing off: lines are made to fit, and a command that cannot be is printed whole.

    Nothing but its own colours acts on the terminal: what whoever made a text has not escaped is escaped here.
    """

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Yield the pieces of what is printed, as rich does, each without what a terminal acts upon."""
        for segment in super().render(renderable, options):
            shown = segment.text if segment.control else escape.lines(segment.text)
            yield segment if shown == segment.text else Segment(shown, segment.style)

    def print(self, *objects: Any, **options: Any) -> None:
        """Print as rich does, without cropping."""
        super().print(*objects, **{"crop": False, **options})
