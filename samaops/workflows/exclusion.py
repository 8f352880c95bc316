"""One change at a time: the locks of one change, on this machine, in a shared journal, and on the servers it touches.

A server is touched when a step runs there, talks to a system that lives there, or relies on what is read of it. A
server on which a step runs a command must hold the lock. One that is only talked to by other ways, or only read, may
be the very one that has to be repaired: when it cannot hold the lock, that is told, and the other locks suffice.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress

from msgspec.structs import replace

from samaops.changes import readings
from samaops.clients.errors import ClientError
from samaops.clients.shells import ShellPool
from samaops.collect import systems
from samaops.collect.engine import Collector
from samaops.config.settings import Ssh
from samaops.facts.selection import Selection
from samaops.i18n import _
from samaops.journal.lock import ChangeLock
from samaops.model.plan import SHELL, Condition, Operation, Plan
from samaops.site.site import Site
from samaops.workflows import server_locks


def servers_of(site: Site, plan: Plan) -> dict[str, bool]:
    """Return the servers that a plan touches, sorted, and whether a step of it runs a command there.

    Sorted, so that of two changes that begin together one gets all it needs.
    """
    touched: dict[str, bool] = {}
    for step in plan.steps:
        for operation in (step.operation, step.undo):
            server = _server_of(site, operation) if operation else None
            if operation and server:
                touched[server] = touched.get(server, False) or operation.kind == SHELL
        for condition in (*step.needs, *step.before, *step.after):
            for server in _read_for(site, condition):
                touched.setdefault(server, False)
    return dict(sorted(touched.items()))


def _server_of(site: Site, operation: Operation) -> str | None:
    """Return where an operation has its effect: an API call, on the server of the system its kind begins with."""
    if operation.server is not None:
        return operation.server
    section = site.section(operation.kind.partition(".")[0])
    server: str | None = getattr(section, "server", None)
    return server


def _read_for(site: Site, condition: Condition) -> Iterator[str]:
    """Yield the servers that a condition's reading looks at: those it names, by itself or by a member, else all."""
    by_system: dict[str, list[Collector]] = {}
    selection = Selection(only=readings.find(condition.reading).codes)
    for one in systems.collectors(site, selection):
        by_system.setdefault(one.system, []).append(one)
    for collectors in by_system.values():
        named = [one for one in collectors if {one.server, _member(one)} & set(condition.of)]
        yield from (one.server for one in named or collectors if one.server is not None)


def _member(collector: Collector) -> str:
    return collector.subject.partition("/")[2]


def with_notes(site: Site, plan: Plan) -> Plan:
    """Return a plan that says which of its servers the configuration gives no way to lock. Opens nothing."""
    pool, notes = ShellPool(site.settings), []
    for server in servers_of(site, plan):
        if _has_no_way(site, server):
            try:
                pool.of(server)
            except ClientError as error:
                notes.append(_unlocked(server, error))
    return _noted(plan, notes)


def _has_no_way(site: Site, server: str) -> bool:
    configured = site.settings.servers.get(server)
    return configured is None or configured.ssh == "none"


def look(site: Site, plan: Plan) -> Plan:
    """Look whether the servers' locks could be taken; nothing is taken, nothing written.

    Return the plan with a note for each server that will not be locked. Raises LockedError when another change is
    being made, RefusedError when a server that must be locked cannot be.
    """
    touched, notes = servers_of(site, plan), []
    with _shells(site, touched) as pool:
        for server, is_needed in touched.items():
            try:
                server_locks.lock_of(site, server, is_needed=is_needed).look(pool)
            except ClientError as error:
                if is_needed:
                    raise server_locks.refusal(site, server, error) from error
                notes.append(_unlocked(server, error))
    return _noted(plan, notes)


def _noted(plan: Plan, notes: Iterable[str]) -> Plan:
    return replace(plan, notes=tuple(dict.fromkeys((*plan.notes, *notes))))


def _unlocked(server: str, error: ClientError) -> str:
    text = _("{server} will not be locked for other machines: {reason}")
    return text.format(server=server, reason=error.message)


class Exclusion:
    """The locks of one change, held inside ``with``; ``ours`` is that of the site.

    Entering raises LockedError when somebody else has one of them, RefusedError when one that is needed cannot be had.
    """

    def __init__(self, site: Site, plan: Plan, ours: ChangeLock) -> None:
        self._site = site
        self._ours = ours
        self._touched = servers_of(site, plan)
        self._locks = [
            server_locks.lock_of(site, server, is_needed=is_needed)
            for server, is_needed in self._touched.items()
        ]
        self._held = ExitStack()

    def __enter__(self) -> Exclusion:
        with ExitStack() as taken:
            taken.enter_context(self._ours)
            pool = taken.enter_context(_shells(self._site, self._touched))
            for one in self._locks:
                taken.callback(one.release)
                self._take(one, pool)
            self._held = taken.pop_all()
        return self

    def _take(self, one: server_locks.Lock, pool: ShellPool) -> None:
        try:
            one.take(pool)
        except ClientError as error:
            if self._touched[one.server]:
                raise server_locks.refusal(self._site, one.server, error) from error

    def __exit__(self, *_error: object) -> None:
        self._held.close()

    def check(self) -> None:
        """Raise LockedError when one of the locks was lost."""
        self._ours.check()
        for one in self._locks:
            one.check()


@contextmanager
def _shells(site: Site, servers: Iterable[str]) -> Iterator[ShellPool]:
    """Log in to these servers side by side."""
    pool = ShellPool(site.settings)
    names = [
        one
        for one in servers
        if one in site.settings.servers and isinstance(site.settings.servers[one].ssh, Ssh)
    ]

    def log_in(name: str) -> None:
        with suppress(ClientError):  # the pool keeps it for whoever asks
            pool.of(name)

    try:
        if names:
            with ThreadPoolExecutor(len(names)) as threads:
                list(threads.map(log_in, names))
        yield pool
    finally:
        pool.close()
