"""The containers of all servers side by side: their state, what they use, the last lines of one. Looks only."""

from __future__ import annotations

import heapq
import re
import shlex
from collections.abc import Callable, Iterable, Iterator, Sequence
from operator import itemgetter
from typing import Any, TypeVar

from samaops.clients.errors import ClientError
from samaops.clients.shell import Completed, Shell, reason
from samaops.clients.shells import ShellPool
from samaops.collect import engine
from samaops.collect.docker import stats as docker_stats
from samaops.config import consistency
from samaops.errors import RefusedError, UnavailableError, UsageError
from samaops.facts.docker import Container, DockerFacts, StatsFacts
from samaops.facts.observation import Observation, Snapshot
from samaops.facts.selection import Selection
from samaops.i18n import _, joined
from samaops.model.quantities import duration
from samaops.model.table import Column, Table
from samaops.site import redaction
from samaops.site.site import Site
from samaops.workflows import diagnose

_STAMPED = re.compile(r"^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z) ?(.*?)\r?$", re.MULTILINE)
LOG_SECONDS = 20.0
MOST_LINES = 10_000
# So that a line of the list, with the names of the guide, has eighty characters.
_TAG_CHARACTERS = 12
_MISSING = "missing"
_UNKNOWN = "unknown"
Row = dict[str, Any]
FactsT = TypeVar("FactsT", DockerFacts, StatsFacts)


def listed(site: Site) -> Table:
    """Return every container of every server, and those that should be there and are not."""
    _require_containers(site)
    snapshot = diagnose.observe(site, Selection(only=("docker.container",)))
    columns = (
        Column("server", _("server")),
        Column("container", _("container"), is_copied=True),
        Column("state", _("state")),
        Column("since", _("since")),
        Column("restarts", _("again"), True),
        Column("tag", _("image")),
    )
    rows = _rows(snapshot, DockerFacts, _containers)
    return Table("containers", columns, rows, _("No container is there"), _reasons(rows))


def _containers(server: str | None, facts: DockerFacts) -> Iterator[Row]:
    for container in facts.containers:
        yield _container(server, container, facts.epoch)
    for name in facts.expected:
        if facts.named(name) is None:
            yield {"server": server, "container": name, "state": _MISSING, "is_expected": True}


def _container(server: str | None, container: Container, now: float) -> Row:
    is_running = container.state == "running"
    changed = container.started_at if is_running else container.finished_at
    return {
        "server": server, "container": container.name,
        "state": container.health if is_running and container.health else container.state,
        "engine_state": container.state, "health": container.health, "tag": _tag(container.image),
        "since": duration(max(0.0, now - changed)) if changed else None, "since_epoch": changed,
        "restarts": container.restart_count, "image": container.image, "image_id": container.image_id,
        "exit_code": None if is_running else container.exit_code, "oom_killed": container.oom_killed,
        "restart_policy": container.restart_policy,
    }  # fmt: skip


def _tag(image: str) -> str:
    """Return what tells the releases of an image apart, short enough to leave the names room."""
    name = image.rpartition("/")[2]
    tag = name.partition("@")[2].removeprefix("sha256:") or name.partition(":")[2] or name
    return tag if len(tag) <= _TAG_CHARACTERS else f"{tag[: _TAG_CHARACTERS - 1]}…"


def stats(site: Site) -> Table:
    """Return what every running container uses now; docker measures for about two seconds."""
    _require_containers(site)
    selection = Selection(only=("docker",))
    collectors = docker_stats.collectors(site)
    snapshot = engine.observe(collectors, site, selection, diagnose.DEFAULT_DEADLINE_SECONDS)
    snapshot = redaction.redacted(snapshot, site)
    columns = (
        Column("server", _("server")),
        Column("container", _("container"), is_copied=True),
        Column("cpu_percent", _("cpu %"), True),
        Column("memory_mb", _("memory MB"), True),
        Column("memory_percent", _("% of limit"), True),
        Column("processes", _("processes"), True),
    )
    rows = _rows(snapshot, StatsFacts, _uses)
    return Table("container_stats", columns, rows, _("No container runs"), _reasons(rows))


def _uses(server: str | None, facts: StatsFacts) -> Iterator[Row]:
    for use in facts.containers:
        used, limit = use.memory_bytes, use.memory_limit
        yield {
            "server": server, "container": use.name, "cpu_percent": use.cpu_percent,
            "memory_mb": None if used is None else round(used / 1e6, 1),
            "memory_percent": round(100 * used / limit, 1) if used is not None and limit else None,
            "processes": use.processes, "memory_bytes": used, "memory_limit_bytes": limit,
        }  # fmt: skip


def logs(site: Site, name: str, tail: int, since: str | None) -> Table:
    """Return the last lines of one container's log, what it says on both of its streams. Raises UnavailableError."""
    server = _server_of(site, name)
    words = [
        "docker",
        "logs",
        "--timestamps",
        "--tail",
        str(min(tail, MOST_LINES)),
        *(["--since", since] if since else []),
        name,
    ]
    shells = ShellPool(site.settings)
    try:
        shell = shells.of(server)
        done = _as_whoever_may(shell, shlex.join(words))
        if done.exit_code and "No such container" in done.stderr:
            seen = site.seen_in(diagnose.observe(site, Selection(only=("docker.container",))))
            done = _as_whoever_may(shell, seen.as_running(server, shlex.join(words)))
    except ClientError as error:
        raise _unread(name, server, error.message) from error
    finally:
        shells.close()
    if done.exit_code:
        complaints = redaction.redacted(done.stderr.splitlines(), site)
        raise _unread(name, server, reason(complaints, "error")[:200])
    lines: list[str] = redaction.redacted(_in_order(done), site)
    rows = tuple({"server": server, "container": name, "line": line} for line in lines)
    nothing = _("{name} on {server} has logged nothing").format(name=name, server=server)
    return Table("log_lines", (Column("line", _("line")),), rows, nothing)


def _in_order(done: Completed) -> list[str]:
    """Return the lines that a container wrote, on whichever of its streams, in the order in which it wrote them.

    Docker gives each its time. What stands before the first, or between them on stderr, docker says itself.
    """
    streams = (_STAMPED.findall(stream) for stream in (done.stdout, done.stderr))
    return [line for _at, line in heapq.merge(*streams, key=itemgetter(0))]


def _as_whoever_may(shell: Shell, command: str) -> Completed:
    """Ask Docker as the user we log in as, and with sudo when its socket is closed to that one, as a look does."""
    done = shell.run(command, LOG_SECONDS)
    if done.exit_code and "ermission denied while trying to connect" in done.stderr:
        as_root = shell.run(f"sudo -n -- {command}", LOG_SECONDS)
        return done if as_root.exit_code else as_root
    return done


def _unread(name: str, server: str, reason: str) -> UnavailableError:
    text = _("Could not read the log of {name} on {server}: {reason}")
    return UnavailableError(text.format(name=name, server=server, reason=reason), "samaops docker ps")


def _server_of(site: Site, name: str) -> str:
    _require_containers(site)
    expected = site.containers()
    servers = [server for server, names in expected.items() if name in names]
    if not servers:
        known = sorted({known for names in expected.values() for known in names})
        text = _("The configuration knows no container {name!r}")
        raise UsageError(text.format(name=name), hint=consistency.not_one_of(name, known))
    if len(servers) > 1:
        text = _("{name} is on several servers: {servers}")
        raise RefusedError(text.format(name=name, servers=", ".join(servers)))
    return servers[0]


def _require_containers(site: Site) -> None:
    if site.settings.docker is None or not site.containers():
        raise UsageError(_("[docker] is not configured"), hint="samaops config show")


def _rows(
    snapshot: Snapshot, facts_type: type[FactsT], rows_of: Callable[[str | None, FactsT], Iterable[Row]]
) -> tuple[Row, ...]:
    """Return the rows of each server, with one in the place of a server that could not be looked at.

    Raises UnavailableError when none could be.
    """
    seen = [
        observation for observation in snapshot.observations if observation.facts_type == facts_type.__name__
    ]
    if seen and all(observation.facts is None for observation in seen):
        reasons = dict.fromkeys(_why(observation) for observation in seen)
        text = _("Could not look at the containers: {reason}")
        raise UnavailableError(text.format(reason=joined(reasons)), "samaops diagnose --only docker,servers")
    rows: list[Row] = []
    for observation in seen:
        if isinstance(observation.facts, facts_type):
            rows += rows_of(observation.server, observation.facts)
        else:
            server, reason = observation.server, _why(observation)
            rows.append({"server": server, "container": None, "state": _UNKNOWN, "reason": reason})
    return tuple(rows)


def _why(observation: Observation) -> str:
    return observation.failure.message if observation.failure else ""


def _reasons(rows: Sequence[Row]) -> tuple[str, ...]:
    text = _("{server}: could not look: {reason}")
    return tuple(text.format(server=row["server"], reason=row["reason"]) for row in rows if row.get("reason"))


def is_whole(table: Table) -> bool:
    """Return whether every server could be looked at."""
    return not any(row.get("reason") for row in table.rows)
