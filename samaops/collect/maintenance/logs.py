"""What is observed of the application's logs: ERROR and CRITICAL lines since an earlier run.

Two scripts on the server: one lists the files, the other reads what ``log_files`` chose of them.
"""

from __future__ import annotations

import re
import secrets
import shlex
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

from samaops.clients.errors import ClientError
from samaops.clients.shell import Shell, reason
from samaops.collect.engine import Probe
from samaops.collect.log_lines import without_secrets
from samaops.collect.maintenance import log_files
from samaops.collect.registry import Target, collects
from samaops.collect.sections import complaints_of, cut, script_of, with_kind
from samaops.config.schedule_settings import Maintenance
from samaops.facts.maintenance import FileErrors, ListedFile, LogFacts, LogMarks, LogMessage, Part, _Counted
from samaops.i18n import _, joined
from samaops.model.failure import FailureKind
from samaops.model.quantities import duration
from samaops.site.site import Site

LIST_SECONDS = 20.0
READ_SECONDS = 100.0
TOP_MESSAGES = 10
MOST_FILES = 500
# Less is NTP at work, and no file is taken for older than the earlier reading by it.
CLOCK_SECONDS = 5.0
_WHY_NOT = (("No such file", FailureKind.MISSING), ("no answer", FailureKind.NO_ANSWER))
# One of so many lines is normalised in a file with very many: see the script.
SAMPLED_WEIGHT = 97
_REPEATED = re.compile(r"\s*(?P<count>\d+) (?P<kind>message|sampled) (?P<text>.*)")
# What is told of a message that keeps its ids: enough to recognise it.
_LONGEST_MESSAGE = 200


def servers_with_logs(site: Site) -> tuple[str, ...]:
    """Return the servers whose logs are read: those named, else those of the API and of the workers."""
    if site.settings.maintenance.log_servers:
        return site.settings.maintenance.log_servers
    servers = [member.server for member in site.members()]
    servers += [worker.server for worker in site.workers().values()]
    return tuple(dict.fromkeys(server for server in servers if server in site.settings.servers))


def _targets(site: Site) -> Iterator[Target]:
    for server in servers_with_logs(site):
        yield Target(server, server, server, site.shell_seconds(server, LIST_SECONDS + READ_SECONDS + 0.5))


@collects(
    "maintenance",
    LogFacts,
    targets=_targets,
    feeds=("maintenance.logs",),
    kind="logs",
    on_request=True,
)
def look(server: str, site: Site, probe: Probe) -> LogFacts:
    """List the logs of a server, and count in what is new of them since an earlier run."""
    settings, marks = site.settings.maintenance, probe.past.marks.get(server)
    shell = probe.shell(server)
    probe.stage("list")
    epoch, listed, left_out = list_files(shell, settings, marks, min(LIST_SECONDS, probe.remaining()))
    parts = log_files.parts(listed, marks)
    probe.stage("read")
    seconds = min(READ_SECONDS, probe.remaining() - 1)
    counted, messages, is_sampled = read_parts(shell, settings.log_directory, parts, seconds)
    unread = {file.name for file in counted if file.problem}
    return LogFacts(
        directory=settings.log_directory,
        pattern=settings.log_pattern,
        since=marks.epoch if marks else None,
        files_listed=len(listed),
        files=counted,
        messages=messages,
        is_sampled=is_sampled,
        marks=log_files.marks(epoch, listed, parts, marks, unread),
        left_out=left_out,
    )


def list_files(
    shell: Shell, settings: Maintenance, marks: LogMarks | None, seconds: float
) -> tuple[float, tuple[ListedFile, ...], tuple[str, ...]]:
    """Return the server's time, its log files, rotated and packed ones too, and what else is there. Raises ClientError."""
    token = secrets.token_hex(8)
    since = f"{marks.epoch:.6f}" if marks else "none"
    lengths = sorted({mark.head_bytes for mark in marks.files if mark.head_bytes} if marks else ())
    words = (token, settings.log_directory, settings.log_pattern, since, *map(str, lengths))
    done = shell.run(f"sh -s -- {shlex.join(words)}", seconds, _script("list"))
    sections, complaints = cut(done, token), complaints_of(done, token)
    try:
        epoch, directory = float(sections["now"][0]), sections["directory"][0]
    except (KeyError, IndexError, ValueError) as error:
        raise ClientError(FailureKind.ERROR, _("the server's answer is not complete"), "list") from error
    if marks and epoch < marks.epoch - CLOCK_SECONDS:
        text = _(
            "the server's clock was {time} later at the earlier reading: what is new since cannot be told"
        )
        raise ClientError(FailureKind.GARBAGE, text.format(time=duration(marks.epoch - epoch)), "list")
    if directory != "exists":
        why = reason(complaints["directory"], "no such file", "permission denied", "no answer") or directory
        kind = next((kind for words, kind in _WHY_NOT if words in why), FailureKind.PERMISSION)
        raise ClientError(kind, why, "list")
    *lines, end = sections.get("files") or ["exit 1"]
    if end != "exit 0":
        why = reason(complaints["files"], "permission denied") or end
        raise ClientError(FailureKind.PERMISSION, why, "list")
    left_out = [_left_out(line) for line in sections.get("left_out", [])]
    if len(lines) >= MOST_FILES:
        left_out.append(_("all after the first {count} files").format(count=MOST_FILES))
    return epoch, tuple(_listed(line) for line in lines), tuple(sorted(left_out))


def _left_out(line: str) -> str:
    kind, _tab, name = line.partition("\t")
    return with_kind(name, kind)


def _listed(line: str) -> ListedFile:
    inode, size, modified, is_current, unended, heads, name = line.split("\t", 6)
    sums = tuple((int(length), total) for length, total in (head.split(":") for head in heads.split()))
    return ListedFile(name, int(inode), int(size), float(modified), is_current == "1", int(unended), sums)


def read_parts(
    shell: Shell, directory: str, parts: Sequence[Part], seconds: float
) -> tuple[tuple[FileErrors, ...], tuple[LogMessage, ...], bool]:
    """Count in each part of a file; return that, the messages that repeat most, and whether lines were sampled."""
    if not parts:
        return (), (), False
    token = secrets.token_hex(8)
    words = [token, directory, str(max(1, int(seconds) - 2))]
    for part in parts:
        words += [part.name, str(part.inode), str(part.from_byte), str(part.to_byte or 0)]
    done = shell.run(f"sh -s -- {shlex.join(words)}", seconds, _levels() + _script("read"))
    sections, complaints = cut(done, token), complaints_of(done, token)
    files, messages, is_sampled = [], Counter[str](), False
    for number, part in enumerate(parts):
        seen = _counted(sections.get(f"file {number}", []))
        files.append(_errors_of(part, seen, complaints[f"file {number}"]))
        if not files[-1].problem:
            messages.update(seen.messages)
            is_sampled = is_sampled or seen.is_sampled
    top = tuple(LogMessage(text, count) for text, count in messages.most_common(TOP_MESSAGES))
    return tuple(files), top, is_sampled


def _errors_of(part: Part, seen: _Counted, complaints: Sequence[str]) -> FileErrors:
    problems = [*seen.complaints]
    if problems or "errors" not in seen.numbers:
        problems.append(reason(complaints) or ("" if problems else _("not read in time")))
    problem = joined(filter(None, problems))[:300]
    counts = (0, 0) if problem else (seen.numbers["errors"], seen.numbers["criticals"])
    return FileErrors(part.name, part.from_byte, part.to_byte, *counts, problem)


def _counted(lines: Sequence[str]) -> _Counted:
    numbers: dict[str, int] = {}
    messages: Counter[str] = Counter()
    complaints, is_sampled = [], False
    for line in lines:
        word, _space, rest = line.partition(" ")
        repeated = _REPEATED.fullmatch(line)
        if word in ("errors", "criticals") and rest.isdigit():
            numbers[word] = int(rest)
        elif repeated:
            weight = SAMPLED_WEIGHT if repeated["kind"] == "sampled" else 1
            is_sampled = is_sampled or weight > 1
            messages[cleaned(repeated["text"])] += weight * int(repeated["count"])
        else:
            complaints.append(line)
    return _Counted(numbers, messages, complaints, is_sampled)


def cleaned(text: str) -> str:
    """Return a message that may be kept and sent: no password, no token, no customer's address."""
    return without_secrets(text)[:_LONGEST_MESSAGE]


@cache
def _levels() -> bytes:
    """Return the program that tells a line's level, as a variable of the script that runs it."""
    program = Path(__file__).with_name("logs_levels.awk").read_text(encoding="utf-8")
    return f"levels={shlex.quote(program)}\n".encode()


@cache
def _script(name: str) -> bytes:
    return script_of(Path(__file__).with_name(f"logs_{name}.sh"))
