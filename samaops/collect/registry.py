"""How a look is registered. Importing the module of a system registers its looks; a system that is not configured has none."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from importlib import import_module
from typing import Any, TypeVar

from msgspec import Struct

from samaops.collect.engine import Collector, Probe
from samaops.facts.selection import Selection
from samaops.facts.systems import ALSO_FEEDS, SYSTEMS
from samaops.site.site import Site

# To its client's own time limit a look adds what it takes to say that it ended.
SPARE_SECONDS = 1.0
LookT = TypeVar("LookT", bound=Callable[[Any, Site, Probe], object])


class Target(Struct, frozen=True):
    """One thing to look at: its name in the subject, and what its look is given (``of``).

    ``seconds`` bound the look. ``server`` is None for what is on none of our servers.
    """

    name: str
    of: Any
    server: str | None
    seconds: float


def each_server(seconds: float) -> Callable[[Site], Iterator[Target]]:
    """Return what yields the servers that can be logged in to, or are this machine; what runs there may take so long."""

    def targets(site: Site) -> Iterator[Target]:
        for name, server in site.settings.servers.items():
            if server.ssh != "none":
                yield Target(name, server, name, site.shell_seconds(name, seconds))

    return targets


class _Look(Struct, frozen=True):
    system: str
    facts_type: type
    look: Callable[[Any, Site, Probe], object]
    targets: Callable[[Site], Iterable[Target]]
    feeds: tuple[str, ...]
    kind: str
    on_request: bool
    writes: bool


_looks: list[_Look] = []


def collects(
    system: str,
    facts_type: type,
    *,
    targets: Callable[[Site], Iterable[Target]] | None = None,
    feeds: tuple[str, ...] = (),
    kind: str = "",
    on_request: bool = False,
    writes: bool = False,
) -> Callable[[LookT], LookT]:
    """Register the decorated ``(of, site, probe) -> facts`` as the look at a system.

    ``targets`` yields what there is to look at; without it, that is the system's section of the configuration.
    ``feeds`` are prefixes of the check codes that need it; without them, all of the system's. ``kind`` stands in the
    subject where a system has looks of several kinds at one server; ``on_request`` is a look that is taken only when
    the system is asked for by name; ``writes`` is one that is taken with ``--probe`` alone.
    """

    def register(look: LookT) -> LookT:
        _looks.append(
            _Look(
                system,
                facts_type,
                look,
                targets or _section_of(system),
                feeds,
                kind or system,
                on_request,
                writes,
            )
        )
        return look

    return register


def _section_of(system: str) -> Callable[[Site], Iterable[Target]]:
    def targets(site: Site) -> Iterator[Target]:
        section = site.section(system)
        if section is not None:
            server = getattr(section, "server", None)
            yield Target(server or "main", section, server, section.timeout + SPARE_SECONDS)

    return targets


def collectors(site: Site, selection: Selection) -> list[Collector]:
    """Return the collectors that the configuration and the selection ask for, in the order they are shown."""
    return [
        collector
        for system in SYSTEMS
        if any(map(selection.touches, (system, *ALSO_FEEDS.get(system, ()))))
        for collector in collectors_of(system, site)
        if collector.is_wanted(selection)
    ]


def collectors_of(system: str, site: Site) -> list[Collector]:
    """Return all collectors of one system."""
    import_module(f"samaops.collect.{system}")
    return [
        _collector(look, target, site)
        for look in _looks
        if look.system == system
        for target in look.targets(site)
    ]


def facts_of(system: str) -> dict[str, type]:
    """Return the structs that the looks at a system observe, by their names."""
    import_module(f"samaops.collect.{system}")
    return {look.facts_type.__name__: look.facts_type for look in _looks if look.system == system}


def _collector(look: _Look, target: Target, site: Site) -> Collector:
    return Collector(
        system=look.system,
        subject=f"{look.kind}/{target.name}",
        facts_type=look.facts_type,
        collect=lambda probe: look.look(target.of, site, probe),
        server=target.server,
        feeds=look.feeds,
        timeout=target.seconds,
        on_request=look.on_request,
        writes=look.writes,
    )
