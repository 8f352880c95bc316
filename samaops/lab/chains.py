"""In which order the parts are started; what does not depend on another starts beside it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

from samaops.i18n import _
from samaops.lab import compose, database, engine, pgbouncer, servers, ssh, storage
from samaops.lab.outside import parts as outside
from samaops.lab.outside.places import Places
from samaops.lab.processes import StartError, stop
from samaops.lab.servers import Server
from samaops.lab.starting import FAULTS, STOP_SECONDS, Starter, wait_until

CONTAINER_SERVERS = ("api", "workers")


def start_everything(starter: Starter) -> None:
    """Start every server and every part of it, side by side."""
    for name in servers.NAMES:  # one after another: the first tells whether the kernel allows it
        starter.chain(name, functools.partial(_server, starter, name))
    starter.chain("sshd", lambda: ssh.prepare(starter.layout))
    starter.chain("outside", lambda: outside.prepare_files(Places.of(starter.layout)))
    together(
        [
            functools.partial(starter.chain, "postgresql", lambda: _database(starter)),
            functools.partial(starter.chain, "docker", lambda: _services(starter)),
            functools.partial(starter.chain, "minio", lambda: _storage(starter)),
            functools.partial(starter.chain, "outside", lambda: _outside(starter)),
            functools.partial(starter.chain, "sshd", lambda: _sshd(starter)),
        ]
    )


def copy_objects(starter: Starter) -> None:
    """Let samaops itself copy the objects once: it has its configuration now."""
    copy = functools.partial(storage.copy_objects, starter.layout, starter.server("db"))
    starter.chain("objects", lambda: starter.action("objects", copy))


def start_server(starter: Starter, name: str) -> None:
    """Start one server that runs containers, and every part of it, again."""
    _server(starter, name)
    server = starter.server(name)
    containers = starter.states.state.mode == "containers"
    services = functools.partial(_engine_and_containers if containers else _plain_services, starter, name)
    together([services, functools.partial(starter.process, ssh.spec(starter.layout, server))])


def _engine_and_containers(starter: Starter, name: str) -> None:
    _engine(starter, name)
    _containers(starter, name)


def together(works: Iterable[Callable[[], object]]) -> None:
    """Do all at the same time; the first unexpected error is raised when all have ended."""
    listed = list(works)
    with ThreadPoolExecutor(max_workers=max(1, len(listed))) as pool:
        running = [pool.submit(work) for work in listed]
    for work in running:
        work.result()


def _server(starter: Starter, name: str) -> None:
    def work() -> bool:
        return servers.create(starter.layout, starter.states, name)[1]

    starter.action(name, work)


def _sshd(starter: Starter) -> None:
    specs = [ssh.spec(starter.layout, starter.server(name)) for name in servers.NAMES]
    together(
        functools.partial(starter.chain, spec.name, functools.partial(starter.process, spec))
        for spec in specs
    )


def _database(starter: Starter) -> None:
    layout, server = starter.layout, starter.server("db")
    secrets = layout.secrets()
    starter.action("postgresql_cluster", lambda: database.initialise(layout, server))
    starter.process(database.spec(layout, server))
    starter.action("samaconso_database", lambda: database.fill(secrets))
    pgbouncer.prepare(layout, server)
    starter.process(pgbouncer.spec(layout, server))
    starter.action("backup", lambda: storage.back_up(layout, server))


def _storage(starter: Starter) -> None:
    starter.process(storage.spec(starter.layout, starter.server("db")))
    starter.action("buckets", lambda: storage.fill(starter.layout.secrets()))


def _outside(starter: Starter) -> None:
    prepared = outside.prepare(Places.of(starter.layout))
    for reason in prepared.missing:
        starter.failed("outside", reason)
    together(
        functools.partial(starter.chain, spec.name, functools.partial(starter.process, spec))
        for spec in prepared.specs
    )


def _services(starter: Starter) -> None:
    """Start what the compose files describe, in containers where an engine can run, else as plain processes."""
    if starter.states.state.containers:
        together(
            functools.partial(starter.chain, name, functools.partial(_engine, starter, name))
            for name in CONTAINER_SERVERS
        )
    elif not starter.states.state.mode_reason:
        reason = _no_engine(starter)
        starter.states.set(mode="processes" if reason else "containers", mode_reason=reason or "")
    start = _containers if starter.states.state.mode == "containers" else _plain_services
    together(
        functools.partial(starter.chain, name, functools.partial(start, starter, name))
        for name in CONTAINER_SERVERS
    )


def _no_engine(starter: Starter) -> str | None:
    """Try to start both engines; return why containers cannot be used, None when they can."""
    reason = engine.missing() or starter.states.state.namespaces_reason
    if reason:
        return reason
    try:
        together(functools.partial(_engine, starter, name) for name in CONTAINER_SERVERS)
    except FAULTS as error:
        _give_engines_up(starter)
        return str(error.__cause__ or error)
    return None


def _give_engines_up(starter: Starter) -> None:
    """End the engine that did start, and forget both: a lab of plain processes misses nothing."""
    engines = [starter.states.state.process(f"docker_{name}") for name in CONTAINER_SERVERS]
    stop([record for record in engines if record is not None], STOP_SECONDS)
    starter.states.forget(f"{part}_{name}" for part in ("docker", "images") for name in CONTAINER_SERVERS)


def _engine(starter: Starter, name: str) -> None:
    server = starter.server(name)
    starter.process(engine.spec(starter.layout, server))
    starter.action(f"images_{name}", lambda: engine.load_images(server))


def _containers(starter: Starter, name: str) -> None:
    server = starter.server(name)
    compose.prepare(starter.layout, server, "containers")
    for record in compose.records(server):
        starter.states.record_container(record)
    was_running = compose.running(server)
    starter.action(f"compose_{name}", lambda: compose.up(server))
    together(
        functools.partial(
            starter.chain,
            container,
            functools.partial(_await_container, starter, server, container, was_running),
        )
        for container in compose.CONTAINERS[name]
    )


def _await_container(starter: Starter, server: Server, container: str, was_running: dict[str, str]) -> None:
    ready = compose.ready(starter.layout, container)

    def work() -> bool:
        if not wait_until(ready, compose.READY_SECONDS):
            raise StartError(compose.last_words(server, container) or _("no answer"))
        return was_running.get(container) != "running"

    starter.action(container, work)


def _plain_services(starter: Starter, name: str) -> None:
    server = starter.server(name)
    compose.prepare(starter.layout, server, "processes")
    specs = compose.process_specs(starter.layout, server)
    together(
        functools.partial(starter.chain, spec.name, functools.partial(starter.process, spec))
        for spec in specs
    )
