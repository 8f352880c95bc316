"""Which version the format of a configuration has. There is one today: a file that says none is of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from samaops.errors import ConfigurationError
from samaops.i18n import _

KEY = "version"
KNOWN = 1
# The line that says it.
LINE = f"{KEY} = {KNOWN}"


def require_known(document: Mapping[str, Any], path: Path) -> None:
    """Raise ConfigurationError for a file that a newer samaops wrote: what else is in it cannot be judged."""
    version = document.get(KEY, KNOWN)
    if isinstance(version, int) and version > KNOWN:
        text = _(
            "{path}: its format is version {version}, and this samaops knows {known}: a newer one is needed"
        )
        raise ConfigurationError(
            text.format(path=path, version=version, known=KNOWN), hint="samaops --version"
        )


def place(text: str) -> int:
    """Return before which line (from 1) the version belongs: behind the comment at the beginning, before the first key."""
    after_blank = 1
    for number, line in enumerate(text.splitlines(), start=1):
        stripped = line.strip()
        if not stripped:
            after_blank = number + 1
        elif not stripped.startswith("#"):
            break
    return after_blank


def with_line(text: str, number: int) -> str:
    """Return a file with the version before one of its lines."""
    lines = text.splitlines(keepends=True)
    end = "\r\n" if text.count("\r\n") else "\n"
    if number > len(lines) and lines and not lines[-1].endswith("\n"):
        lines[-1] += end
    return "".join([*lines[: number - 1], f"{LINE}{end}", *lines[number - 1 :]])


def without_line(text: str, number: int) -> str:
    """Return a file without the version in one of its lines. Raises ValueError when another thing stands there."""
    lines = text.splitlines(keepends=True)
    if number > len(lines) or lines[number - 1].strip() != LINE:
        raise ValueError(number)
    return "".join([*lines[: number - 1], *lines[number:]])
