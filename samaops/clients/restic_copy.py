"""Copies of backups in a repository of restic, which the database's server reaches: encrypted, and only added to.

Where it is ``rclone serve restic --stdio --append-only`` behind a forced command of sshd, nobody on our side can take
anything out of it. The password reaches restic on the standard input of the program that starts it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from msgspec import Struct

from samaops.clients.as_user import as_user
from samaops.clients.errors import ClientError
from samaops.clients.shell import Shell, program, text
from samaops.i18n import _
from samaops.model.failure import FailureKind

STAGE = "restic"
_PROGRAM = Path(__file__).with_suffix(".sh")
_MARK = "samaops-restic: "
_LOOK_SECONDS = 120.0
_LONGEST_WORDS = 300
_LONGEST_LINE_BYTES = 256 * 1024
# Restic says so where there is no repository yet, and for a wrong password.
_NONE_THERE = ("unable to open config file", "Is there a repository at the following location")
_WRONG_PASSWORD = "wrong password or no key found"  # noqa: S105 - what restic says
Tell = Callable[[float], None]


class Added(Struct, frozen=True):
    """A snapshot: its id, and how many bytes were new to the repository."""

    id: str
    bytes_added: int


class Repository(Struct, frozen=True):
    """A repository as a user of the server reaches it. ``seconds`` bound a copy or the reading of a part."""

    shell: Shell
    user: str
    url: str
    program: str
    password: str
    seconds: float

    def is_there(self) -> bool:
        """Return whether there is a repository that this password opens. Raises ClientError where it cannot be told."""
        code, lines = self._run("probe", seconds=_LOOK_SECONDS)
        output = "\n".join(lines)
        if code == 0:
            return True
        if any(words in output for words in _NONE_THERE) and _WRONG_PASSWORD not in output:
            return False
        raise _failed(code, lines)

    def make(self) -> None:
        """Make the repository. Raises ClientError."""
        self._require("init", seconds=_LOOK_SECONDS)

    def add(self, name: str, host: str, directories: tuple[str, ...], tell: Tell) -> Added:
        """Add directories as one snapshot with this tag. Raises ClientError, also where a file could not be read."""
        lines = self._require("backup", name, host, *directories, tell=tell)
        summary = next(
            (message for message in map(_said, reversed(lines)) if message.get("message_type") == "summary"),
            {},
        )
        if not summary.get("snapshot_id"):
            raise ClientError(FailureKind.GARBAGE, _("restic did not say what it added"), STAGE)
        return Added(str(summary["snapshot_id"])[:64], int(str(summary.get("data_added", 0))))

    def has(self, name: str) -> bool:
        """Return whether a snapshot has this tag. Raises ClientError."""
        lines = self._require("snapshots", name, seconds=_LOOK_SECONDS)
        for line in lines:
            if line.startswith("["):
                return bool(json.loads(line))
        return False

    def check(self, part: int, parts: int) -> None:
        """Read one part of the data, and all of the index. Raises ClientError where anything is damaged."""
        self._require("check", f"{part}/{parts}")

    def _require(self, what: str, *words: str, seconds: float = 0.0, tell: Tell | None = None) -> list[str]:
        code, lines = self._run(what, *words, seconds=seconds, tell=tell)
        if code:
            raise _failed(code, lines)
        return lines

    def _run(
        self, what: str, *words: str, seconds: float = 0.0, tell: Tell | None = None
    ) -> tuple[int, list[str]]:
        """Return restic's exit code, and the lines that it wrote but for its progress, the last thousand."""
        lines: list[str] = []
        unread = b""

        def sink(block: bytes) -> None:
            nonlocal unread
            *whole, unread = (unread + block).split(b"\n")
            unread = unread[-_LONGEST_LINE_BYTES:]
            for raw in whole:
                line = text(raw)
                if '"message_type":"status"' in line:
                    if tell is not None:
                        tell(float(str(_said(line).get("percent_done", 0.0))))
                elif line.strip():
                    lines.append(line)
                    del lines[:-1000]

        command = as_user(self.user, program(_PROGRAM), what, self.url, self.program, *words)
        self.shell.stream(command, seconds or self.seconds, [self.password.encode() + b"\n"], sink)
        last = lines.pop() if lines and lines[-1].startswith(_MARK) else ""
        if not last.startswith(_MARK + "ended "):
            reason = last.removeprefix(_MARK + "cannot ") or _("the server's answer is not complete")
            raise ClientError(FailureKind.MISSING if last else FailureKind.ERROR, reason, STAGE)
        return int(last.rpartition(" ")[2]), lines


def _said(line: str) -> dict[str, object]:
    try:
        message = json.loads(line)
    except ValueError:
        return {}
    return message if isinstance(message, dict) else {}


def _failed(code: int, lines: list[str]) -> ClientError:
    complaints = [line for line in lines if "Fatal" in line or "error" in line.lower()] or lines
    words = complaints[-1] if complaints else _("exit code {code}").format(code=code)
    kind = FailureKind.AUTHENTICATION if _WRONG_PASSWORD in words else FailureKind.ERROR
    return ClientError(kind, words[:_LONGEST_WORDS], STAGE)
