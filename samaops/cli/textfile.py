"""``--textfile``: a report for the textfile collector of Prometheus' node exporter, beside the answer on stdout."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from samaops.config.files import write_whole
from samaops.errors import UsageError, reason_of
from samaops.i18n import N_, _
from samaops.model.report import Report
from samaops.render import prometheus

# The node exporter runs as a user of its own, and looks at nothing that is named otherwise.
MODE, ENDING = 0o644, ".prom"
TextfileOption = Annotated[
    Path | None,
    typer.Option(
        "--textfile",
        metavar="FILE",
        help=N_("Write the Prometheus form to this file too, for the node exporter: a name in .prom."),
    ),
]


def check(path: Path | None) -> None:
    """Raise UsageError for a file that could not be written, or that nobody would read, before anything is done."""
    if path is None:
        return
    if path.suffix != ENDING:
        raise UsageError(
            _("--textfile: the node exporter reads only names that end in {ending}").format(ending=ENDING),
            hint=f"--textfile {path.with_suffix(ENDING) if path.name else f'samaops{ENDING}'}",
        )
    try:
        if path.exists() and not path.is_file():
            raise _unwritable(path, _("it is not a regular file"))
        if not path.parent.is_dir():
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        if not os.access(path.parent, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:  # who may not look into a directory cannot ask whether a file is in it
        raise _unwritable(path, reason_of(error)) from error


def write(path: Path | None, report: Report) -> None:
    """Replace the file whole, so that it is never read half. Raises UsageError."""
    if path is None:
        return
    check(path)
    try:
        write_whole(path, prometheus.render(report).encode("utf-8", "backslashreplace"), MODE)
    except OSError as error:
        raise _unwritable(path, reason_of(error)) from error


def written(look: Callable[[], Report], path: Path | None) -> Callable[[], Report]:
    """Return a look that also writes what it has found."""

    def look_and_write() -> Report:
        report = look()
        write(path, report)
        return report

    return look_and_write


def _unwritable(path: Path, reason: str) -> UsageError:
    return UsageError(_("{path} cannot be written: {reason}").format(path=path, reason=reason))
