"""Give space of a disk back, or keep some in reserve, through one small program on its server."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

from msgspec import convert

from samaops.changes.disk.working import (
    COMMAND,
    COMPRESS,
    EMPTY,
    EMPTY_DELETED,
    GIVE_UP,
    JOURNAL,
    PACKAGES,
    RESERVE_SPACE,
    UNCOMPRESS,
    WORK,
    Working,
)
from samaops.changes.run.operations import runs
from samaops.clients.errors import ClientError
from samaops.clients.shell import Completed, program
from samaops.clients.shells import ShellPool
from samaops.i18n import _, joined
from samaops.model.failure import FailureKind
from samaops.model.plan import Operation, Outcome
from samaops.model.quantities import size
from samaops.site.commands import on_server
from samaops.site.disk_owners import RESERVE
from samaops.site.shell_words import quoted
from samaops.site.site import Site

_PROGRAM = Path(__file__).with_suffix(".sh")
_MEASURED = re.compile(r"measured (\d+) (\d+)")


def _lines(operation: Operation, site: Site) -> tuple[str, ...]:
    working = convert(operation.arguments, Working)
    return tuple(on_server(site, operation.server, line) for line in _commands(working))


def _commands(working: Working) -> Iterator[str]:
    """Yield what a person would type for the same."""
    reserve = quoted(f"{working.mount.rstrip('/')}/{RESERVE}")
    if working.what == COMMAND:
        yield working.command
    elif working.what == JOURNAL:
        yield f"journalctl --rotate --vacuum-size={working.count}"
    elif working.what == PACKAGES:
        yield "apt-get clean"
    elif working.what == RESERVE_SPACE:
        yield f"fallocate -l {working.count} {reserve}"
    elif working.what == GIVE_UP:
        yield f"rm {reserve}"
    for file in working.files:
        path = quoted(file.path)
        if working.what == COMPRESS:
            yield f"gzip {path}"
        elif working.what == UNCOMPRESS:
            yield f"gunzip {quoted(file.path + '.gz')}"
        elif working.what == EMPTY_DELETED:
            yield f"truncate -s 0 {path}"
        elif working.what == EMPTY:
            kept = f"tail -c {working.count} {path} | gzip > {quoted(file.path + '.end.gz')}"
            yield f"{kept} && truncate -s 0 {path}"


@runs(WORK, lines=_lines)
def work(operation: Operation, site: Site) -> Outcome:
    """Do it, and tell how much more is free than before. Raises ClientError."""
    working = convert(operation.arguments, Working)
    if operation.server is None:
        raise ClientError(FailureKind.MISSING, _("no server is named"), "shell")
    files = [str(word) for file in working.files for word in (file.path, file.inode, file.size_bytes)]
    words = (working.what, working.mount, str(working.count), working.command, *files)
    shells = ShellPool(site.settings)
    try:
        command = shlex.join(["sh", "-c", program(_PROGRAM), "sh", *words])
        done = shells.of(operation.server).run(command, operation.timeout_seconds)
    finally:
        shells.close()
    return _outcome(working, done)


def _outcome(working: Working, done: Completed) -> Outcome:
    measured = _MEASURED.search(done.stdout)
    untouched = [line.removeprefix("left ") for line in done.stdout.splitlines() if line.startswith("left ")]
    if done.exit_code or measured is None:
        return Outcome(False, joined(untouched) or done.reason())
    before, after = (int(number) for number in measured.groups())
    text = _("{size} freed, as df has it: {before} were free, now {after}")
    if after < before:
        text = _("{size} less are free, as df has it: {before} were free, now {after}")
    words = text.format(size=size(abs(after - before)), before=size(before), after=size(after))
    numbers = {"available_before": before, "available_after": after, "freed_bytes": after - before}
    return Outcome(True, words, measured=numbers if working.what != UNCOMPRESS else {})
