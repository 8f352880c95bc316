"""Take a line of samaops as the shell would hand it over, down to its last command, which is not run."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any
from unittest.mock import patch

from samaops.cli import app


@cache
def _root() -> Any:
    return app.command()


# A group is built anew for every run, of which a process has one. Its help is in the language of whoever asked first.
_load = cache(app._load)


def take(words: Sequence[str]) -> None:
    """Raises whatever the command line refuses these words with."""
    with patch.object(app, "_load", _load):
        current = _root()
        context = current.make_context("samaops", list(words))
        while hasattr(current, "resolve_command"):
            remaining = [*context._protected_args, *context.args]
            name, current, remaining = current.resolve_command(context, remaining)
            context = current.make_context(name, remaining, parent=context)
