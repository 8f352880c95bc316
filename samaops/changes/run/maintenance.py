"""Rotate one log on its server."""

from __future__ import annotations

import shlex
from pathlib import Path

from msgspec import convert

from samaops.changes.maintenance.rotation import ROTATE, Rotating
from samaops.changes.run.operations import runs
from samaops.clients.errors import ClientError
from samaops.clients.shells import ShellPool
from samaops.facts.maintenance_week import COLLAPSE
from samaops.i18n import _
from samaops.model.failure import FailureKind
from samaops.model.plan import Operation, Outcome
from samaops.site.commands import on_server
from samaops.site.shell_words import operands
from samaops.site.site import Site

_MARK = "samaops-rotation: "
_SCRIPT = Path(__file__).with_suffix(".sh")


def _lines(operation: Operation, site: Site) -> tuple[str, ...]:
    """Show it as a person would type it, without what proves that nothing is lost."""
    of = convert(operation.arguments, Rotating)
    place = f"{of.directory.rstrip('/')}/{of.name}"
    old = f"{place}-{of.stamp}" if of.is_current else place
    if of.method == COLLAPSE:
        commands = [
            f"size=$(($(stat -c %s {operands(place)}) / {of.block_bytes} * {of.block_bytes}))"
            f" && head -c $size {operands(place)} | gzip > {operands(old + '.gz')}"
            f" && fallocate --collapse-range --offset 0 --length $size {operands(place)}"
        ]
    else:
        commands = [f"mv -n {operands(place, old)}"] if of.is_current else []
        commands += [of.reopen] if of.reopen else []
        commands.append(f"gzip {operands(old)}")
    return tuple(on_server(site, operation.server, command) for command in commands)


@runs(ROTATE, lines=_lines)
def rotate(operation: Operation, site: Site) -> Outcome:
    """Rotate a log. Raises ClientError."""
    of = convert(operation.arguments, Rotating)
    if operation.server is None:
        raise ClientError(FailureKind.MISSING, _("no server is named"), "shell")
    words = shlex.join(
        (of.directory, of.name, str(of.inode), of.method, str(int(of.is_current)), of.stamp,
         str(of.block_bytes), of.reopen)
    )  # fmt: skip
    # Other users' processes, and files of the application, are root's to see and to change.
    command = f'if [ "$(id -u)" = 0 ]; then exec sh -s -- {words}; else exec sudo -n sh -s -- {words}; fi'
    shells = ShellPool(site.settings)
    try:
        done = shells.of(operation.server).run(command, operation.timeout_seconds, _SCRIPT.read_bytes())
    finally:
        shells.close()
    for line in done.stdout.splitlines():
        if line.startswith(_MARK):
            how, _space, rest = line.removeprefix(_MARK).partition(" ")
            return Outcome(how == "done", rest)
    raise ClientError(FailureKind.ERROR, done.reason("password", "denied", "not found"), "rotation")
