"""Try the lines of one place from where it stands: on this machine, on a server, or inside a container of it.

The program that tries (``lines.sh``) takes what is there: bash, Python or nc. A line is a TCP connection that is dropped as
soon as it is there; one that leads through a proxy is a CONNECT to it.
"""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

from samaops.clients.errors import ClientError
from samaops.clients.shell import Completed, Shell
from samaops.facts.network import (
    ANSWER_WORDS,
    DROPPED,
    NAME,
    OPEN,
    OTHER,
    PROXY,
    REFUSED,
    ROUTE,
    UNTRIED,
    Line,
    TriedLine,
)
from samaops.i18n import _
from samaops.model.failure import FailureKind
from samaops.site.shell_words import operands

# So many are tried side by side, and of one place at most so many: a hundred servers have thousands.
AT_ONCE, MOST_LINES = 32, 128
# To start the program there, a container's too.
_SPARE_SECONDS = 3.0
_NO_PROGRAM = "-"
_ANSWER = re.compile(r"line (\d+) (\d+) ?(.*)")
_STATUS_LINE = re.compile(r"HTTP/\d(?:\.\d)? (\d{3})\b ?(.*)")
# What the kernel and the programs say (LC_ALL=C), bash's, Python's, OpenBSD's and busybox' nc.
_WORDS = (
    (REFUSED, ("refused", "not permitted", "permission denied", "prohibited", "reset by peer")),
    (NAME, ("not known", "name resolution", "does not resolve", "no address associated", "bad address", "lookup")),
    (ROUTE, ("no route", "unreachable")),
    (DROPPED, ("timed out", "timeout", "in progress")),
)  # fmt: skip


def seconds_for(lines: Sequence[Line], timeout: float) -> float:
    """Return how long it takes at most to try lines, each ``timeout`` seconds: its name and then its port."""
    batches = math.ceil(min(len(lines), MOST_LINES) / AT_ONCE)
    return batches * 2 * (math.ceil(timeout) + 1) + _SPARE_SECONDS


def attempt(
    shell: Shell, lines: Sequence[Line], timeout: float, within: float, container: str | None = None
) -> tuple[str, tuple[TriedLine, ...]]:
    """Return the program that tried, and how each line was found, each in ``timeout`` and all ``within`` seconds.

    Raises ClientError when nothing could be tried.
    """
    tried = lines[:MOST_LINES]
    program = Path(__file__).with_suffix(".sh").read_bytes()
    words = ["sh", "-s", "--", str(math.ceil(timeout))]
    for line in tried:
        words += [line.host, str(line.port), line.proxy or "-"]
    inside = f"docker exec -i {operands(container)} " if container is not None else ""
    done = _run(shell, inside + shlex.join(words), min(within, seconds_for(lines, timeout)), program)
    name, answers = _read(done)
    if name == _NO_PROGRAM:
        raise ClientError(FailureKind.MISSING, _("there is no bash, no python3 and no nc"), "program")
    found = [_tried(line, answers.get(number)) for number, line in enumerate(tried)]
    found += [TriedLine(line, UNTRIED, _("too many lines")) for line in lines[MOST_LINES:]]
    return name, tuple(found)


def _run(shell: Shell, command: str, seconds: float, program: bytes) -> Completed:
    done = shell.run(command, seconds, program)
    if done.exit_code and "ermission denied while trying to connect" in done.stderr:
        as_root = shell.run(f"sudo -n -- {command}", seconds, program)
        return done if as_root.exit_code else as_root
    return done


def _read(done: Completed) -> tuple[str, dict[int, tuple[int, str]]]:
    first, *rest = done.stdout.splitlines() or [""]
    word, _space, name = first.partition(" ")
    if word != "program":
        kind = FailureKind.MISSING if done.exit_code in (126, 127) else FailureKind.ERROR
        raise ClientError(kind, done.reason(), "program")
    return name, dict(_answers(rest))


def _answers(lines: Sequence[str]) -> Iterator[tuple[int, tuple[int, str]]]:
    for line in lines:
        if match := _ANSWER.fullmatch(line):
            # bash says it twice, with its own name before it.
            words = match[3].partition(" bash: line")[0].removeprefix("bash: connect: ")
            yield int(match[1]), (int(match[2]), words.strip())


def _tried(line: Line, answer: tuple[int, str] | None) -> TriedLine:
    """Sort one answer; where there is none, the program was ended before it came to that line."""
    if answer is None:
        return TriedLine(line, UNTRIED, _("no answer in time"))
    code, words = answer
    if code == 4:
        return _through_proxy(line, words)
    if code == 5:
        inner, _space, reason = words.partition(" ")
        at_proxy = _(ANSWER_WORDS[_sorted(int(inner), reason)])
        return TriedLine(line, PROXY, f"{line.proxy}: {at_proxy}")
    return TriedLine(line, _sorted(code, words), "" if code in (0, 124) else words)


def _sorted(code: int, words: str) -> str:
    known = {0: OPEN, 124: DROPPED, 2: NAME, 3: NAME, 127: OTHER}
    if code in known:
        return known[code]
    lowered = words.lower()
    return next((answer for answer, parts in _WORDS if any(part in lowered for part in parts)), OTHER)


def _through_proxy(line: Line, words: str) -> TriedLine:
    """Read the proxy's own answer; where it wants a log-in, nothing was learnt of what is behind it."""
    match = _STATUS_LINE.fullmatch(words)
    if match is None:
        silence = _("no answer in time")
        return TriedLine(line, PROXY, f"{line.proxy}: {words or silence}")
    if match[1].startswith("2"):
        return TriedLine(line, OPEN)
    return TriedLine(
        line, OTHER if match[1] == "407" else PROXY, f"{line.proxy}: {match[1]} {match[2]}".strip()
    )
