"""Give space back on the disks of servers: each step says how much, and the disk is measured again after it.

Never in pg_wal, never a volume, never an image that a rollback needs, never a file that somebody has open, but for
emptying a log in place where all who write to it go on at its new end.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from msgspec import Struct, to_builtins
from msgspec.structs import replace

from samaops.changes.disk.working import (
    CLEANABLE,
    COMMAND,
    COMPRESS,
    EMPTY,
    EMPTY_DELETED,
    JOURNAL,
    PACKAGES,
    UNCOMPRESS,
    WORK,
    Target,
    Working,
    log_codes,
    store_codes,
)
from samaops.changes.docker import images
from samaops.changes.readings import UnreadableError, facts_in, reading
from samaops.changes.verbs import verb
from samaops.config import consistency
from samaops.errors import UnavailableError, UsageError
from samaops.facts.disks import CleanableFacts, LogFile
from samaops.facts.docker import DockerFacts
from samaops.facts.maintenance import ImagesFacts
from samaops.facts.observation import Snapshot
from samaops.facts.servers import DeletedFile, ServerFacts
from samaops.i18n import _, joined, ngettext
from samaops.model.plan import Condition, Operation, Plan, Risk, Scalar, Step
from samaops.model.quantities import size
from samaops.site import disk_owners
from samaops.site.commands import samaops
from samaops.site.shell_words import quoted
from samaops.site.site import Site

NAME = "disk clean"
_MB = 1024**2
# What is smaller is not worth a step; the journal keeps so much, a log that is emptied keeps so much of its end.
_LEAST_BYTES, _JOURNAL_BYTES, _KEPT_BYTES = 4 * _MB, 256 * _MB, 10 * _MB
# Of a disk, from which a log that still grows is worth emptying.
_LARGE_SHARE = 0.02
MOST_FILES = 20
# It is written by now and then, without being kept open: yesterday's is not.
_REST_SECONDS = 86_400.0
_ROTATED = re.compile(r"\.log[.-]\d[\d.-]*$|\.log\.old$")
_LIVE = re.compile(r"\.log$")
_NUMBERS = re.compile(r"[0-9]+\.log$")
_STEP_SECONDS = 300.0


class _Kind(Struct, frozen=True):
    """One way to give space back; ``codes`` name what it must know. A ``is_lossy`` one is made only by name."""

    codes: tuple[str, ...]
    steps: Callable[[Snapshot, Site, str], Iterator[Step]]
    is_lossy: bool = False


def _codes_of_marks(server: str, *marks: str) -> tuple[str, ...]:
    return log_codes(server, (mark.partition(":")[2] for mark in marks))


def _codes_of_compressed(server: str, *paths: str) -> tuple[str, ...]:
    return log_codes(server, (name for path in paths for name in (path, f"{path}.gz")))


@reading("disk.logs_are_at_rest", codes=_codes_of_marks)
def logs_are_at_rest(snapshot: Snapshot, server: str, *marks: str) -> Scalar:
    """Return whether these logs (``size:path``) are as they were, and nobody has any of them open."""
    logs = facts_in(snapshot, CleanableFacts, server)
    found = {f"{log.size_bytes}:{log.path}" for log in logs.logs if log.is_at_rest}
    return found.issuperset(marks)


@reading("disk.logs_are_compressed", codes=_codes_of_compressed)
def logs_are_compressed(snapshot: Snapshot, server: str, *paths: str) -> Scalar:
    """Return whether in the place of each of these logs there is its compressed copy."""
    found = {log.path for log in facts_in(snapshot, CleanableFacts, server).logs}
    return all(path not in found and f"{path}.gz" in found for path in paths)


@reading("disk.logs_can_be_emptied", codes=_codes_of_marks)
def logs_can_be_emptied(snapshot: Snapshot, server: str, *marks: str) -> Scalar:
    """Return whether each of these logs (``inode:path``) is there, and all who write to it go on at its new end."""
    facts = facts_in(snapshot, CleanableFacts, server)
    return {f"{log.inode}:{log.path}" for log in facts.logs if log.can_be_emptied}.issuperset(marks)


@reading("disk.logs_hold_less", codes=lambda server, _most, *paths: log_codes(server, paths))
def logs_hold_less(snapshot: Snapshot, server: str, most: int, *paths: str) -> Scalar:
    """Return whether each of these logs is there, and holds less than so many bytes."""
    held = {log.path: log.held_bytes for log in facts_in(snapshot, CleanableFacts, server).logs}
    return all(path in held and held[path] < int(most) for path in paths)


@reading("disk.deleted_are_held", codes=lambda server, *_marks: (f"servers.disk@{server}",))
def deleted_are_held(snapshot: Snapshot, server: str, *marks: str) -> Scalar:
    """Return whether each of these deleted files (``pid:inode``) is held, and nobody can read any of them."""
    held = facts_in(snapshot, ServerFacts, server).deleted or ()
    return {_mark(file) for file in held if file.is_write_only}.issuperset(marks)


@reading("disk.store_is_over", codes=store_codes)
def store_is_over(snapshot: Snapshot, server: str, what: str, most: int) -> Scalar:
    """Return whether the journal, or the store of packages, holds more than so many bytes."""
    facts = facts_in(snapshot, CleanableFacts, server)
    store = facts.journal if what == JOURNAL else facts.packages
    return store is not None and store.size_bytes > int(most)


@reading("disk.cache_is_over", codes=lambda server, *_more: (f"docker.disk@{server}",))
def cache_is_over(snapshot: Snapshot, server: str, most: int) -> Scalar:
    """Return whether Docker's build cache could give back more than so many bytes."""
    return _cache_bytes(facts_in(snapshot, DockerFacts, server)) > int(most)


def _typed(server: str, kinds: str) -> tuple[str, ...]:
    return (*(("--server", server) if server else ()), *(("--only", kinds) if kinds else ()))


def _looks(site: Site, server: str, kinds: str) -> tuple[str, ...]:
    if server and server not in site.settings.servers:
        raise UsageError(consistency.not_a_server(server, site.settings), hint="samaops config show")
    chosen = _chosen(kinds)
    codes = dict.fromkeys(code for kind in chosen for code in KINDS[kind].codes)
    has_engines = site.settings.docker is not None and (not server or server in site.containers())
    wanted = [code for code in codes if has_engines or not _is_of_engine(code)]
    return tuple(f"{code}@{server}" if server else code for code in wanted)


def _is_of_engine(code: str) -> bool:
    return code.startswith(("docker.", images.CODE))


def _chosen(kinds: str) -> tuple[str, ...]:
    """Return the kinds that are asked for. Raises UsageError that names the nearest one."""
    names = tuple(name.strip() for name in kinds.split(",") if name.strip())
    for name in names:
        if name not in KINDS:
            raise UsageError(
                _("There is nothing to clean called {name!r}").format(name=name),
                hint=consistency.not_one_of(name, tuple(KINDS)),
            )
    return names or tuple(KINDS)


@verb(NAME, looks=_looks, typed=_typed)
def plan_clean(snapshot: Snapshot, site: Site, server: str, kinds: str) -> Plan:
    """Plan what gives space back, on one server or on all, of the kinds that are named or of all that lose nothing.

    What loses something, be it old lines, is only done by name; without one it is told in the notes with its command.
    """
    servers = (server,) if server else _servers(site)
    steps: list[Step] = []
    notes: list[str] = []
    silent: list[str] = []
    for name in servers:
        for kind in _chosen(kinds):
            try:
                found = tuple(KINDS[kind].steps(snapshot, site, name))
            except (UnreadableError, UnavailableError) as error:
                if not (_is_of_engine(KINDS[kind].codes[0]) and name not in site.containers()):
                    silent.append(_("{server}: could not look: {reason}").format(server=name, reason=error))
                continue
            if KINDS[kind].is_lossy and not kinds:
                notes += _left_to_ask(site, name, kind, found)
            else:
                steps += found
    unseen = tuple(dict.fromkeys(silent))
    if unseen and not steps and len(servers) == 1 and not notes:
        raise UnavailableError(joined(unseen), hint=f"samaops diagnose --only servers@{servers[0]}")
    title = (
        _("Give back space on {server}").format(server=server)
        if server
        else _("Give back space on all servers")
    )
    nothing = _("nothing is seen that could be given back without losing anything")
    return Plan(
        NAME,
        (server, kinds),
        title,
        target=server or site.name,
        steps=tuple(steps),
        nothing_to_do=nothing
        if not kinds
        else _("nothing of {kinds} is seen to give back").format(kinds=kinds),
        notes=(*notes, *unseen),
        steps_stand_alone=True,
    )


def _servers(site: Site) -> tuple[str, ...]:
    return tuple(name for name, server in site.settings.servers.items() if server.ssh != "none")


def _left_to_ask(site: Site, server: str, kind: str, steps: Sequence[Step]) -> Iterator[str]:
    for step in steps:
        text = _("not in this plan, for it loses something: {step}. With: {command}")
        command = samaops(site, f"disk clean --server {quoted(server)} --only {kind}")
        yield text.format(step=step.title, command=command)


def _work(server: str, working: Working) -> Operation:
    return Operation(WORK, to_builtins(working), server, _STEP_SECONDS)


def _about(server: str, mount: str) -> str:
    return f"servers/{server}:{mount}"


# Logs that were rotated, and are still as large as they were.


def _rotated(snapshot: Snapshot, site: Site, server: str) -> Iterator[Step]:
    facts = facts_in(snapshot, CleanableFacts, server)
    resting = [log for log in _own_logs(facts, site, server) if _may_be_compressed(log, facts.epoch)]
    for mount, logs in _by_mount(resting).items():
        yield _compression(server, mount, logs[:MOST_FILES])


def _own_logs(facts: CleanableFacts, site: Site, server: str) -> Iterator[LogFile]:
    """Yield what is a log of the application or of the system, and not part of a database or of a store."""
    for log in facts.logs:
        owner = disk_owners.of(log.path, site.settings, server)
        if owner == disk_owners.LOGS and not _NUMBERS.search(log.path.rpartition("/")[2]):
            yield log


def _may_be_compressed(log: LogFile, now: float) -> bool:
    is_past = bool(_ROTATED.search(log.path)) or now - log.modified_at > _REST_SECONDS
    return log.is_at_rest and is_past and log.held_bytes >= _LEAST_BYTES and "\n" not in log.path


def _by_mount(logs: Iterable[LogFile]) -> Mapping[str, list[LogFile]]:
    by_mount: dict[str, list[LogFile]] = {}
    for log in sorted(logs, key=lambda log: -log.held_bytes):
        by_mount.setdefault(log.mount, []).append(log)
    return by_mount


def _compression(server: str, mount: str, logs: Sequence[LogFile]) -> Step:
    count = sum(log.held_bytes for log in logs)
    files = tuple(Target(log.path, log.inode, log.size_bytes) for log in logs)
    title = ngettext(
        "Compress {count} rotated log on {mount} of {server}: up to {size}, mostly some nine tenths of it",
        "Compress {count} rotated logs on {mount} of {server}: up to {size}, mostly some nine tenths of it",
        len(logs),
    )
    marks = tuple(f"{log.size_bytes}:{log.path}" for log in logs)
    paths = tuple(log.path for log in logs)
    at_rest = Condition(
        "disk.logs_are_at_rest",
        (server, *marks),
        True,
        _("they are as they were seen, and nobody has them open"),
    )
    gone = Condition("disk.logs_are_compressed", (server, *paths), True, _("they are compressed"))
    return Step(
        "disk.rotated",
        title.format(count=len(logs), mount=mount, server=server, size=size(count)),
        Risk.SAFE,
        _work(server, Working(COMPRESS, mount, 0, files)),
        before=(at_rest,),
        after=(gone,),
        undo=_work(server, Working(UNCOMPRESS, mount, 0, files)),
        servers=(),
        about=_about(server, mount),
    )


# Logs that grow: all but their end goes.


def _growing(snapshot: Snapshot, site: Site, server: str) -> Iterator[Step]:
    facts = facts_in(snapshot, CleanableFacts, server)
    live = [log for log in _own_logs(facts, site, server) if _LIVE.search(log.path)]
    yield from _emptying(server, facts, live, "disk.logs")


def _of_containers(snapshot: Snapshot, site: Site, server: str) -> Iterator[Step]:
    facts = facts_in(snapshot, CleanableFacts, server)
    owned = [
        log
        for log in facts.logs
        if disk_owners.of(log.path, site.settings, server) == disk_owners.CONTAINER_LOG
        and log.path.endswith("-json.log")
    ]
    yield from _emptying(server, facts, owned, "disk.container_logs")


def _emptying(server: str, facts: CleanableFacts, logs: Sequence[LogFile], identifier: str) -> Iterator[Step]:
    for log in sorted(logs, key=lambda log: -log.held_bytes)[:MOST_FILES]:
        disk = facts.disk(log.mount)
        is_large = disk is not None and log.held_bytes >= max(2 * _KEPT_BYTES, _LARGE_SHARE * disk.size_bytes)
        if is_large and log.can_be_emptied and "\n" not in log.path:
            yield _empty(server, log, identifier)


def _empty(server: str, log: LogFile, identifier: str) -> Step:
    can_be = _("it is the same file, and who writes to it goes on at its end")
    is_less = _("it holds next to nothing")
    title = _("Empty {path} on {server} in place: {size}; its last {kept} stay, compressed beside it")
    lost = _("all lines of {path} but the last {kept}; whoever follows it (docker logs -f) may hang")
    words = {"path": log.path, "server": server, "kept": size(_KEPT_BYTES)}
    return Step(
        identifier,
        title.format(size=size(log.held_bytes), **words),
        Risk.DESTRUCTIVE,
        _work(server, Working(EMPTY, log.mount, _KEPT_BYTES, (Target(log.path, log.inode),))),
        before=(Condition("disk.logs_can_be_emptied", (server, f"{log.inode}:{log.path}"), True, can_be),),
        after=(Condition("disk.logs_hold_less", (server, log.held_bytes // 2, log.path), True, is_less),),
        no_undo=_("the lines are gone but for those that are kept"),
        destroys=lost.format(**words),
        servers=(),
        about=_about(server, log.mount),
    )


# Deleted files that a process still holds open.


def _mark(file: DeletedFile) -> str:
    return f"{file.pid}:{file.inode}"


def _deleted(snapshot: Snapshot, _site: Site, server: str) -> Iterator[Step]:
    facts = facts_in(snapshot, ServerFacts, server)
    if facts.deleted is None:
        raise UnreadableError(_("the files that processes have open"))
    for file in facts.deleted[:MOST_FILES]:
        if file.is_write_only and file.size_bytes >= _LEAST_BYTES:
            yield _emptied(server, file)


def _emptied(server: str, file: DeletedFile) -> Step:
    is_held = Condition(
        "disk.deleted_are_held",
        (server, _mark(file)),
        True,
        _("process {pid} holds it, only writes to its end, and nobody else has it").format(pid=file.pid),
    )
    is_free = Condition("disk.deleted_are_held", (server, _mark(file)), False, _("it holds nothing any more"))
    title = _("Empty the deleted {path} that {command} (pid {pid}) on {server} holds: {size}")
    target = Target(f"/proc/{file.pid}/fd/{file.descriptor}", file.inode)
    return Step(
        "disk.deleted",
        title.format(
            path=file.path, command=file.command, pid=file.pid, server=server, size=size(file.size_bytes)
        ),
        Risk.DISRUPTIVE,
        _work(server, Working(EMPTY_DELETED, file.mount, 0, (target,))),
        before=(is_held,),
        after=(is_free,),
        no_undo=_("the file has no name any more; nobody can read it"),
        servers=(),
        about=_about(server, file.mount),
    )


# What programs of the system keep.


def _journal(snapshot: Snapshot, _site: Site, server: str) -> Iterator[Step]:
    facts = facts_in(snapshot, CleanableFacts, server)
    if facts.journal is None or facts.journal.size_bytes <= _JOURNAL_BYTES + _LEAST_BYTES:
        return
    freed = facts.journal.size_bytes - _JOURNAL_BYTES
    title = _("Have journald give up its oldest files on {server}, down to {kept}: {size}")
    yield _store_step(
        (server, JOURNAL, _JOURNAL_BYTES + _LEAST_BYTES),
        title.format(server=server, kept=size(_JOURNAL_BYTES), size=size(freed)),
        Working(JOURNAL, _mount_of(facts, facts.journal.path), _JOURNAL_BYTES),
        destroys=_("the oldest lines of the journal of {server}").format(server=server),
    )


def _packages(snapshot: Snapshot, _site: Site, server: str) -> Iterator[Step]:
    facts = facts_in(snapshot, CleanableFacts, server)
    if facts.packages is None or facts.packages.size_bytes <= _LEAST_BYTES:
        return
    title = _("Remove the packages that apt keeps on {server} once they are installed: {size}")
    yield _store_step(
        (server, PACKAGES, _LEAST_BYTES),
        title.format(server=server, size=size(facts.packages.size_bytes)),
        Working(PACKAGES, _mount_of(facts, facts.packages.path)),
    )


def _mount_of(facts: CleanableFacts, path: str) -> str:
    above = [disk.mount for disk in facts.disks if disk.mount == "/" or path.startswith(f"{disk.mount}/")]
    return max(above, key=len, default="/")


def _store_step(of: tuple[str, str, int], title: str, working: Working, destroys: str = "") -> Step:
    server, what, _most = of
    is_over = _("it holds what can be given back")
    is_less = _("it holds no more than that")
    return Step(
        f"disk.{what}",
        title,
        Risk.DESTRUCTIVE if destroys else Risk.SAFE,
        _work(server, working),
        before=(Condition("disk.store_is_over", of, True, is_over),),
        after=(Condition("disk.store_is_over", of, False, is_less),),
        no_undo=_("what it gives up is gone")
        if destroys
        else _("they are fetched again when they are needed"),
        destroys=destroys,
        servers=(),
        about=_about(server, working.mount),
    )


# What Docker can give back.


def _cache_bytes(docker: DockerFacts) -> int:
    return sum(use.reclaimable_bytes for use in docker.disk or () if use.type == "Build Cache")


def _cache(snapshot: Snapshot, _site: Site, server: str) -> Iterator[Step]:
    docker = facts_in(snapshot, DockerFacts, server)
    count = _cache_bytes(docker)
    if count <= _LEAST_BYTES:
        return
    title = _("Remove Docker's build cache on {server}: {size}; the next build takes longer")
    of = (server, _LEAST_BYTES)
    yield Step(
        "disk.cache",
        title.format(server=server, size=size(count)),
        Risk.SAFE,
        _work(server, Working(COMMAND, "", 0, (), "docker builder prune -f")),
        before=(Condition("disk.cache_is_over", of, True, _("there is a build cache to give back")),),
        after=(Condition("disk.cache_is_over", of, False, _("there is none left")),),
        no_undo=_("the next build makes it again"),
        servers=(),
        about=f"docker/{server}",
    )


def _images(snapshot: Snapshot, site: Site, server: str) -> Iterator[Step]:
    """Yield the step of `docker cleanup`, with at most how much it gives back, measured by the disk."""
    if server not in site.containers() or site.settings.docker is None:
        return
    facts = facts_in(snapshot, ImagesFacts, server)
    rules = site.settings.maintenance
    removable = facts.removable(rules.image_age_hours, rules.releases_kept)[: images.MOST_AT_ONCE]
    most = size(sum(image.size_bytes for image in removable))
    for step in images.plan_cleanup(snapshot, site, server).steps:
        working = Working(COMMAND, "", 0, (), step.operation.command)
        title = _("{step}: at most {size}").format(step=step.title, size=most)
        yield replace(step, title=title, operation=_work(server, working))


KINDS: Mapping[str, _Kind] = {
    "images": _Kind((images.CODE,), _images),
    "cache": _Kind(("docker.disk",), _cache),
    "packages": _Kind((CLEANABLE,), _packages),
    "rotated": _Kind((CLEANABLE,), _rotated),
    "deleted": _Kind(("servers.disk",), _deleted),
    "journal": _Kind((CLEANABLE,), _journal, is_lossy=True),
    "container-logs": _Kind((CLEANABLE,), _of_containers, is_lossy=True),
    "logs": _Kind((CLEANABLE,), _growing, is_lossy=True),
}
