"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Annotated, Any, ClassVar

import typer
from typer.core import TyperCommand

from samaops.i18n import N_
from samaops.render.faces import Output

OutputOption = Annotated[
    Output,
    typer.Option(
        "-o",
        "--output",
        metavar="FORM",
        help=N_("human, json, nagios, prometheus, junit or markdown."),
    ),
]

# Of a list, see ``screen.show_table``.
ListOutputOption = Annotated[
    Output,
    typer.Option(
        "-o",
        "--output",
        metavar="FORM",
        help=N_("human, json or markdown."),
        autocompletion=lambda: ["human", "json", "markdown"],
    ),
]


def completed_by(name: str) -> Callable[[typer.Context, str], list[tuple[str, str]]]:
    """Return what completes a value by this function of ``completing``, which is imported when a shell asks."""

    def complete(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
        completer = getattr(import_module("samaops.cli.completing"), name)
        offered: list[tuple[str, str]] = completer(ctx, incomplete)
        return offered

    complete.__annotations__ = {"ctx": typer.Context, "incomplete": str}  # typer reads no names
    return complete


class SharingCommand(TyperCommand):
    """A command that has the options of ``shared``, whose function makes of them what the command has as ``ctx.obj``.

    An option of the same name that the command's function declares itself stands in place of the shared one.
    """

    shared: ClassVar[typer.Typer]

    def __init__(self, *args: Any, params: list[Any], **more: Any) -> None:
        self._holder = typer.main.get_command(self.shared)
        own = {param.name for param in params}
        self._names = [str(param.name) for param in self._holder.params if param.name not in own]
        added = [param for param in self._holder.params if param.name in self._names]
        super().__init__(*args, params=[*params, *added], **more)

    def invoke(self, ctx: Any) -> Any:
        values = {name: ctx.params.pop(name) for name in self._names}
        assert self._holder.callback is not None
        ctx.obj = self._holder.callback(**values)
        return super().invoke(ctx)
