"""Put the line that says its version into the configuration file, or take it out of it."""

from __future__ import annotations

import os
import shlex
import stat
from pathlib import Path

from msgspec import convert

from samaops.changes.configuration.upgrade import VERSION_LINE, VersionLine
from samaops.changes.run.operations import runs
from samaops.clients.errors import ClientError
from samaops.config import files, versions
from samaops.errors import reason_of
from samaops.i18n import _
from samaops.model.failure import FailureKind
from samaops.model.plan import Operation, Outcome
from samaops.site.site import Site

_LARGEST_BYTES = 1_000_000


def _lines(operation: Operation, _site: Site) -> tuple[str, ...]:
    of = convert(operation.arguments, VersionLine)
    what = f"{of.number}d" if of.is_back else f"{of.number}i {versions.LINE}"
    return (f"sed -i {shlex.quote(what)} {shlex.quote(of.path)}",)


@runs(VERSION_LINE, lines=_lines)
def put_version_line(operation: Operation, _site: Site) -> Outcome:
    """Write the file, whole or not at all, with the owner and the rights that it has. Raises ClientError."""
    of = convert(operation.arguments, VersionLine)
    # Where it is a link, what it leads to is written.
    path = Path(of.path).resolve()
    try:
        content = files.read_trusted(path, _LARGEST_BYTES).decode("utf-8")
        change = versions.without_line if of.is_back else versions.with_line
        seen = path.stat()
        files.write_whole(path, change(content, of.number).encode(), stat.S_IMODE(seen.st_mode))
        written = path.stat()
        if (written.st_uid, written.st_gid) != (seen.st_uid, seen.st_gid):
            os.chown(path, seen.st_uid, seen.st_gid)
    except OSError as error:
        raise ClientError(FailureKind.PERMISSION, f"{path}: {reason_of(error)}", "write") from error
    except ValueError as error:
        raise ClientError(FailureKind.ERROR, f"{path}: " + _("it was changed meanwhile"), "read") from error
    return Outcome(True)
