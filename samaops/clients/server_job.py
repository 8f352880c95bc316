"""Work on a server that takes long and must not outlive us: it ends when we end, however that is.

A small program there (``server_job.sh``) does one piece of work after the other, as long as we talk with it, a line
every second. When we die its standard input ends, and it ends the work; when our machine or the network is gone it does
so after some silence. Where a directory is named it is locked as long as any of the work lives, so that whoever comes
later can tell a run that goes on from one that died.
"""

from __future__ import annotations

import base64
import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from samaops.clients.as_user import as_user
from samaops.clients.errors import ClientError
from samaops.clients.shell import Completed, Conversation, Shell, program, text
from samaops.i18n import _
from samaops.model.failure import FailureKind

STAGE = "server job"
_PROGRAM = Path(__file__).with_suffix(".sh")
LOOK_SECONDS = 1.0
# Of silence, until the work there is ended; and of waiting for one answer.
SILENCE_SECONDS = 60.0
_ANSWER_SECONDS = 30.0
_BEGIN_SECONDS = 20.0
_BEAT_SECONDS = 5.0
# The work is asked to end, has ten seconds for it, and is killed.
_STOP_SECONDS = 25.0
_MARK = "samaops-job: "


class ServerJob:
    """What does our work on a server; see ``begun``."""

    def __init__(self, conversation: Conversation, silence_seconds: float) -> None:
        self._conversation = conversation
        self._beat_seconds = min(_BEAT_SECONDS, silence_seconds / 3)
        self._turn = threading.Lock()
        self._is_over = threading.Event()
        self._heart = threading.Thread(target=self._beat, name="server job", daemon=True)
        self._heart.start()

    def run(
        self,
        script: str,
        seconds: float,
        progress: str = "",
        tell: Callable[[str], None] = lambda _words: None,
    ) -> Completed:
        """Do a piece of work and return how it ended, with the first 200 kB and the last 4 kB of what it wrote.

        ``tell`` is given, about once a second, what the script ``progress`` writes. Raises ClientError: NO_ANSWER
        where it takes longer than ``seconds``, CLOSED where the connection is lost; the work is ended then, as it is by
        an interruption.
        """
        ends_at = time.monotonic() + seconds
        self._ask(f"do {_packed(script)} {_packed(progress) if progress else '-'}", "started")
        pause = 0.05
        try:
            while time.monotonic() < ends_at:
                time.sleep(pause)
                pause = min(2 * pause, LOOK_SECONDS)
                answer = self._ask("look", "running", "ended")
                if answer.startswith("ended "):
                    return _completed(answer)
                tell(answer.removeprefix("running").strip())
        except BaseException:
            with suppress(ClientError):
                self._stop()
            raise
        self._stop()
        message = _("the command did not end within {seconds:.1f} s").format(seconds=seconds)
        raise ClientError(FailureKind.NO_ANSWER, message, STAGE)

    def start(self, script: str) -> None:
        """Begin work that goes on until ``close``, beside what others do. Raises ClientError."""
        self._ask(f"do {_packed(script)} -", "started")

    def ended(self) -> Completed | None:
        """Return how work that was started has ended; None while it goes on. Raises ClientError."""
        answer = self._ask("look", "running", "ended")
        return _completed(answer) if answer.startswith("ended ") else None

    def close(self) -> None:
        """End what goes on, and the program; when this returns, nothing of it is there."""
        self._is_over.set()
        with self._turn:
            self._conversation.finish(_STOP_SECONDS)
        self._heart.join()

    def _stop(self) -> None:
        self._ask("stop", "ended", "nothing", timeout=_STOP_SECONDS)

    def _ask(self, line: str, *expected: str, timeout: float = _ANSWER_SECONDS) -> str:
        with self._turn:
            answer = _marked(self._conversation.ask(line, timeout))
        if not answer.startswith(expected):
            raise ClientError(FailureKind.GARBAGE, repr(answer[:80]), STAGE)
        return answer

    def _beat(self) -> None:
        while not self._is_over.wait(self._beat_seconds):
            try:
                self._ask("here", "here")
            except ClientError:
                return  # whoever has it do something is told


@contextmanager
def begun(
    shell: Shell, user: str, held: str = "", silence_seconds: float = SILENCE_SECONDS
) -> Iterator[ServerJob]:
    """Yield what does our work on a server as one of its users; ``held`` is a directory that it locks meanwhile.

    Raises ClientError: MISSING with the server's own words where it cannot work there, or another has that directory.
    """
    command = as_user(user, program(_PROGRAM), str(math.ceil(silence_seconds)), held)
    conversation = shell.converse(f"env LC_ALL=C {command}", _BEGIN_SECONDS)
    try:
        _await_ready(conversation)
    except BaseException:
        conversation.finish(0.0)
        raise
    job = ServerJob(conversation, silence_seconds)
    try:
        yield job
    finally:
        job.close()


def _await_ready(conversation: Conversation) -> None:
    """Wait for its first words; what a log-in prints stands before them."""
    ends_at = time.monotonic() + _BEGIN_SECONDS
    while True:
        line = conversation.hear(max(0.01, ends_at - time.monotonic()))
        if line.startswith(_MARK):
            break
    if line != _MARK + "ready":
        raise ClientError(FailureKind.MISSING, _marked(line).removeprefix("cannot "), STAGE)


def _marked(line: str) -> str:
    if not line.startswith(_MARK):
        raise ClientError(FailureKind.GARBAGE, repr(line[:80]), STAGE)
    return line.removeprefix(_MARK)


def _completed(answer: str) -> Completed:
    try:
        _ended, code, out, errors = answer.split(" ")
        unpacked = (text(base64.b64decode(words.removesuffix("-"))) for words in (out, errors))
        return Completed(int(code), *unpacked)
    except ValueError as error:
        raise ClientError(FailureKind.GARBAGE, repr(answer[:80]), STAGE) from error


def _packed(script: str) -> str:
    return base64.b64encode(script.encode("utf-8")).decode("ascii")
