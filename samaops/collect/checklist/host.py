"""How each server was prepared: its size, who may log in, what guards it, which versions are there."""

from __future__ import annotations

import re
import secrets
import shlex
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from samaops.clients.errors import ClientError
from samaops.clients.shell import Completed
from samaops.collect.engine import Probe
from samaops.collect.registry import collects, each_server
from samaops.collect.sections import check_exit, complaints_of, cut, refusal, script_of
from samaops.config.settings import Server
from samaops.facts.checklist import HostFacts
from samaops.i18n import _
from samaops.model.failure import FailureKind
from samaops.site.guide_servers import users_of
from samaops.site.site import Site

SCRIPT_SECONDS = 25.0
_VERSION = re.compile(r"(\d+(?:\.\d+)+)")
_POLICY = re.compile(r"policy (\w+);")
_TO_NOTHING = re.compile(r"iptables -A INPUT(?: -m comment --comment \S+)? -j (DROP|REJECT)\b")
CODES = tuple(
    f"checklist.{part}"
    for part in ("host", "system", "hardware", "ssh", "sudo", "fail2ban", "firewall", "docker", "exporters", "users", "secrets")
)  # fmt: skip


@collects(
    "checklist", HostFacts, targets=each_server(SCRIPT_SECONDS), feeds=CODES, kind="host", on_request=True
)
def look(_server: Server, site: Site, probe: Probe) -> HostFacts:
    """Read a server over its shell."""
    assert probe.server is not None
    shell = probe.shell(probe.server)
    probe.stage("host")
    token = secrets.token_hex(8)
    command = f"sh -s -- {shlex.join((token, *users_of(site, probe.server)))}"
    return read(shell.run(command, min(SCRIPT_SECONDS, probe.remaining()), _script()), token, probe)


def read(done: Completed, token: str, probe: Probe) -> HostFacts:
    """Return what the script's output says, part by part. Raises ClientError when it did not even begin."""
    sections, complaints = cut(done, token), complaints_of(done, token)

    def part(name: str) -> list[str]:
        lines = sections.get(name, [])
        if not lines:
            raise refusal(complaints[name])
        check_exit(lines[-1:], complaints[name], name)
        return lines[:-1]

    def first(name: str) -> str:
        return " ".join(sections.get(name, [])[:1])

    try:
        processors, kilobytes = first("size").split()
        user, *may = sections["user"]
        ban = sections.get("fail2ban", [])
        return HostFacts(
            release=first("release"),
            processors=int(processors),
            memory_bytes=int(kilobytes) * 1024,
            disk_bytes=int(first("disks")) * 1024 if first("disks").isdigit() else None,
            user=user,
            may_sudo=bool(may),
            sshd=probe.attempt("sshd", lambda: _sshd(sections.get("sshd", []), complaints["sshd"])),
            fail2ban=ban[0] if ban else None,
            jails=tuple(name.strip() for name in ban[1].split(",") if name.strip()) if len(ban) > 1 else None,
            input_policy=probe.attempt("input_policy", lambda: policy_of(part("firewall"))),
            docker=_version(first("docker")),
            compose=_version(first("compose")),
            ports=probe.attempt("ports", lambda: tuple(map(_port, part("ports")))),
            users=probe.attempt("users", lambda: tuple(part("users"))),
            secrets=probe.attempt("secrets", lambda: tuple(map(_secret, part("secrets")))),
        )
    except (KeyError, IndexError, ValueError) as error:
        raise ClientError(FailureKind.ERROR, _("the server's answer is not complete"), "host") from error


def _sshd(lines: Sequence[str], complaints: Sequence[str]) -> dict[str, str]:
    if not lines:
        raise refusal(complaints)
    return {name: value for name, _space, value in (line.partition(" ") for line in lines)}


def policy_of(lines: Sequence[str]) -> str:
    """Return what becomes of what no rule lets in: drop, reject, or accept."""
    for line in lines:
        policy = _POLICY.search(line) if line.startswith("nft ") else None
        if line.startswith("iptables -P INPUT "):
            word = line.rsplit(" ", 1)[-1].lower()
        elif _TO_NOTHING.match(line):
            word = line.split(" -j ")[1].split()[0].lower()
        else:
            word = policy[1] if policy else "accept"
        if word in ("drop", "reject"):
            return word
    return "accept"


def _version(line: str) -> str:
    found = _VERSION.search(line)
    return found[1] if found else ""


def _port(line: str) -> tuple[str, int]:
    local = line.split()[3]
    address, _colon, port = local.rpartition(":")
    return address.partition("%")[0].strip("[]"), int(port)


def _secret(line: str) -> tuple[str, str, str]:
    mode, owner, path = line.split("\t", 2)
    return mode, owner, path


@cache
def _script() -> bytes:
    return script_of(Path(__file__).with_suffix(".sh"))
