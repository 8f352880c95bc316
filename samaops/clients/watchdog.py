"""What the watchdogs on a server share: a small program that outlives us, waits, and does one thing when its time is over."""

from __future__ import annotations

import shlex
from pathlib import Path

from msgspec import Struct

from samaops.clients.errors import ClientError
from samaops.clients.shell import Shell, program
from samaops.model.failure import FailureKind

STAGE = "watchdog"
_SHARED = Path(__file__).with_suffix(".sh")
_MARK = "samaops-watchdog: "
_CANNOT = _MARK + "cannot "


class Asked(Struct, frozen=True):
    """What is asked of the watchdog of this ``mark``, by which it is found among the processes of its server.

    ``words`` are the arguments of its own program, ``secret`` is what it and what it starts read on standard input.
    """

    what: str
    mark: str
    words: tuple[str, ...] = ()
    secret: bytes = b""


def ask(shell: Shell, file: Path, asked: Asked, timeout: float) -> None:
    """Have the program in ``file`` do something: start one, end one. Raises ClientError, MISSING where it could not work there."""
    script = f"{program(_SHARED)}\n{program(file)}"
    command = shlex.join(["sh", "-c", script, "sh", asked.what, script, asked.mark, *asked.words])
    done = shell.run(command, timeout, asked.secret)
    answer = next((line for line in done.stdout.splitlines() if line.startswith(_MARK)), "")
    if answer.startswith(_CANNOT):
        raise ClientError(FailureKind.MISSING, answer.removeprefix(_CANNOT).strip(), STAGE)
    if not answer:
        raise ClientError(FailureKind.ERROR, done.reason(), STAGE)
