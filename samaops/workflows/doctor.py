"""`samaops doctor`: whether this machine has what samaops needs, each line with what to do.

It needs no configuration that is good, and answers without one.
"""

from __future__ import annotations

import ctypes
import locale
import os
import shutil
import stat
import sys
import time
from collections.abc import Iterator
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from zoneinfo import available_timezones

from msgspec import Struct
from packaging.requirements import Requirement

from samaops.clients import known_hosts, ssh_keys
from samaops.clients.errors import ClientError
from samaops.config.load import Configuration
from samaops.config.settings import Ssh
from samaops.errors import SamaopsError, reason_of
from samaops.facts.selection import Selection
from samaops.i18n import _, ngettext
from samaops.journal import history, lock_directory
from samaops.journal.history import Journal
from samaops.model.finding import Finding
from samaops.model.report import Report, worst_first
from samaops.model.status import Status
from samaops.site.site import Site
from samaops.workflows import configuration as checking
from samaops.workflows import diagnose

_OLDEST_PYTHON, _NEWEST_PYTHON = (3, 10), (3, 13)
_LEAST_FREE_BYTES = 100 * 1024**2
_NARROWEST_COLUMNS = 80
_REACH_SECONDS = 6.0
# adjtimex(2): the state of a clock that nothing keeps right, and more room than its struct needs
_TIME_ERROR, _TIMEX_BYTES = 5, 512
# Programs of proposed commands, by the section that they are for; the package of Debian that has each.
_PROGRAMS = (
    ("servers", "ssh", "openssh-client"),
    ("servers", "ssh-keyscan", "openssh-client"),
    ("servers", "ip", "iproute2"),
    ("postgresql", "psql", "postgresql-client"),
    ("pgbouncer", "psql", "postgresql-client"),
    ("redis", "redis-cli", "redis-tools"),
    ("api", "curl", "curl"),
    ("certificates", "openssl", "openssl"),
)


class Machine(Struct, frozen=True):
    """What is known before the look: the configuration or why there is none, and what was written to."""

    configuration: Configuration | None
    problem: SamaopsError | None
    log_directory: Path
    encoding: str
    is_terminal: bool


def examine(machine: Machine) -> Report:
    """Look at this machine."""
    started = time.monotonic()
    started_at = datetime.now(timezone.utc)
    site = Site(machine.configuration.settings) if machine.configuration else None
    findings = [
        *_python(),
        *_libraries(),
        *_configuration(machine),
        *_directories(machine, site),
        *_clock(),
        *_language(machine),
        *_terminal(machine),
    ]
    if site is not None:
        findings += [
            *_history(site),
            *_keys(site),
            *_hosts(site),
            *_programs(site),
            *_drivers(site),
            *_reach(site),
        ]
    duration = round(1000 * (time.monotonic() - started))
    lacks = sum(finding.status not in (Status.OK, Status.SKIPPED) for finding in findings)
    answer = _("This machine has what samaops needs")
    if lacks:
        answer = ngettext("{count} thing to do here", "{count} things to do here", lacks).format(count=lacks)
    return Report("doctor", started_at, duration, findings=worst_first(findings), answer=answer)


def _line(code: str, status: Status, subject: str, title: str, hint: str = "") -> Finding:
    return Finding(f"doctor.{code}", status, f"doctor/{subject}", title, hint=hint or None)


def _python() -> Iterator[Finding]:
    version = sys.version_info[:2]
    words = f"Python {sys.version.split()[0]}, {sys.executable}"
    if version < _OLDEST_PYTHON:
        hint = _("install samaops with Python 3.10 to 3.13")
        yield _line("python", Status.CRITICAL, "python", words, hint)
    elif version > _NEWEST_PYTHON:
        title = _("{python}: newer than what samaops was tested with").format(python=words)
        yield _line("python", Status.WARNING, "python", title, _("install samaops with Python 3.10 to 3.13"))
    else:
        yield _line("python", Status.OK, "python", words)


def _libraries() -> Iterator[Finding]:
    try:
        requirements = metadata.requires("samaops") or []
    except metadata.PackageNotFoundError:
        title = _("samaops runs from its source: which libraries it needs is not noted here")
        yield _line("library", Status.UNKNOWN, "libraries", title, "pip install .")
        return
    good = []
    for requirement in map(Requirement, requirements):
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue  # of another Python, or of an extra, which nobody needs here
        name, limits = requirement.name, requirement.specifier
        hint = f"{sys.executable} -m pip install '{name}{limits}'"
        try:
            version = metadata.version(name)
        except metadata.PackageNotFoundError:
            title = _("The library {name} is missing").format(name=name)
            yield _line("library", Status.CRITICAL, name, title, hint)
            continue
        if not limits.contains(version, prereleases=True):
            title = _("{name} {version} is not what samaops needs: {limits}")
            words = title.format(name=name, version=version, limits=limits)
            yield _line("library", Status.CRITICAL, name, words, hint)
        else:
            good.append(f"{name} {version}")
    yield _line("library", Status.OK, "libraries", ", ".join(good))


def _configuration(machine: Machine) -> Iterator[Finding]:
    if machine.problem is not None:
        fault = machine.problem.message.splitlines()[0]
        hint = machine.problem.hint or "samaops config check"
        yield _line("configuration", Status.CRITICAL, "configuration", fault, hint)
    if machine.configuration is None:
        return
    path = machine.configuration.path
    mode = stat.S_IMODE(path.stat().st_mode)
    words = _("{path}, mode {mode:04o}").format(path=path, mode=mode)
    if mode & (stat.S_IWGRP | stat.S_IWOTH):
        title = _("{path}, mode {mode:04o}: others may write it, and so choose what samaops runs")
        yield _line("mode", Status.CRITICAL, "mode", title.format(path=path, mode=mode), f"chmod go-w {path}")
    else:
        yield _line("mode", Status.OK, "mode", words)
    try:
        systems = checking.check(machine.configuration)
    except SamaopsError as error:
        lines = error.message.splitlines()
        title = ngettext(
            "{count} fault in the configuration: {fault}",
            "{count} faults in the configuration; the first: {fault}",
            len(lines),
        )
        words = title.format(count=len(lines), fault=lines[0])
        yield _line("configuration", Status.CRITICAL, "configuration", words, "samaops config check")
        return
    yield _line("configuration", Status.OK, "configuration", ", ".join(systems) or _("nothing"))


def _directories(machine: Machine, site: Site | None) -> Iterator[Finding]:
    safety = site.settings.safety.lock_directory if site else None
    named = {
        "state": history.default_file().parent,
        "locks": lock_directory.choose(safety),
        "log": machine.log_directory,
    }
    for name, path in named.items():
        there = _nearest_there(path)
        if not os.access(there, os.W_OK | os.X_OK):
            title = _("{path} cannot be written by this user").format(path=path)
            hint = f"sudo install -d -o {os.getuid()} {path}"
            yield _line("directory", Status.CRITICAL, name, title, hint)
            continue
        usage = os.statvfs(there)
        free = usage.f_bavail * usage.f_frsize
        words = _("{path} can be written, {free} MB are free").format(path=path, free=free // 1024**2)
        is_full = free < _LEAST_FREE_BYTES or (usage.f_files and not usage.f_favail)
        hint = f"df -h {there}; df -i {there}"
        yield _line(
            "directory", Status.WARNING if is_full else Status.OK, name, words, hint if is_full else ""
        )


def _history(site: Site) -> Iterator[Finding]:
    """Look whether the history can be read: no change is made without it."""
    try:
        journal = Journal(history.database_of(site.settings), site.settings.site)
        count = len(journal.changes(1))
        journal.close()
    except SamaopsError as error:
        yield _line("history", Status.CRITICAL, "history", error.message, error.hint)
        return
    yield _line(
        "history", Status.OK, "history", _("the history can be read") if count else _("the history is empty")
    )


def _nearest_there(path: Path) -> Path:
    """Return the path, or the nearest directory above it that exists: there it would be made."""
    return next((place for place in (path, *path.parents) if place.exists()), Path("/"))


def _clock() -> Iterator[Finding]:
    if not available_timezones():
        title = _("This machine has no database of time zones")
        yield _line("zones", Status.WARNING, "zones", title, "sudo apt install tzdata")
    now = datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC")
    try:
        state = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))
    except (OSError, AttributeError):
        state = -1
    if state == _TIME_ERROR:
        title = _("{now}: nothing keeps this clock right").format(now=now)
        yield _line("clock", Status.WARNING, "clock", title, "sudo timedatectl set-ntp true")
    elif state < 0:
        title = _("{now}: whether something keeps this clock right is not shown here").format(now=now)
        yield _line("clock", Status.UNKNOWN, "clock", title, "timedatectl")
    else:
        yield _line("clock", Status.OK, "clock", _("{now}, kept right").format(now=now))


def _language(machine: Machine) -> Iterator[Finding]:
    asked = next((os.environ[name] for name in ("LC_ALL", "LC_CTYPE", "LANG") if os.environ.get(name)), "")
    before = locale.setlocale(locale.LC_CTYPE)
    try:
        locale.setlocale(locale.LC_CTYPE, "")
        is_known = True
    except locale.Error:
        is_known = False
    finally:
        locale.setlocale(locale.LC_CTYPE, before)
    if not is_known:
        title = _("The locale {name} is not installed").format(name=asked)
        yield _line("locale", Status.WARNING, "locale", title, "export LANG=C.UTF-8; locale -a")
    elif "utf" not in machine.encoding.lower():
        title = _("The terminal is told {encoding}: letters with accents are replaced").format(
            encoding=machine.encoding
        )
        yield _line("locale", Status.WARNING, "locale", title, "export LANG=C.UTF-8")
    else:
        yield _line("locale", Status.OK, "locale", f"{asked or 'C'}, {machine.encoding}")


def _terminal(machine: Machine) -> Iterator[Finding]:
    if not machine.is_terminal:
        yield _line("terminal", Status.SKIPPED, "terminal", _("no terminal: nothing can be asked here"))
        return
    columns = shutil.get_terminal_size().columns
    name = os.environ.get("TERM", "")
    if columns < _NARROWEST_COLUMNS:
        title = _("{columns} columns: proposed commands are broken over lines").format(columns=columns)
        yield _line("terminal", Status.WARNING, "terminal", title, _("make the window 80 columns wide"))
    elif name in ("", "dumb"):
        title = _("TERM names no terminal: there are no colours")
        yield _line("terminal", Status.WARNING, "terminal", title, "export TERM=xterm-256color")
    else:
        yield _line("terminal", Status.OK, "terminal", f"{name}, {columns}")


def _keys(site: Site) -> Iterator[Finding]:
    """Look whether there is a key to log in with, for each way that is configured."""
    ends_at = time.monotonic() + 2.0
    seen: set[Path | None] = set()
    for name, server in site.settings.servers.items():
        if not isinstance(server.ssh, Ssh) or server.ssh.key_file in seen:
            continue
        file = server.ssh.key_file
        seen.add(file)
        subject = str(file or "~/.ssh")
        try:
            count = len(ssh_keys.own(file, ends_at) if file else ssh_keys.usual(ends_at))
        except ClientError as error:
            yield _line("key", Status.CRITICAL, subject, error.message, f"ssh-keygen -lf {file}")
            continue
        if count:
            yield _line("key", Status.OK, subject, _("{count} keys to log in with").format(count=count))
        else:
            title = _("There is no key to log in to {server}: neither in ssh-agent nor in ~/.ssh")
            hint = f"ssh-keygen -t ed25519; ssh-copy-id {server.ssh.user}@{server.address}"
            yield _line("key", Status.CRITICAL, subject, title.format(server=name), hint)


def _hosts(site: Site) -> Iterator[Finding]:
    for name, server in site.settings.servers.items():
        if not isinstance(server.ssh, Ssh):
            continue
        file, port = server.ssh.known_hosts.expanduser(), server.ssh.port
        try:
            host = known_hosts.read(file, server.address, port)
        except OSError as error:
            title = f"{file}: {reason_of(error)}"
            yield _line("known_hosts", Status.CRITICAL, name, title, f"ls -l {file}")
            continue
        if host.keys or host.authorities:
            title = _("{file} knows the key of {server}").format(file=file, server=name)
            yield _line("known_hosts", Status.OK, name, title)
        else:
            title = _("{file} does not know the key of {server}: it is not logged in to")
            hint = f"ssh-keyscan -p {port} {server.address} | ssh-keygen -lf -"
            yield _line("known_hosts", Status.CRITICAL, name, title.format(file=file, server=name), hint)


def _programs(site: Site) -> Iterator[Finding]:
    needed = {program: package for section, program, package in _PROGRAMS if getattr(site.settings, section)}
    for program, package in needed.items():
        place = shutil.which(program)
        if place is None:
            title = _("{program}, which proposed commands need, is not here").format(program=program)
            yield _line("program", Status.WARNING, program, title, f"sudo apt install {package}")
        else:
            yield _line("program", Status.OK, program, place)


def _drivers(site: Site) -> Iterator[Finding]:
    needed = {database.driver for database in site.settings.sqlserver}
    if not needed:
        return
    try:
        import pyodbc
    except ImportError as error:
        title = _("ODBC cannot be used: {reason}").format(reason=error)
        yield _line("driver", Status.CRITICAL, "odbc", title, "sudo apt install unixodbc")
        return
    known = set(pyodbc.drivers())
    for driver in sorted(needed):
        is_there = driver in known or Path(driver).is_file()
        title = driver if is_there else _("The ODBC driver {name} is not installed").format(name=driver)
        status = Status.OK if is_there else Status.CRITICAL
        yield _line("driver", status, driver, title, "" if is_there else "odbcinst -q -d")


def _reach(site: Site) -> Iterator[Finding]:
    """Look whether anything can be reached from here at all: one answer says that the network of this machine is up."""
    if not site.settings.servers:
        return
    snapshot = diagnose.observe(site, Selection(only=("servers.host.unreachable",)), _REACH_SECONDS)
    judged = diagnose.judge(snapshot, site, Selection(only=("servers.host.unreachable",))).findings
    silent = [finding for finding in judged if finding.status is not Status.OK]
    if silent and len(silent) == len(judged):
        title = _("None of the {count} servers is reached from here").format(count=len(judged))
        yield _line("network", Status.CRITICAL, "network", title, "ip route; ip addr")
        return
    for finding in silent:
        hint = finding.hint or "samaops diagnose --only servers"
        yield _line("network", Status.WARNING, str(finding.server), finding.title, hint)
    if judged:
        title = _("{count} of {all} servers are reached from here")
        words = title.format(count=len(judged) - len(silent), all=len(judged))
        yield _line("network", Status.OK, "network", words)
