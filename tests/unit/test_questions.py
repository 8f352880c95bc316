"""A question on a real terminal: what was typed before it was asked answers nothing."""

from __future__ import annotations

import os
import pty
import select
import threading
import time
import tty
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress

import pytest
import typer

from samaops.cli import consent as asking
from samaops.errors import RefusedError

QUESTION = "Do this? [y/N]"


class RealTerminal:
    """A terminal as stdin and stderr of this process; ``keyboard`` is the side where somebody types and reads."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, somebody: ThreadPoolExecutor) -> None:
        self._monkeypatch, self._somebody = monkeypatch, somebody
        self.keyboard, self.side = pty.openpty()
        os.set_blocking(self.keyboard, False)

    def ask(self) -> Future[bool]:
        """Let a yes or no be asked for here; the answer is there when it was typed."""
        for name, mode in (("stdin", "r"), ("stderr", "w")):
            stream = open(self.side, mode, encoding="utf-8", closefd=False)  # noqa: SIM115
            self._monkeypatch.setattr(f"sys.{name}", stream)
        return self._somebody.submit(asking.is_yes, "Do this?")

    def type(self, text: str) -> int:
        """Type as much of it as the terminal takes; return how much that was."""
        with suppress(BlockingIOError):
            return os.write(self.keyboard, text.encode())
        return 0

    def read_until(self, text: str) -> str:
        """Return what is shown, the echo of what was typed included, up to a text."""
        shown, ends_at = "", time.monotonic() + 10
        while text not in shown:
            assert time.monotonic() < ends_at, shown
            if select.select([self.keyboard], [], [], 0.1)[0]:
                shown += os.read(self.keyboard, 65536).decode(errors="replace")
        return shown


@pytest.fixture
def somebody() -> Iterator[ThreadPoolExecutor]:
    """Yield who is asked while the test types."""
    with ThreadPoolExecutor(1) as thread:
        yield thread


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch, somebody: ThreadPoolExecutor) -> Iterator[RealTerminal]:
    made = RealTerminal(monkeypatch, somebody)
    yield made
    for side in (made.keyboard, made.side):  # which ends a question that was not answered
        with suppress(OSError):
            os.close(side)


@pytest.mark.parametrize("early", ["y\n", "y", "y\ny\n\n", "y\n" * 1500 + "y", "\x04", "y\x04"])
def test_what_was_typed_ahead_answers_nothing(terminal: RealTerminal, early: str) -> None:
    terminal.type(early)
    answer = terminal.ask()
    terminal.read_until(QUESTION)
    terminal.type("n\n")
    assert answer.result(10) is False


def test_what_is_typed_after_the_question_is_its_answer(terminal: RealTerminal) -> None:
    answer = terminal.ask()
    terminal.read_until(QUESTION)
    terminal.type("Y")
    terminal.type("es\n")
    assert answer.result(10) is True


@pytest.mark.parametrize("is_raw", [False, True])
def test_lines_that_are_pasted_at_one_question_answer_no_other(terminal: RealTerminal, is_raw: bool) -> None:
    if is_raw:  # as a program that was killed leaves it
        tty.setraw(terminal.side)
    answer = terminal.ask()
    terminal.read_until(QUESTION)
    terminal.type("perhaps\ny\ny\n")
    terminal.read_until(QUESTION)
    terminal.type("n\n")
    assert answer.result(10) is False


def test_more_than_the_terminal_holds_is_forgotten_too(terminal: RealTerminal) -> None:
    tty.setraw(terminal.side)  # nothing is dropped: what does not fit waits in the kernel
    while terminal.type("y\n" * 500):
        continue
    answer = terminal.ask()
    terminal.read_until(QUESTION)
    terminal.type("n\n")
    assert answer.result(10) is False


def test_what_types_without_end_is_refused(terminal: RealTerminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "_LONGEST_TYPING_SECONDS", 0.3)
    is_over = threading.Event()

    def type_on() -> None:
        while not is_over.is_set():
            terminal.type("y\n")
            with suppress(BlockingIOError):
                os.read(terminal.keyboard, 65536)

    typist = threading.Thread(target=type_on)
    typist.start()
    try:
        with pytest.raises(RefusedError, match="nothing was changed"):
            terminal.ask().result(10)
    finally:
        is_over.set()
        typist.join(10)


@pytest.mark.parametrize("is_asked", [False, True])
def test_a_terminal_that_is_lost_ends_the_question(terminal: RealTerminal, is_asked: bool) -> None:
    if is_asked:
        answer = terminal.ask()
        terminal.read_until(QUESTION)
    os.close(terminal.keyboard)
    if not is_asked:
        answer = terminal.ask()
    with pytest.raises(typer.Abort):
        answer.result(10)
