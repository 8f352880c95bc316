"""Read what the script ``docker.sh`` printed into the facts of an engine."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from msgspec.structs import replace

from samaops.clients.errors import ClientError
from samaops.clients.shell import Completed, reason
from samaops.collect.docker import inside
from samaops.collect.docker.definition import configuration_of
from samaops.collect.docker.times import epoch_of
from samaops.collect.engine import Probe
from samaops.collect.sections import check_exit, complaints_of, cut
from samaops.collect.values import lacking, needed
from samaops.facts.docker import Container, DiskUse, DockerFacts
from samaops.facts.night import KEEPERS, MadeContainer
from samaops.i18n import _
from samaops.model.failure import FailureKind

# docker prints sizes with decimal prefixes (go-units HumanSize): kB is 1000 bytes.
_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "p": 10**15}
_SIZE = re.compile(r"([\d.]+)\s*([kmgtp]?)i?b", re.IGNORECASE)
HEALTH_LOG_CHARACTERS = 300
COMMAND_SECONDS = 4  # of one docker command


def read(done: Completed, token: str, expected: tuple[str, ...], probe: Probe) -> DockerFacts:
    """Return the facts that the script's output holds. Raises ClientError when the engine did not answer."""
    sections, complaints = cut(done, token), complaints_of(done, token)
    try:
        epoch, memory_kilobytes = (int(line) for line in sections["machine"])
        exit_line, *output = sections["ps"]
        code = int(exit_line.removeprefix("exit "))
    except (KeyError, ValueError) as error:
        message = _("the server's answer is not complete, it has: {sections}").format(
            sections=", ".join(sections)
        )
        raise ClientError(FailureKind.ERROR, message, "script") from error
    if code:
        raise engine_failure(code, complaints["ps"])
    inspected = list(_documents(sections.get("inspect", [])))
    if output and not inspected:
        message = _("docker ps answers, docker inspect does not within {seconds} s").format(
            seconds=COMMAND_SECONDS
        )
        raise ClientError(FailureKind.NO_ANSWER, message, "docker inspect")
    for document in inspected:
        _require(document)
    logs = probe.attempt(
        "logs",
        lambda: _log_sizes(_asked_for("logs", "docker.log.large", sections, probe), complaints["logs"]),
    )
    seen = probe.attempt(
        "inside", lambda: inside.read(sections.get("inside"), complaints["inside"], inspected)
    )
    ways = probe.attempt(
        "ways", lambda: inside.ways(sections.get("inside"), sections.get("ways"), complaints["ways"])
    )
    unsorted = (
        replace(
            _container(raw, logs),
            environment=inside.environment(raw.get("environment")),
            settings=(*inside.limits(raw), *inside.options(raw)),
            ways=ways.get(raw["id"]) if ways else None,
            **(seen or {}).get(raw["id"], {}),
        )
        for raw in inspected
    )
    containers = tuple(sorted(unsorted, key=lambda container: container.name))
    created = {container.name: container.created_at for container in containers}
    return DockerFacts(
        epoch=epoch,
        memory_total=memory_kilobytes * 1024,
        expected=expected,
        containers=containers,
        logs_seen=None if logs is None else True,
        disk=probe.attempt(
            "disk",
            lambda: _disk(_asked_for("disk", "docker.disk.reclaimable", sections, probe), complaints["disk"]),
        ),
        configuration=probe.attempt(
            "configuration", lambda: configuration_of(inspected, created, sections.get("files"))
        ),
        running=lasting(containers),
    )


def lasting(containers: Sequence[Container]) -> tuple[MadeContainer, ...]:
    """Return the containers that are there for more than a single task, with when they were made."""
    return tuple(
        MadeContainer(each.name, each.image, each.image_id, each.created_at)
        for each in containers
        if each.created_at is not None and not each.is_oneoff and not each.name.startswith(KEEPERS)
    )


def _asked_for(name: str, code: str, sections: Mapping[str, list[str]], probe: Probe) -> list[str] | None:
    """Return a section that is printed where a check needs it; the script may be cut before it comes to it."""
    if name not in sections and probe.wants(code):
        raise lacking(name, stage="script")
    return sections.get(name)


def _documents(lines: Sequence[str]) -> Iterator[Mapping[str, Any]]:
    for line in lines:
        try:
            document = json.loads(line)
        except ValueError as error:
            raise ClientError(FailureKind.GARBAGE, f"{error}: {line[:80]!r}", "docker inspect") from error
        if not isinstance(document, dict):
            raise lacking("{}", stage="docker")
        yield document


def _require(document: Mapping[str, Any]) -> None:
    """Raise ClientError where a container's document lacks what every one has."""
    for name in ("name", "id", "image", "image_id", "restart_count", "memory_limit"):
        needed(document, name, stage="docker inspect")
    for name in ("Status", "OOMKilled", "ExitCode", "StartedAt", "FinishedAt"):
        needed(document, "state", name, stage="docker inspect")
    if document["state"].get("Health") is not None:  # left out where there is no health check
        needed(document, "state", "Health", "Status", stage="docker inspect")
    if document.get("log_path") is None:  # "" of a container that never started, or that logs elsewhere
        raise lacking("log_path", stage="docker inspect")


def _container(document: Mapping[str, Any], logs: Mapping[str, int] | None) -> Container:
    state = document["state"]
    health, log_path = state.get("Health") or {}, document["log_path"]
    options = document.get("log_options") or {}
    return Container(
        name=document["name"].lstrip("/"),
        id=document["id"],
        image=document["image"],
        image_id=document["image_id"],
        state=state["Status"],
        health=_health_status(health),
        health_log=_last_words(health),
        restart_count=document["restart_count"],
        restart_policy=document.get("restart_policy") or "no",
        oom_killed=bool(state["OOMKilled"]),
        exit_code=state["ExitCode"],
        error=state.get("Error") or "",
        pid=state.get("Pid") or 0,
        started_at=epoch_of(state["StartedAt"]),
        finished_at=epoch_of(state["FinishedAt"]),
        memory_limit=document["memory_limit"],
        memory_swap=document.get("memory_swap") or 0,
        log_path=log_path,
        log_bytes=logs.get(str(PurePosixPath(log_path).parent)) if logs and log_path else None,
        log_max_size=options.get("max-size"),
        project=document.get("project"),
        service=document.get("service"),
        created_at=epoch_of(document.get("created")),
        number=document.get("number") or None,
        is_oneoff=str(document.get("oneoff")).lower() == "true",
        directory=document.get("compose_directory") or "",
        files=tuple(name for name in (document.get("compose_files") or "").split(",") if name),
    )


def _health_status(health: Mapping[str, Any]) -> str | None:
    status = health.get("Status")
    return None if status in (None, "", "none") else str(status)


def _last_words(health: Mapping[str, Any]) -> str:
    entries = [entry for entry in health.get("Log") or () if isinstance(entry, dict)]
    return str(entries[-1].get("Output", "")).strip()[-HEALTH_LOG_CHARACTERS:] if entries else ""


def _log_sizes(lines: Sequence[str] | None, complaints: Sequence[str]) -> dict[str, int]:
    """Return the bytes of all logs in each container's directory."""
    if lines is None:
        return {}
    check_exit(lines[-1:], complaints, "docker logs")
    sizes: dict[str, int] = {}
    for line in lines[:-1]:
        size, _tab, directory = line.partition("\t")
        if size.isdigit():
            sizes[directory] = sizes.get(directory, 0) + int(size)
    return sizes


def _disk(lines: Sequence[str] | None, complaints: Sequence[str]) -> tuple[DiskUse, ...] | None:
    if lines is None:
        return None
    check_exit(lines[-1:], complaints, "docker system df")
    return tuple(
        DiskUse(
            type=needed(row, "Type", stage="docker system df"),
            count=int(needed(row, "TotalCount", stage="docker system df")),
            active=int(needed(row, "Active", stage="docker system df")),
            size_bytes=size_bytes(needed(row, "Size", stage="docker system df")),
            reclaimable_bytes=size_bytes(needed(row, "Reclaimable", stage="docker system df")),
        )
        for row in _documents(lines[:-1])
    )


def size_bytes(text: str) -> int:
    """Return the bytes of a size such as ``1.2GB`` or ``512MB (30%)``."""
    match = _SIZE.match(text or "")
    return round(float(match.group(1)) * _UNITS[match.group(2).lower()]) if match else 0


_CLOSED = "permission denied while trying to connect"
_DOWN = ("cannot connect to the docker daemon", "is the docker daemon running")


def engine_failure(exit_code: int, complaints: Sequence[str]) -> ClientError:
    """Sort why ``docker ps`` failed, by its exit code and what it said on stderr."""
    words, lowered = reason(complaints, _CLOSED, *_DOWN), " ".join(complaints).lower()
    words = words or f"exit {exit_code}"
    if exit_code == 127:
        return ClientError(FailureKind.MISSING, reason(complaints, "not found"), "docker")
    if exit_code in (124, 137):
        message = _("docker ps did not answer within {seconds} s").format(seconds=COMMAND_SECONDS)
        return ClientError(FailureKind.NO_ANSWER, message, "docker ps")
    # not the bare words: docker also says them of its own configuration file, and goes on
    if _CLOSED in lowered:
        return ClientError(FailureKind.PERMISSION, words, "docker ps")
    if any(phrase in lowered for phrase in _DOWN):
        return ClientError(FailureKind.UNAVAILABLE, words, "docker ps")
    return ClientError(FailureKind.ERROR, words, "docker ps")
