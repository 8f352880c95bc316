"""Cut the output of a script into the sections it announced.

A section starts with a line ``@@TOKEN name``. The token is new in every run, so that nothing that is
printed by the system itself (a log line, a file's name) can be taken for the start of a section.
"""

from __future__ import annotations

from collections.abc import Sequence

from samaops.clients.errors import ClientError
from samaops.clients.shell import Completed
from samaops.i18n import _
from samaops.model.failure import FailureKind


def cut(done: Completed, token: str) -> dict[str, list[str]]:
    """Return the lines of each section. Raises ClientError when the script did not even begin."""
    marker = f"@@{token} "
    sections: dict[str, list[str]] = {}
    current: list[str] = []
    for line in done.stdout.split("\n"):
        if line.startswith(marker):
            current = sections.setdefault(line.removeprefix(marker), [])
        elif line:
            current.append(line)
    if not sections:
        lines = (done.stderr or done.stdout).strip().splitlines()
        last = lines[-1] if lines else _("exit code {code}").format(code=done.exit_code)
        kind = FailureKind.MISSING if done.exit_code in (126, 127) else FailureKind.ERROR
        raise ClientError(kind, last, "script")
    return sections


def check_exit(lines: Sequence[str], stage: str) -> None:
    """Raise ClientError when a section, which ends with ``exit CODE``, could not be read."""
    *output, exit_line = lines or ("exit 1",)
    if exit_line == "exit 0":
        return
    last = output[-1] if output else exit_line
    if exit_line in ("exit 124", "exit 137"):
        raise ClientError(FailureKind.NO_ANSWER, _("no answer in time"), stage)
    if "sudo" in last or "ermission denied" in last:
        raise refusal(last)
    raise ClientError(FailureKind.ERROR, last, stage)


def refusal(message: str) -> ClientError:
    """Return why a part that needs root could not be looked at: sudo's or the kernel's own words."""
    return ClientError(FailureKind.PERMISSION, message or _("only root may look"), "sudo")
