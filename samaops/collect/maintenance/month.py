"""What monthly maintenance reads of each server: updates, an audit by lynis, who may log in, who did."""

from __future__ import annotations

import re
import secrets
import shlex
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path

from samaops.clients.errors import ClientError
from samaops.clients.shell import Completed, serious
from samaops.collect.engine import Probe
from samaops.collect.registry import collects, each_server
from samaops.collect.sections import check_exit, complaints_of, cut, refusal, script_of
from samaops.config.settings import Server
from samaops.facts.maintenance_month import (
    AccessFacts,
    AccessSeen,
    AuditFacts,
    AuditIssue,
    AuditSeen,
    Counted,
    Key,
    Login,
    LoginsFacts,
    Update,
    UpdatesFacts,
)
from samaops.i18n import _
from samaops.model.failure import FailureKind
from samaops.site.site import Site

Sections = Mapping[str, list[str]]
UPDATES_SECONDS = 90.0
ACCESS_SECONDS = 60.0
LOGINS_SECONDS = 180.0
# Lynis looks at everything, with a low priority.
AUDIT_SECONDS = 900.0
LEAST_AUDIT_SECONDS = 120.0
# A month, and the days by which the last run may have been early.
LOOKED_BACK_SECONDS = 35 * 86400.0
_UPDATE = re.compile(r"Inst (?P<name>\S+) (?:\[(?P<old>[^]]*)\] )?\((?P<new>\S+) (?P<origins>[^\[)]*)")
_ACCEPTED = re.compile(r"ssh Accepted (?P<method>\S+) for (?P<user>\S+) from (?P<address>\S+)")
_FAILED = re.compile(
    r"ssh (?:Failed \S+ for (?:invalid user )?(?P<user>.*?) from (?P<address>\S+)"
    r"|Invalid user (?P<invalid>.*?) from (?P<from>\S+)"
    r"|Connection closed by (?:authenticating|invalid) user (?P<closed>.*?) (?P<at>\S+))$"
)
_ALL_RIGHTS = ("root", "sudo", "wheel", "admin", "docker", "lxd")


def _asked(probe: Probe, name: str, seconds: float, *words: str) -> tuple[Completed, str]:
    """Run a script of this room on the probe's server."""
    assert probe.server is not None
    shell = probe.shell(probe.server)
    probe.stage(name)
    token = secrets.token_hex(8)
    command = f"sh -s -- {shlex.join((token, *words))}"
    return shell.run(command, min(seconds, probe.remaining()), _script(name)), token


@cache
def _script(name: str) -> bytes:
    return script_of(Path(__file__).with_name(f"{name}.sh"))


def _incomplete(stage: str) -> ClientError:
    return ClientError(FailureKind.ERROR, _("the server's answer is not complete"), stage)


@collects(
    "maintenance",
    UpdatesFacts,
    targets=each_server(UPDATES_SECONDS),
    feeds=("maintenance.updates",),
    kind="updates",
    on_request=True,
)
def look_at_updates(_server: Server, _site: Site, probe: Probe) -> UpdatesFacts:
    """Ask apt what would be upgraded; nothing is fetched and nothing changed."""
    return read_updates(*_asked(probe, "updates", UPDATES_SECONDS))


def read_updates(done: Completed, token: str) -> UpdatesFacts:
    """Return what the script's output says. Raises ClientError where there is no apt, or it failed."""
    sections, complaints = cut(done, token), complaints_of(done, token)
    try:
        _program, *lists = sections["lists"]
        if _program.startswith("exit"):
            raise ClientError(FailureKind.MISSING, _("this server has no apt-get"), "updates")
        *lines, end = sections["updates"]
        check_exit([end], complaints["updates"], "updates")
        running, *kernels = sections["kernels"] or [""]
        *reboot, required = sections["reboot"] or [""]
        return UpdatesFacts(
            epoch=float(sections["now"][0]),
            release=" ".join(sections["release"][:1]),
            lists_at=float(lists[0]) if lists else None,
            updates=tuple(
                Update(found["name"], found["old"] or "", found["new"], found["origins"].strip())
                for found in map(_UPDATE.match, lines)
                if found
            ),
            deferred=_deferred(lines),
            reboot_packages=tuple(reboot) if required == "required" else None,
            running_kernel=running,
            kernels=tuple(kernels),
            stale=_stale(sections.get("stale", [])),
        )
    except (KeyError, IndexError, ValueError) as error:
        raise _incomplete("updates") from error


def _deferred(lines: Sequence[str]) -> int:
    """Return how many packages apt keeps back: "12 upgraded, 0 newly installed, 0 to remove and 3 not upgraded."."""
    found = next(filter(None, (re.search(r"(\d+) not upgraded", line) for line in lines)), None)
    return int(found[1]) if found else 0


def _stale(lines: Sequence[str]) -> tuple[str, ...] | None:
    if not lines or lines[-1] != "exit 0":
        return None
    return tuple(line.split(None, 1)[1] for line in lines[:-1] if len(line.split(None, 1)) == 2)


@collects(
    "maintenance",
    AuditFacts,
    targets=each_server(AUDIT_SECONDS + 10),
    feeds=("maintenance.audit",),
    kind="audit",
    on_request=True,
)
def look_at_audit(_server: Server, _site: Site, probe: Probe) -> AuditFacts:
    """Have lynis look at a server. Installing it is a step of its own, and nobody's here."""
    if probe.remaining() < LEAST_AUDIT_SECONDS:  # a diagnosis of all that has to do with maintenance
        raise ClientError(FailureKind.DEADLINE, _("lynis takes minutes; there are not so many"), "lynis")
    done, token = _asked(probe, "audit", AUDIT_SECONDS + 10, f"{AUDIT_SECONDS:.0f}")
    return read_audit(done, token, probe.past.audit.get(probe.server or ""))


def read_audit(done: Completed, token: str, earlier: AuditSeen | None) -> AuditFacts:
    """Return what lynis reported. Raises ClientError where it is not there, or came to no end."""
    sections, complaints = cut(done, token), complaints_of(done, token)
    lines = sections.get("lynis", [])
    if lines[-1:] == ["exit 127"]:
        raise ClientError(FailureKind.MISSING, _("lynis is not installed"), "lynis")
    check_exit(lines[-1:], complaints["lynis"], "lynis")
    values: dict[str, list[str]] = {}
    for line in sections.get("report", []):
        name, _equals, value = line.partition("=")
        values.setdefault(name, []).append(value)
    # Its last line: without it the report was cut, and what is missing in it was not looked at.
    if values.get("finish") != ["true"]:
        raise _incomplete("lynis")
    issues = [_issue(value) for value in values.get("warning[]", [])]
    (index,) = values.get("hardening_index", [""])[:1]
    done_tests = "".join(values.get("lynis_tests_done", [""])[:1])
    now = AuditSeen(
        float(sections["now"][0]),
        tuple(sorted({issue.id for issue in issues})),
        tuple(sorted({value.partition("|")[0] for value in values.get("suggestion[]", [])})),
        int(index) if index.isdigit() else None,
    )
    version = "".join(values.get("lynis_version", [""])[:1])
    return AuditFacts(now, earlier, tuple(issues), version, int(done_tests) if done_tests.isdigit() else None)


def _issue(value: str) -> AuditIssue:
    number, text, details, solution, *_rest = (*value.split("|"), "", "", "")
    return AuditIssue(number, text, "" if details == "-" else details, "" if solution == "-" else solution)


@collects(
    "maintenance",
    AccessFacts,
    targets=each_server(ACCESS_SECONDS),
    feeds=("maintenance.access",),
    kind="access",
    on_request=True,
)
def look_at_access(_server: Server, _site: Site, probe: Probe) -> AccessFacts:
    """Read who may log in, who has all rights, and which keys are let in."""
    done, token = _asked(probe, "access", ACCESS_SECONDS)
    return read_access(done, token, probe.past.access.get(probe.server or ""))


def read_access(done: Completed, token: str, earlier: AccessSeen | None) -> AccessFacts:
    """Return what the script's output says. Raises ClientError where not even the users are told."""
    sections, complaints = cut(done, token), complaints_of(done, token)
    users = sections.get("users", [])
    check_exit(users[-1:], complaints["users"], "access")
    try:
        groups = _groups(sections.get("groups", []))
        passwords = dict(line.split("\t", 1) for line in sections.get("shadow", []) if "\t" in line)
        logins = tuple(_logins(users[:-1], groups, passwords))
        sudo = _whole(sections.get("sudoers", []))
        keys = _whole(sections.get("keys", []))
        found = None if keys is None else tuple(_key(line) for line in keys)
        now = _seen(float(sections["now"][0]), logins, sudo, found)
    except (KeyError, IndexError, ValueError) as error:
        raise _incomplete("access") from error
    if sudo is None and found is None:
        raise refusal(complaints["sudoers"] + complaints["keys"])
    sshd = dict(line.split(" ", 1) for line in sections.get("sshd", []) if " " in line)
    return AccessFacts(now, earlier, logins, found, None if sudo is None else tuple(sudo), sshd)


def _whole(lines: list[str]) -> list[str] | None:
    return lines[:-1] if lines[-1:] == ["exit 0"] else None


def _groups(lines: Sequence[str]) -> Mapping[str, tuple[str, set[str]]]:
    """Return of each group that gives rights its number and its members."""
    found = {}
    for line in lines:
        name, _password, number, members = line.split(":", 3)
        found[name] = (number, set(filter(None, members.split(","))))
    return found


def _logins(
    lines: Sequence[str], groups: Mapping[str, tuple[str, set[str]]], passwords: Mapping[str, str]
) -> Iterator[Login]:
    for line in lines:
        user, _password, number, group, _name, _home, shell = line.split(":", 6)
        # sync is a program that ends by itself.
        if shell.endswith(("nologin", "/false", "/sync")):
            continue
        his = tuple(name for name, (own, members) in groups.items() if user in members or group == own)
        yield Login(user, int(number), shell, his, passwords.get(user))


def _key(line: str) -> Key:
    user, at, words = line.split("\t", 2)
    bits, _space, rest = words.partition(" ")
    fingerprint, _space, rest = rest.partition(" ")
    comment, _space, kind = rest.rpartition(" ")
    return Key(
        user,
        fingerprint,
        kind.strip("()"),
        int(bits) if bits.isdigit() else None,
        comment,
        float(at) if at.isdigit() else None,
    )


def _seen(
    at: float, logins: Sequence[Login], sudo: Sequence[str] | None, keys: Sequence[Key] | None
) -> AccessSeen:
    """Return what is compared with next month: who may log in by a password or a key, who may do all, which keys."""
    with_keys = {key.user for key in keys or ()}
    may = [login.user for login in logins if login.state != "locked" or login.user in with_keys]
    rights = [f"{login.user} ({name})" for login in logins for name in login.groups if name in _ALL_RIGHTS]
    twins = [f"{login.user} (uid 0)" for login in logins if login.number == 0]
    return AccessSeen(
        at,
        tuple(sorted(may)),
        tuple(sorted({*rights, *twins, *(" ".join(line.split()) for line in sudo or ())})),
        tuple(sorted(f"{key.user} {key.fingerprint} {key.comment}" for key in keys or ())),
    )


@collects(
    "maintenance",
    LoginsFacts,
    targets=each_server(LOGINS_SECONDS),
    feeds=("maintenance.logins",),
    kind="logins",
    on_request=True,
)
def look_at_logins(_server: Server, _site: Site, probe: Probe) -> LoginsFacts:
    """Read the log of log-ins of the last month."""
    since = time.time() - LOOKED_BACK_SECONDS
    done, token = _asked(probe, "logins", LOGINS_SECONDS, f"{since:.0f}")
    return read_logins(done, token, since)


def read_logins(done: Completed, token: str, since: float) -> LoginsFacts:
    """Return what the log tells. Raises ClientError where there is none: that is not the same as no log-ins."""
    sections, complaints = cut(done, token), complaints_of(done, token)
    source = "".join(sections.get("source", [])[:1])
    if source == "absent":
        if serious(complaints["source"]):  # sudo asks for a password, or the directory is closed
            raise refusal(complaints["source"])
        text = _("there is neither a journal nor /var/log/auth.log")
        raise ClientError(FailureKind.MISSING, text, "logins")
    lines = sections.get("lines", [])
    check_exit(lines[-1:], complaints["lines"], "logins")
    accepted, failed, sudo = [], [], []
    for line in lines[:-1]:
        number, _space, text = line.strip().partition(" ")
        count = int(number) if number.isdigit() else 0
        if found := _ACCEPTED.match(text):
            accepted.append(Counted(found["user"][:100], found["address"], count, found["method"]))
        elif found := _FAILED.match(text):
            user = found["user"] or found["invalid"] or found["closed"] or ""
            address = found["address"] or found["from"] or found["at"] or ""
            # An invalid user is logged a second time with the password that failed.
            if not text.startswith("ssh Invalid"):
                failed.append(Counted(user[:100], address, count))
        elif text.startswith("sudo "):
            sudo.append(Counted(text.removeprefix("sudo ")[:100], "", count))
    try:
        oldest = next((float(line) for line in sections["oldest"]), None)
        epoch = float(sections["now"][0])
    except (KeyError, IndexError, ValueError) as error:
        raise _incomplete("logins") from error
    return LoginsFacts(source, epoch, since, oldest, tuple(accepted), tuple(failed), tuple(sudo))
