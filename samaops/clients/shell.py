"""What a shell on a server is, however it is reached: a command line in, how it ended out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Protocol

from msgspec import Struct

from samaops.i18n import _

# More output than this is not kept: a command that writes so much is not one of ours.
MAX_OUTPUT_BYTES = 4 * 1024 * 1024
# What takes the output of a command, a block at a time.
Sink = Callable[[bytes], object]
# A line of an answer is a few words and a name, or the end of what a command wrote; more is not what we talk with.
LONGEST_LINE_BYTES = 1024 * 1024
_LONGEST_REASON = 300
# What programs say beside an answer, whatever that is: docker of its files, sudo of a name that it does not find.
_WARNINGS = ("warning", "sudo: unable to resolve host")


class Completed(Struct, frozen=True):
    """How a command ended. Output is decoded with backslash escapes where it is not UTF-8."""

    exit_code: int
    stdout: str
    stderr: str

    def reason(self, *known: str) -> str:
        """Return why it failed: the line that tells it, of its stderr or else of its stdout; at least its exit code."""
        lines = self.stderr.strip().splitlines() or self.stdout.strip().splitlines()
        words = reason([line.strip() for line in lines], *known)[:_LONGEST_REASON]
        return words or _("exit code {code}").format(code=self.exit_code)


def serious(lines: Sequence[str]) -> list[str]:
    """Return the lines of a stderr that may be why something failed, and not mere warnings."""
    return [line for line in lines if not line.lower().startswith(_WARNINGS)]


def reason(lines: Sequence[str], *known: str) -> str:
    """Return the last line that says why something failed: no mere warning, and one with known words if there is any."""
    telling = [line for line in serious(lines) if any(word in line.lower() for word in known)]
    return (telling or serious(lines) or [*lines] or [""])[-1]


@cache
def program(file: Path) -> str:
    """Return a program of sh without its comments, as an argument of ``sh -c``."""
    lines = file.read_text(encoding="utf-8").splitlines()
    return "\n".join(line for line in lines if not line.lstrip().startswith("#"))


def text(words: bytes) -> str:
    """Return bytes from outside as text, backslash escapes where they are not UTF-8."""
    return words.decode("utf-8", errors="backslashreplace")


class Conversation(Protocol):
    """A command that lives as long as somebody talks with it: a line to it, a line from it.

    Its standard input ends with this process, however that ends. After the first error it is over.
    """

    def ask(self, line: str, timeout: float) -> str:
        """Tell it a line and return the line that it answers. Raises ClientError."""

    def tell(self, line: str, timeout: float) -> None:
        """Send a line. Raises ClientError."""

    def hear(self, timeout: float) -> str:
        """Return the next line, at most ``timeout`` seconds later. Raises ClientError."""

    def finish(self, timeout: float) -> None:
        """End its standard input, and wait until it has ended too."""


class Shell(Protocol):
    """Somewhere commands can be run."""

    def run(self, command: str, timeout: float, stdin: bytes = b"") -> Completed:
        """Run a POSIX shell command line and wait for it at most ``timeout`` seconds.

        Raises ClientError (NO_ANSWER after the timeout); a non-zero exit is not an error here.
        """

    def stream(self, command: str, timeout: float, source: Iterable[bytes], sink: Sink) -> Completed:
        """Run a command line that is given ``source`` and whose output ``sink`` takes, both of any size.

        What is returned holds no output, and of what it said on its standard error the end. What ``source`` and
        ``sink`` raise ends it. Raises ClientError as ``run``.
        """

    def converse(self, command: str, timeout: float) -> Conversation:
        """Start a command line that answers each line it is told, until it is closed. Raises ClientError."""

    @property
    def is_well(self) -> bool:
        """Whether nothing has yet been seen that speaks against using it again."""

    def close(self) -> None:
        """Give the connection back."""
