"""How each server is exposed: what listens to whom, which secrets lie open, what containers may do."""

from __future__ import annotations

import json
import re
import secrets
import shlex
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from samaops.clients.errors import ClientError
from samaops.clients.shell import Completed
from samaops.collect.engine import Probe
from samaops.collect.registry import collects, each_server
from samaops.collect.sections import check_exit, complaints_of, cut, refusal, script_of
from samaops.config.settings import Server
from samaops.facts.maintenance_month import ContainerSafety, Listening, ReadableSecret, SafetyFacts
from samaops.i18n import _
from samaops.model.failure import FailureKind
from samaops.site.site import Site

SCRIPT_SECONDS = 80.0
# Where the guide puts the application.
_DIRECTORIES = ("/opt",)
_PROGRAM = re.compile(r'users:\(\("(?P<name>[^"]+)"')


@collects(
    "maintenance",
    SafetyFacts,
    targets=each_server(SCRIPT_SECONDS),
    feeds=("maintenance.safety",),
    kind="safety",
    on_request=True,
)
def look(_server: Server, site: Site, probe: Probe) -> SafetyFacts:
    """Look at how a server is exposed."""
    assert probe.server is not None
    shell = probe.shell(probe.server)
    probe.stage("safety")
    token = secrets.token_hex(8)
    has_containers = bool(site.settings.docker) and probe.server in site.containers()
    command = f"sh -s -- {shlex.join((token, str(int(has_containers)), *_DIRECTORIES))}"
    return read(shell.run(command, min(SCRIPT_SECONDS, probe.remaining()), _script()), token, probe)


def read(done: Completed, token: str, probe: Probe) -> SafetyFacts:
    """Return what the script's output says, part by part. Raises ClientError when it did not even begin."""
    sections, complaints = cut(done, token), complaints_of(done, token)

    def part(name: str) -> list[str]:
        lines = sections.get(name, [])
        if lines[-1:] == ["exit 127"]:
            raise ClientError(FailureKind.MISSING, _("{name} is not there").format(name="docker"), name)
        if not lines:
            raise refusal(complaints[name])
        check_exit(lines[-1:], complaints[name], name)
        return lines[:-1]

    try:
        return SafetyFacts(
            listening=probe.attempt("listening", lambda: _listening(part("listening"))),
            filters=probe.attempt("filters", lambda: any(int(line) > 0 for line in part("filters")[:1])),
            readable=probe.attempt("readable", lambda: tuple(_readable(line) for line in part("readable"))),
            containers=probe.attempt("containers", lambda: tuple(map(_container, part("containers")))),
            without_tls=probe.attempt("without_tls", lambda: tuple(part("without_tls"))),
            release=" ".join(sections.get("release", [])[:1]),
        )
    except (IndexError, ValueError) as error:
        raise ClientError(FailureKind.ERROR, _("the server's answer is not complete"), "safety") from error


def _listening(lines: Sequence[str]) -> tuple[Listening, ...]:
    found: dict[tuple[str, int], Listening] = {}
    for line in lines:
        _state, _received, _sent, local, *rest = line.split(None, 5)
        address, _colon, port = local.rpartition(":")
        program = _PROGRAM.search(" ".join(rest))
        address = address.partition("%")[0]
        found[address, int(port)] = Listening(address, int(port), program["name"] if program else "?")
    return tuple(found[place] for place in sorted(found, key=lambda place: (place[1], place[0])))


def _readable(line: str) -> ReadableSecret:
    mode, _tab, path = line.partition("\t")
    return ReadableSecret(path, mode)


def _container(line: str) -> ContainerSafety:
    name, user, privileged, image, *without = line.split(" ")
    values: Mapping[str, object] = {"name": json.loads(name), "user": json.loads(user)}
    return ContainerSafety(
        str(values["name"]).lstrip("/"),
        str(values["user"] or ""),
        privileged == "true",
        tuple(without),
        str(json.loads(image)),
    )


@cache
def _script() -> bytes:
    return script_of(Path(__file__).with_suffix(".sh"))
