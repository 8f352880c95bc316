"""What is observed of the images of a Docker engine: which are used, and which releases they are."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from samaops.clients.errors import ClientError
from samaops.clients.shell import Completed
from samaops.collect.docker.containers import engine_script, require_engine
from samaops.collect.docker.reading import engine_failure, size_bytes
from samaops.collect.docker.times import epoch_of
from samaops.collect.engine import Probe
from samaops.collect.registry import Target, collects
from samaops.collect.sections import complaints_of, cut
from samaops.facts.maintenance import UNTAGGED, Image, ImagesFacts
from samaops.i18n import _
from samaops.model.failure import FailureKind
from samaops.site.site import Site

COMMAND_SECONDS = 8
SCRIPT_SECONDS = 30.0
# Docker's first release, in March 2013. Bazel, jib, ko and nix write 1970, buildpacks 1980.
_FIRST_DOCKER = 1_363_737_600.0


def _targets(site: Site) -> Iterator[Target]:
    """Yield each server that must run containers."""
    for server in site.containers() if site.settings.docker else ():
        yield Target(server, server, server, site.shell_seconds(server, SCRIPT_SECONDS))


@collects(
    "maintenance",
    ImagesFacts,
    targets=_targets,
    feeds=("maintenance.images",),
    kind="images",
    on_request=True,
)
def look(server: str, site: Site, probe: Probe) -> ImagesFacts:
    """List the images of one engine."""
    require_engine(site)
    shell = probe.shell(server)
    probe.stage("docker images")
    token = secrets.token_hex(8)
    command = f"sh -s -- {token} {COMMAND_SECONDS}"
    return read(shell.run(command, min(SCRIPT_SECONDS, probe.remaining()), _script()), token)


def read(done: Completed, token: str) -> ImagesFacts:
    """Return the images that the script's output holds. Raises ClientError when the engine did not say all."""
    sections, complaints = cut(done, token), complaints_of(done, token)
    used = {
        line
        for line in _lines(sections, complaints["containers"], "containers")
        if line.startswith("sha256:")
    }
    try:
        arrivals = _arrivals(sections.get("arrived", []))
        lines = _lines(sections, complaints["images"], "images")
        images = tuple(_image(json.loads(line), used, arrivals) for line in lines)
        epoch = float(sections["now"][0])
    except (KeyError, IndexError, ValueError, TypeError) as error:
        raise ClientError(FailureKind.GARBAGE, str(error)[:200], "docker images") from error
    return ImagesFacts(epoch, images, _disk_bytes(sections.get("disk", [])))


def _lines(sections: Mapping[str, Sequence[str]], complaints: Sequence[str], name: str) -> Sequence[str]:
    *lines, end = sections.get(name) or ["exit 1"]
    code = end.removeprefix("exit ")
    if code == "0":
        return lines
    complaints = complaints or [_("the server's answer is not complete")]
    raise engine_failure(int(code) if code.isdigit() else 1, complaints)


def _arrivals(lines: Sequence[str]) -> dict[str, float]:
    """Return when this engine wrote each image down; nothing where its files cannot be read, or are kept otherwise."""
    words = (line.split(" ") for line in lines)
    return {f"sha256:{pair[0]}": float(pair[1]) for pair in words if len(pair) == 2 and len(pair[0]) == 64}


def _image(document: Mapping[str, Any], used: set[str], arrivals: Mapping[str, float]) -> Image:
    tags = tuple(tag for tag in document["tags"] or () if UNTAGGED not in tag)
    digests = tuple(digest for digest in document["digests"] or () if UNTAGGED not in digest)
    repositories = [tag.rpartition(":")[0] for tag in tags]
    repositories += [digest.partition("@")[0] for digest in digests]
    return Image(
        id=document["id"],
        tags=tags,
        repositories=tuple(sorted(set(repositories))),
        created_at=_built_at(document["created"]),
        tagged_at=epoch_of(document["tagged"]),
        size_bytes=int(document["size"] or 0),
        is_used=document["id"] in used,
        arrived_at=arrivals.get(document["id"]),
    )


def _built_at(stamp: str | None) -> float | None:
    """Return when an image was built; None for the dates that reproducible builds write, all before Docker was."""
    at = epoch_of(stamp)
    return None if at is None or at < _FIRST_DOCKER else at


def _disk_bytes(lines: Sequence[str]) -> int | None:
    for line in lines:
        try:
            document = json.loads(line)
        except ValueError:
            continue
        if isinstance(document, dict) and document.get("Type") == "Images":
            return size_bytes(str(document.get("Size") or ""))
    return None


@cache
def _script() -> bytes:
    return engine_script(Path(__file__).with_suffix(".sh"))
