"""What is read of each server for the timeline of a night: its log of log-ins, its keys, and the containers that were made then."""

from __future__ import annotations

import re
import secrets
import shlex
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

from samaops.clients.errors import ClientError
from samaops.clients.shell import Completed, serious
from samaops.collect.docker.containers import engine_script
from samaops.collect.docker.times import epoch_of
from samaops.collect.engine import Probe
from samaops.collect.registry import collects, each_server
from samaops.collect.sections import check_exit, complaints_of, cut, refusal
from samaops.config.settings import Server
from samaops.facts.night import (
    ACCEPTED,
    KEEPERS,
    NIGHT,
    REFUSED,
    SUDO,
    KeyFile,
    Logged,
    MadeContainer,
    NightFacts,
)
from samaops.i18n import _
from samaops.model.failure import FailureKind
from samaops.site.site import Site

NIGHT_SECONDS = 40.0
_DOCKER_SECONDS = 8
_TEXT_CHARACTERS = 100
_MOST_CONTAINERS = 300
_ACCEPTED = re.compile(r"ssh Accepted (?P<method>\S+) for (?P<user>.+) from (?P<address>\S+)$")
_REFUSED = re.compile(
    r"ssh (?:Failed \S+ for (?:invalid user )?(?P<user>.*) from (?P<address>\S+)"
    r"|Connection closed by (?:authenticating|invalid) user (?P<closed>.*) (?P<at>\S+))$"
)


@collects(
    "maintenance",
    NightFacts,
    targets=each_server(NIGHT_SECONDS),
    feeds=(NIGHT,),
    kind="night",
    on_request=True,
)
def look_at_night(_server: Server, _site: Site, probe: Probe) -> NightFacts:
    """Read the time that is asked for by its name: "SINCE-UNTIL", in seconds since the epoch."""
    assert probe.server is not None
    if not probe.named(NIGHT):  # all of maintenance was asked for, and no time of it
        return NightFacts(0.0, 0.0)
    since, _dash, until = probe.named(NIGHT)[0].partition("-")
    shell = probe.shell(probe.server)
    probe.stage("night")
    token = secrets.token_hex(8)
    words = shlex.join((token, since, until, str(_DOCKER_SECONDS)))
    done = shell.run(f"sh -s -- {words}", min(NIGHT_SECONDS, probe.remaining()), _script())
    return read_night(done, token, (float(since), float(until)), probe)


@cache
def _script() -> bytes:
    return engine_script(Path(__file__).with_name("night.sh"))


def read_night(done: Completed, token: str, time: tuple[float, float], probe: Probe) -> NightFacts:
    """Return what the script's output says; parts that could not be looked at are missing. Raises ClientError."""
    sections, complaints = cut(done, token), complaints_of(done, token)
    since, until = time
    logged = probe.attempt("logged", lambda: _logged(sections, complaints))
    lines, is_cut = logged or (None, False)
    oldest = sections.get("oldest", [])
    return NightFacts(
        since,
        until,
        "".join(sections.get("source", [])[:1]),
        float(oldest[0]) if oldest and re.fullmatch(r"\d+(\.\d+)?", oldest[0]) else None,
        lines,
        is_cut,
        probe.attempt("key_files", lambda: _key_files(sections.get("keys", []), complaints["keys"])),
        probe.attempt(
            "containers", lambda: _containers(sections.get("containers", []), complaints["containers"], time)
        ),
    )


def _logged(
    sections: dict[str, list[str]], complaints: dict[str, list[str]]
) -> tuple[tuple[Logged, ...], bool]:
    """Return what was logged, and whether there was more. Raises ClientError where there is no log: not the same as no log-ins."""
    if sections.get("source", []) in ([], ["absent"]):
        if serious(complaints["source"]):  # sudo asks for a password, or the directory is closed
            raise refusal(complaints["source"])
        raise ClientError(
            FailureKind.MISSING, _("there is neither a journal nor /var/log/auth.log"), "logins"
        )
    lines = sections.get("lines", [])
    check_exit(lines[-1:], complaints["lines"], "logins")
    cells = [line.split("\t", 3) for line in lines[:-1]]
    found = (each for count, first, last, text in cells for each in _line(count, first, last, text))
    return tuple(sorted(found, key=lambda each: each.first)), any(cell[3] == "left" for cell in cells)


def _line(count: str, first: str, last: str, text: str) -> Iterator[Logged]:
    if not (count.isdigit() and first.isdigit() and last.isdigit()):
        return
    times = (float(first), float(last), int(count))
    if found := _ACCEPTED.match(text):
        yield Logged(ACCEPTED, found["user"][:_TEXT_CHARACTERS], found["address"], *times, found["method"])
    elif found := _REFUSED.match(text):
        user = found["user"] or found["closed"] or ""
        yield Logged(REFUSED, user[:_TEXT_CHARACTERS], found["address"] or found["at"] or "", *times)
    elif text.startswith("sudo "):
        yield Logged(SUDO, text.removeprefix("sudo ")[:_TEXT_CHARACTERS], "", *times)


def _key_files(lines: Sequence[str], complaints: Sequence[str]) -> tuple[KeyFile, ...]:
    check_exit(lines[-1:], complaints, "keys")
    cells = [line.split("\t") for line in lines[:-1]]
    return tuple(
        KeyFile(user[:_TEXT_CHARACTERS], float(at), int(count) if count.isdigit() else 0)
        for user, at, count in (cell for cell in cells if len(cell) == 3)
        if at.isdigit()
    )


def _containers(
    lines: Sequence[str], complaints: Sequence[str], time: tuple[float, float]
) -> tuple[MadeContainer, ...]:
    """Return the containers that were made then; a server without docker has none."""
    if list(lines[-1:]) == ["exit 127"]:
        return ()
    check_exit(lines[-1:], complaints, "containers")
    found = []
    for cell in (line.split("\t") for line in lines[:-1]):
        at = epoch_of(cell[0]) if len(cell) == 5 else None
        name = cell[1].lstrip("/") if len(cell) == 5 else ""
        if at is None or not time[0] <= at < time[1] or cell[4] == "True" or name.startswith(KEEPERS):
            continue
        found.append(MadeContainer(name[:_TEXT_CHARACTERS], cell[2][:_TEXT_CHARACTERS], cell[3], at))
    return tuple(sorted(found, key=lambda each: each.at)[:_MOST_CONTAINERS])
