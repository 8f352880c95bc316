"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Annotated

import typer

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


def completed_by(name: str) -> Callable[[typer.Context, str], list[tuple[str, str]]]:
    """Return what completes a value by this function of ``completing``, which is imported when a shell asks."""

    def complete(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
        completer = getattr(import_module("samaops.cli.completing"), name)
        offered: list[tuple[str, str]] = completer(ctx, incomplete)
        return offered

    complete.__annotations__ = {"ctx": typer.Context, "incomplete": str}  # typer reads no names
    return complete
