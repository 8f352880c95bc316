"""A lock held on a server, for all machines that change the same system, over the SSH connection that is used anyway.

A small program on the server holds ``flock`` on a file there as long as we talk with it. When we die its standard
input ends, and it with it. When our machine loses power or its network the server does not notice: then the program
ends when it has heard nothing for ``silence_seconds``, and before that we take the lock for lost ourselves.
"""

from __future__ import annotations

import math
import shlex
import threading
import time
from contextlib import suppress
from pathlib import Path

from msgspec import Struct

from samaops.clients.errors import ClientError
from samaops.clients.local import LocalShell
from samaops.clients.shell import Conversation, Shell
from samaops.model.failure import FailureKind

STAGE = "server lock"
_LONGEST_WORDS = 200
_MARK = "samaops-lock: "
_HELD, _TAKEN, _CANNOT = _MARK + "held", _MARK + "taken ", _MARK + "cannot "


class Rhythm(Struct, frozen=True):
    """How often we say that we are there, how long an answer may take, and what silence means that we are gone.

    ``beat`` and ``answer`` together are less than ``silence``: we know first that the lock is lost.
    """

    beat_seconds: float = 5.0
    answer_seconds: float = 10.0
    silence_seconds: float = 30.0


class TakenError(Exception):
    """Somebody else holds the lock; ``text`` is what the file says of him, written by whomever."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


class ServerLock:
    """A lock that is held; ``conversation`` is with the program that holds it."""

    def __init__(self, conversation: Conversation, rhythm: Rhythm) -> None:
        self._conversation = conversation
        self._rhythm = rhythm
        self._turn = threading.Lock()
        self._failure: ClientError | None = None
        self._is_over = threading.Event()
        self._heart = threading.Thread(target=self._beat, name="server lock", daemon=True)
        self._heart.start()

    def check(self) -> None:
        """Ask whether the lock is still held. Raises ClientError when it was lost, then and ever after."""
        with self._turn:
            if self._failure is None:
                self._failure = self._ask()
            if self._failure is not None:
                raise self._failure

    def release(self) -> None:
        """Give the lock back; when this returns, the next one can have it."""
        self._is_over.set()
        with self._turn:
            self._conversation.finish(0.0 if self._failure else self._rhythm.answer_seconds)
        self._heart.join()

    def _ask(self) -> ClientError | None:
        try:
            answer = self._conversation.ask("here", self._rhythm.answer_seconds)
        except ClientError as error:
            return error
        return None if answer == _HELD else ClientError(FailureKind.GARBAGE, repr(answer[:80]), STAGE)

    def _beat(self) -> None:
        while not self._is_over.wait(self._rhythm.beat_seconds):
            try:
                self.check()
            except ClientError:
                return  # whoever relies on the lock asks before each step, and is told


def take(shell: Shell, file: str, owner: str, timeout: float, rhythm: Rhythm | None = None) -> ServerLock:
    """Take a lock on a server. ``owner`` is one line that says who we are.

    Raises TakenError when somebody else has it, ClientError when it cannot be taken there or the connection is lost.
    """
    assert not isinstance(shell, LocalShell)  # on this machine nobody needs more than a file
    rhythm = rhythm or Rhythm()
    command = _command("hold", file, str(math.ceil(rhythm.silence_seconds)))
    conversation = shell.converse(f"env LC_ALL=C {command}", timeout)
    try:
        answer = _send_owner(conversation, owner, timeout)
    except BaseException:
        conversation.finish(0.0)
        raise
    if answer == _HELD:
        return ServerLock(conversation, rhythm)
    conversation.finish(0.0)
    raise _refusal(answer)


def look(shell: Shell, file: str, timeout: float) -> None:
    """Look whether a lock could be taken; nothing is written. Raises as ``take``."""
    done = shell.run(_command("look", file), timeout)
    for line in done.stdout.splitlines():
        if line.startswith(_MARK):
            raise _refusal(line)
    if done.exit_code:
        raise ClientError(FailureKind.ERROR, done.reason(), STAGE)


def _send_owner(conversation: Conversation, owner: str, timeout: float) -> str:
    """Say who we are and return the answer, the first line that is one; what a log-in prints stands before it."""
    with suppress(ClientError):  # it may have ended before it heard us, and then it has said why
        conversation.tell(owner, timeout)
    ends_at, last_words = time.monotonic() + timeout, ""
    while True:
        try:
            line = conversation.hear(max(0.01, ends_at - time.monotonic()))
        except ClientError as error:
            if error.kind is FailureKind.CLOSED and last_words:
                raise ClientError(error.kind, last_words, STAGE) from error
            raise
        if line.startswith(_MARK):
            return line
        last_words = line.strip()[:_LONGEST_WORDS] or last_words


def _refusal(answer: str) -> TakenError | ClientError:
    if answer.startswith(_TAKEN):
        return TakenError(answer.removeprefix(_TAKEN))
    if answer.startswith(_CANNOT):
        return ClientError(FailureKind.MISSING, answer.removeprefix(_CANNOT), STAGE)
    return ClientError(FailureKind.GARBAGE, repr(answer[:80]), STAGE)


def _command(*arguments: str) -> str:
    """Return the command line of the program, without its comments."""
    lines = Path(__file__).with_suffix(".sh").read_text(encoding="utf-8").splitlines()
    script = "\n".join(line for line in lines if not line.lstrip().startswith("#"))
    return shlex.join(["sh", "-c", script, "sh", *arguments])
