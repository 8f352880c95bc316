"""What one container and its processes show now, kept before somebody restarts it: nothing of it is there afterwards.

It takes at most ``MOST_SECONDS`` and never fails: what could not be seen is named with the reason.
"""

from __future__ import annotations

import json
import re
import secrets
import shlex
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timezone
from functools import cache
from pathlib import Path

from samaops.clients.errors import ClientError
from samaops.clients.shell import Completed
from samaops.collect.docker import inside
from samaops.collect.docker.containers import engine_script
from samaops.collect.docker.reading import COMMAND_SECONDS
from samaops.collect.engine import Collector, Probe
from samaops.collect.log_lines import shortened, without_secrets
from samaops.collect.sections import check_exit, complaints_of, cut
from samaops.facts.docker import EvidenceFacts, EvidencePart
from samaops.i18n import N_, _
from samaops.site.site import Site

MOST_SECONDS = 10.0
_MOST_LINES = 500
# The variables of a container, by which secrets are known, are never kept.
_NEVER_KEPT = "variables"
PARTS = ("state", "log", "processes", "threads", "stacks", "files", "sockets", "memory", "server")
_WORDS = {
    "state": N_("state"),
    "log": N_("log"),
    "processes": N_("processes"),
    "threads": N_("threads"),
    "stacks": N_("stacks of the threads"),
    "files": N_("open files"),
    "sockets": N_("sockets"),
    "memory": N_("memory"),
    "server": N_("server"),
}
# A line of a json-file log.
_LOG = re.compile(r"\{\"log\":")


def words_of(part: str) -> str:
    """Return the name of a part for people."""
    return _(_WORDS[part]) if part in _WORDS else part


def collectors(site: Site, places: Iterable[tuple[str, str]]) -> list[Collector]:
    """Return one collector for each of these containers: its server and its name."""
    return [_collector(site, server, name) for server, name in places]


def _collector(site: Site, server: str, name: str) -> Collector:
    def collect(probe: Probe) -> EvidenceFacts:
        return observe(server, name, probe)

    seconds = min(MOST_SECONDS, site.shell_seconds(server, MOST_SECONDS))
    return Collector("docker", f"docker/{name}", EvidenceFacts, collect, server, timeout=seconds)


def observe(server: str, name: str, probe: Probe) -> EvidenceFacts:
    """Look at one container as long as there is time; what could not be seen is said in its place."""
    started, taken_at = time.monotonic(), datetime.now(timezone.utc).isoformat(timespec="seconds")
    parts: tuple[EvidencePart, ...]
    try:
        shell = probe.shell(server)
        probe.stage("evidence")
        token = secrets.token_hex(8)
        command = f"sh -s -- {token} {COMMAND_SECONDS} {shlex.quote(name)}"
        parts = read(shell.run(command, max(1.0, probe.remaining() - 0.5), _script()), token)
    except ClientError as error:
        parts = tuple(EvidencePart(part, failure=error.message) for part in PARTS)
    return EvidenceFacts(name, taken_at, round((time.monotonic() - started) * 1000), parts)


@cache
def _script() -> bytes:
    return engine_script(Path(__file__).with_suffix(".sh"))


def read(done: Completed, token: str) -> tuple[EvidencePart, ...]:
    """Return the parts that the script's output holds, without secrets. Raises ClientError when it did not begin."""
    sections, complaints = cut(done, token), complaints_of(done, token)
    hidden = _secrets(sections.get(_NEVER_KEPT, ()))
    return tuple(_part(name, sections, complaints, hidden) for name in PARTS)


def _secrets(lines: Sequence[str]) -> set[str]:
    try:
        pairs = json.loads("".join(lines[:1]) or "[]") or []
    except ValueError:
        pairs = []
    return inside.secrets_of([{"environment": pairs}])


def _part(
    name: str, sections: Mapping[str, list[str]], complaints: Mapping[str, list[str]], hidden: set[str]
) -> EvidencePart:
    if name not in sections:
        is_ended = "server" in sections
        reason = _("the container does not run") if is_ended else _("there was no time left for it")
        return EvidencePart(name, failure=reason)
    lines = sections[name]
    has_end = bool(lines) and lines[-1].startswith("exit ")
    kept = tuple(_lines(lines[:-1] if has_end else lines, hidden))
    try:
        check_exit(lines[-1:], complaints[name], name)
    except ClientError as error:
        failure = without_secrets(error.message, hidden)
        return EvidencePart(name, kept[-_MOST_LINES:], failure if has_end else _("it was cut off"))
    return EvidencePart(name, kept[-_MOST_LINES:])


def _lines(lines: Iterable[str], hidden: set[str]) -> Iterator[str]:
    for line in lines:
        indent = line[: len(line) - len(line.lstrip())]
        yield indent + shortened(without_secrets(_of_log(line), hidden))


def _of_log(line: str) -> str:
    """Return a line of a container's log as it was written, with its time; any other as it is."""
    if not _LOG.match(line):
        return line
    try:
        entry = json.loads(line)
        return f"{str(entry['time'])[:23]} {str(entry['log']).rstrip()}"
    except (ValueError, KeyError, TypeError):
        return line
