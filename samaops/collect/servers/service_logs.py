"""The logs of the services that run on a server itself, PostgreSQL and PgBouncer: their last words."""

from __future__ import annotations

import re
import secrets
import shlex
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from functools import cache
from pathlib import Path

from samaops.clients.errors import ClientError
from samaops.collect.engine import Probe
from samaops.collect.log_lines import shortened, without_secrets
from samaops.collect.registry import Target, collects
from samaops.collect.sections import check_exit, complaints_of, cut, script_of
from samaops.facts.log import LogLine
from samaops.facts.servers import ServiceLog, ServiceLogs
from samaops.i18n import _
from samaops.model.failure import FailureKind
from samaops.site.site import Site

SCRIPT_SECONDS = 4.0
_STAMP = re.compile(r"(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d)(?:[.,]\d+)? ?(UTC|GMT|Z|[+-]\d\d:?\d\d)?")
# Where the packages let them write, beside the file that the process itself has open.
_PLACES = {
    "postgresql": "/var/log/postgresql/postgresql*.log {data_directory}/log/*.log {data_directory}/pg_log/*.log",
    "pgbouncer": "/var/log/postgresql/pgbouncer*.log /var/log/pgbouncer/*.log /var/log/pgbouncer.log",
}
_PROCESSES = {"postgresql": "postgres", "pgbouncer": "pgbouncer"}


def _targets(site: Site) -> Iterator[Target]:
    on: dict[str, list[str]] = {}
    for system in _PLACES:
        section = site.section(system)
        if section is not None:
            on.setdefault(section.server, []).append(system)
    for server, systems in on.items():
        configured = site.settings.servers.get(server)
        if configured is not None and configured.ssh != "none":
            yield Target(server, tuple(systems), server, site.shell_seconds(server, SCRIPT_SECONDS))


@collects("servers", ServiceLogs, targets=_targets, feeds=("servers.log",), kind="logs")
def look(systems: tuple[str, ...], site: Site, probe: Probe) -> ServiceLogs:
    """Read the last words of the services of one server."""
    assert probe.server is not None
    shell = probe.shell(probe.server)
    probe.stage("log")
    token = secrets.token_hex(8)
    words = [token]
    data_directory = site.settings.postgresql.data_directory if site.settings.postgresql else "/nonexistent"
    for system in systems:
        home = data_directory if system == "postgresql" else "-"
        words += [system, _PROCESSES[system], home, _PLACES[system].format(data_directory=data_directory)]
    done = shell.run(f"sh -s -- {shlex.join(words)}", min(SCRIPT_SECONDS, probe.remaining()), _script())
    sections = cut(done, token)
    try:
        epoch, zone = sections["now"][0].split()
        now, offset = float(epoch), _offset(zone)
    except (KeyError, IndexError, ValueError) as error:
        raise ClientError(FailureKind.ERROR, _("the server's answer is not complete"), "log") from error
    lines = sections.get("log", [])
    check_exit(lines[-1:], complaints_of(done, token)["log"], "log")
    return ServiceLogs(now, tuple(_logs(lines, offset)))


def _logs(lines: list[str], offset: timedelta) -> Iterator[ServiceLog]:
    """Yield each log that was found; without lines where it may not be read."""
    sources: dict[str, str] = {}
    read: dict[str, dict[LogLine, None]] = {}
    for line in lines:
        word, _space, rest = line.partition(" ")
        if word in ("source", "denied"):
            system, _space, sources[system] = rest.partition(" ")
            if word == "source":
                read[system] = {}
        elif word == "log" and rest.strip():
            read[system][_line(rest, offset)] = None
    for system, source in sources.items():
        yield ServiceLog(system, source, tuple(read[system]) if system in read else None)


def _line(raw: str, offset: timedelta) -> LogLine:
    stamp = _STAMP.match(raw)
    return LogLine(_epoch(stamp, offset) if stamp else None, shortened(without_secrets(raw)))


def _epoch(stamp: re.Match[str], offset: timedelta) -> float:
    """Return a time of the log: in its own zone where it names one that is known, else in the server's."""
    zone = stamp[3] or ""
    if zone:
        offset = _offset(zone)
    moment = datetime.fromisoformat(f"{stamp[1]} {stamp[2]}")
    return moment.replace(tzinfo=timezone(offset)).timestamp()


def _offset(zone: str) -> timedelta:
    if zone[0] not in "+-":
        return timedelta()
    return timedelta(hours=int(zone[:3]), minutes=int(zone[0] + zone[-2:]))


@cache
def _script() -> bytes:
    return script_of(Path(__file__).with_suffix(".sh"))
