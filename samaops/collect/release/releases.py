"""What is observed of the releases of a server: its images, and what was recorded of those that ran."""

from __future__ import annotations

import json
import secrets
import shlex
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from msgspec import ValidationError, convert

from samaops.clients.errors import ClientError
from samaops.clients.shell import Completed
from samaops.collect.docker.containers import engine_script
from samaops.collect.docker.reading import engine_failure
from samaops.collect.engine import Probe
from samaops.collect.registry import Target, collects
from samaops.collect.sections import complaints_of, cut
from samaops.facts.release import SCHEMA, Entry, Recorded, ReleaseFacts, ReleaseImage, holder_name, short
from samaops.i18n import _
from samaops.model.failure import FailureKind
from samaops.model.typed import ready
from samaops.site.releases import servers
from samaops.site.site import Site

COMMAND_SECONDS = 8
SCRIPT_SECONDS = 20.0
_LABEL = "org.opencontainers.image."


def _targets(site: Site) -> Iterator[Target]:
    """Yield each server that runs the application in containers."""
    for server in servers(site):
        yield Target(server, server, server, site.shell_seconds(server, SCRIPT_SECONDS))


@collects("release", ReleaseFacts, targets=_targets)
def look(server: str, site: Site, probe: Probe) -> ReleaseFacts:
    """Read one server."""
    shell = probe.shell(server)
    probe.stage("docker images")
    token = secrets.token_hex(8)
    directory = site.settings.release.directory
    command = f"sh -s -- {token} {COMMAND_SECONDS} {shlex.quote(directory)}"
    return read(shell.run(command, min(SCRIPT_SECONDS, probe.remaining()), _script()), token)


def read(done: Completed, token: str) -> ReleaseFacts:
    """Return what the script's output holds. Raises ClientError when the engine did not say all."""
    sections, complaints = cut(done, token), complaints_of(done, token)
    engine = _lines(sections, complaints["engine"], "engine")
    held = set(_lines(sections, complaints["held"], "held"))
    images = _lines(sections, complaints["images"], "images")
    records = _lines(sections, complaints["records"], "records")
    try:
        epoch = float(sections["now"][0])
        listed = tuple(_image(json.loads(line), held) for line in images)
    except (KeyError, IndexError, ValueError, TypeError) as error:
        raise ClientError(FailureKind.GARBAGE, str(error)[:200], "docker images") from error
    entries, unreadable = _entries(records)
    compose = "".join(sections.get("compose", [])[:1]).strip()
    is_replacing = {"yes": True, "no": False}.get("".join(sections.get("replacing", [])[:1]))
    return ReleaseFacts(epoch, "".join(engine[:1]), compose, listed, entries, unreadable, is_replacing)


def _lines(sections: Mapping[str, Sequence[str]], complaints: Sequence[str], name: str) -> Sequence[str]:
    *lines, end = sections.get(name) or ["exit 1"]
    code = end.removeprefix("exit ")
    if code == "0":
        return lines
    complaints = complaints or [_("the server's answer is not complete")]
    raise engine_failure(int(code) if code.isdigit() else 1, complaints)


def _image(document: Mapping[str, Any], held: set[str]) -> ReleaseImage:
    labels = document["labels"] or {}
    return ReleaseImage(
        id=document["id"],
        tags=tuple(tag for tag in document["tags"] or () if "<none>" not in tag),
        version=str(labels.get(f"{_LABEL}version", "")),
        built_at=str(labels.get(f"{_LABEL}created") or document["created"] or ""),
        source=str(labels.get(f"{_LABEL}revision", "")),
        size_bytes=int(document["size"] or 0),
        is_held=holder_name(document["id"]) in held,
    )


def _entries(lines: Sequence[str]) -> tuple[tuple[Entry, ...], tuple[str, ...]]:
    """Return the releases that are recorded, those that were seen running last first, and what cannot be read."""
    archives: dict[str, int] = {}
    entries, unreadable = [], []
    for line in lines:
        word, _space, rest = line.partition(" ")
        first, _space, second = rest.partition(" ")
        if word == "archive":
            archives[first.removesuffix(".tar")] = int(second)
        elif word == "record":
            try:
                recorded = convert(json.loads(second), ready(Recorded))
                seen_at = float(first)
            except (ValueError, ValidationError) as error:
                unreadable.append(f"{second[:60]}: {error}")
                continue
            if recorded.schema != SCHEMA:
                unreadable.append(recorded.schema)
            else:
                entries.append(Entry(recorded, seen_at, archives.get(short(recorded.image))))
    return tuple(entries), tuple(unreadable)


@cache
def _script() -> bytes:
    return engine_script(Path(__file__).with_suffix(".sh"))
