"""Cut the output of a script into the sections it announced.

A section starts with a line ``@@TOKEN name``. The token is new in every run, so that nothing that is
printed by the system itself (a log line, a file's name) can be taken for the start of a section. The same lines go to
stderr: what stands there is never an answer, but it may be the reason why there is none.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from samaops.clients.errors import ClientError
from samaops.clients.shell import Completed, reason, serious
from samaops.i18n import N_, _
from samaops.model.failure import FailureKind

# What find calls what is no file, after links.
_KINDS = {"d": N_("directory"), "N": N_("dangling link"), "L": N_("link to itself")}


def script_of(*files: Path) -> bytes:
    """Return a script of several files, behind what all of them have in common."""
    common = Path(__file__).with_name("common.sh")
    return b"".join(file.read_bytes() for file in (common, *files))


def with_kind(name: str, kind: str) -> str:
    """Return how something is named that is left out: by its name, and what it is where that is no file."""
    what = _(_KINDS[kind]) if kind in _KINDS else kind
    return name if kind == "f" else f"{name} ({what})"


def cut(done: Completed, token: str) -> dict[str, list[str]]:
    """Return the lines of each section. Raises ClientError when the script did not even begin."""
    sections = _sections(done.stdout, token)
    if not sections:
        kind = FailureKind.MISSING if done.exit_code in (126, 127) else FailureKind.ERROR
        raise ClientError(kind, done.reason(), "script")
    return sections


def complaints_of(done: Completed, token: str) -> defaultdict[str, list[str]]:
    """Return what was said on stderr in each section: the reasons of what failed there, and warnings of what did not."""
    return defaultdict(list, _sections(done.stderr, token))


def refusal(complaints: Sequence[str]) -> ClientError:
    """Return why a part that needs root could not be looked at: sudo's or the kernel's own words."""
    words = reason(complaints, "password", "not allowed", "permission denied", "not permitted")
    return ClientError(FailureKind.PERMISSION, words or _("only root may look"), "sudo")


def _sections(output: str, token: str) -> dict[str, list[str]]:
    marker = f"@@{token} "
    sections: dict[str, list[str]] = {}
    current: list[str] = []
    for line in output.split("\n"):
        if line.startswith(marker):
            current = sections.setdefault(line.removeprefix(marker), [])
        elif line:
            current.append(line)
    return sections


def check_exit(ended: Sequence[str], complaints: Sequence[str], stage: str) -> None:
    """Raise ClientError unless a section ended with "exit 0"."""
    if ended == ["exit 0"]:
        return
    if ended in (["exit 124"], ["exit 137"]):
        raise ClientError(FailureKind.NO_ANSWER, _("no answer in time"), stage)
    if any("sudo" in line or "ermission denied" in line for line in serious(complaints)):
        raise refusal(complaints)
    words = reason(complaints, "error") or "".join(ended) or _("the server's answer is not complete")
    raise ClientError(FailureKind.ERROR, words, stage)
