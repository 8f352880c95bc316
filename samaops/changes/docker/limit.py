"""Another memory limit for a container, while it runs: within the memory of its server."""

from __future__ import annotations

import re
import shlex

from msgspec.structs import replace

from samaops.changes.docker.restart import server_of
from samaops.changes.readings import UnreadableError, facts_in, reading
from samaops.changes.verbs import verb
from samaops.errors import RefusedError, UsageError
from samaops.facts.docker import Container, DockerFacts
from samaops.facts.observation import Snapshot
from samaops.i18n import _
from samaops.model.plan import Condition, Operation, Plan, Risk, Scalar, Step, shell
from samaops.model.quantities import size
from samaops.site.site import Site

_CODES = ("docker.container",)
_UNITS = {"k": 2**10, "m": 2**20, "g": 2**30}
_SIZE = re.compile(r"(\d{1,12})([kmg])(?:b|ib)?", re.IGNORECASE)
_RUNS = ("running", "paused", "restarting")
# Docker sets no less.
_LEAST_BYTES = 6 * 2**20


@reading("docker.memory_limit", codes=_CODES)
def memory_limit_of(snapshot: Snapshot, server: str, name: str) -> Scalar:
    """Return a container's memory limit in bytes, 0 where it has none."""
    return _container(snapshot, server, name).memory_limit


def _container(snapshot: Snapshot, server: str, name: str) -> Container:
    container = facts_in(snapshot, DockerFacts, server).named(name)
    if container is None:
        raise UnreadableError(_("there is no container {name} on {server}").format(name=name, server=server))
    return container


def bytes_of(words: str) -> int:
    """Return the bytes of a size as docker takes it, such as 512m or 2g. Raises UsageError."""
    match = _SIZE.fullmatch(words.strip())
    if match is None:
        text = _("{words!r} is no size: a whole number with k, m or g, such as 512m")
        raise UsageError(text.format(words=words))
    return int(match[1]) * _UNITS[match[2].lower()]


def _looks(site: Site, name: str, wanted: str) -> tuple[str, ...]:
    server_of(site, name)
    bytes_of(wanted)
    return _CODES


@verb("docker set-limit", looks=_looks)
def plan_limit(snapshot: Snapshot, site: Site, name: str, wanted: str) -> Plan:
    """Plan that a container may take more memory, at once and without a restart.

    Guards: never less than now, since the kernel would end who has more; and all limits of the server together stay
    within its memory, less what must stay free.
    """
    server, new = server_of(site, name), bytes_of(wanted)
    engine, container = facts_in(snapshot, DockerFacts, server), _container(snapshot, server, name)
    old = container.memory_limit
    title = _("Let {name} take {new} of memory").format(name=name, new=size(new))
    plan = Plan("docker set-limit", (name, wanted), title, target=name)
    if new == old:
        return replace(
            plan, nothing_to_do=_("{name} may take {size} already").format(name=name, size=size(old))
        )
    _guard(site, engine, container, new)
    notes = (
        _("all limits on {server}: {total} of {memory}").format(
            server=server, total=size(_promised(engine, container) + new), memory=size(engine.memory_total)
        ),
        _("It holds until the container is made anew: change its compose file too (mem_limit)"),
    )
    return replace(plan, steps=(_step(server, name, container, new),), notes=notes)


def _promised(engine: DockerFacts, container: Container) -> int:
    """Return what the limits of all other containers that run promise, in bytes."""
    others = (other for other in engine.containers if other.id != container.id and other.state in _RUNS)
    return sum(other.memory_limit for other in others)


def _guard(site: Site, engine: DockerFacts, container: Container, new: int) -> None:
    old = container.memory_limit
    if not old:
        text = _("{name} has no memory limit: any would take memory from it")
        raise RefusedError(text.format(name=container.name))
    if new < max(old, _LEAST_BYTES):
        text = _("{name} may take {old} now; with less the kernel would end what it has taken")
        raise RefusedError(text.format(name=container.name, old=size(old)))
    if not engine.memory_total:
        raise UnreadableError(_("how much memory the server has"))
    percent = site.settings.safety.minimum_free_percent
    most = int(engine.memory_total * (1 - percent / 100)) - _promised(engine, container)
    if new > most:
        text = _(
            "The server has {memory}, other containers may take {others}, and {percent:g} % must stay free: {name} may take {most} at most"
        )
        words = {
            "memory": size(engine.memory_total), "others": size(_promised(engine, container)),
            "percent": percent, "name": container.name, "most": size(max(0, most)),
        }  # fmt: skip
        raise RefusedError(text.format(**words), hint="samaops docker stats")


def _step(server: str, name: str, container: Container, new: int) -> Step:
    old, swap = container.memory_limit, container.memory_swap
    text = _("{name} may take {size}")

    def condition(limit: int) -> Condition:
        return Condition(
            "docker.memory_limit", (server, name), limit, text.format(name=name, size=size(limit))
        )

    # As much swap as before, beside the memory; where nothing was set, Docker gives as much again.
    new_swap = new + (swap - old) if swap > 0 else swap
    return Step(
        id="docker.set_limit",
        title=_("Let {name} take {new} of memory").format(name=name, new=size(new)),
        risk=Risk.SAFE,
        operation=_update(server, name, new, new_swap),
        undo=_update(server, name, old, swap),
        before=(condition(old),),
        after=(condition(new),),
        servers=(),
        about=f"docker/{name}",
    )


def _update(server: str, name: str, memory: int, swap: int) -> Operation:
    both = f" --memory-swap {swap}" if swap else ""
    return shell(f"docker update --memory {memory}{both} {shlex.quote(name)}", server)
