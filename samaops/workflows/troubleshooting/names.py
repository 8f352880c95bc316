"""What a fix may speak of: the cause, and what was seen with it, such as the stuck task, the releases, our servers."""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from samaops.causes import filled_by
from samaops.facts.docker import DockerFacts
from samaops.facts.observation import Snapshot
from samaops.facts.rabbitmq import RabbitMQFacts
from samaops.facts.servers import FileSystem, ServerFacts
from samaops.i18n import _
from samaops.model import spaces
from samaops.model.cause import Cause
from samaops.model.finding import Finding
from samaops.model.quantities import size
from samaops.model.report import Report
from samaops.model.status import Status
from samaops.site.site import Site

_MOST_ENTRIES = 5
# Below that nobody asks what fills a disk.
_SHOWN_PERCENT = 50
_DIGEST_CHARACTERS = 19  # sha256: and twelve more
# What could not be looked at proves nothing to those who have to repair.
_SEEN = (Status.CRITICAL, Status.WARNING)
_MOST_LINES = 6
_LINE_CHARACTERS = 76
# What a REINDEX CONCURRENTLY that was interrupted leaves: never to be rebuilt, only dropped.
_LEFTOVER = re.compile(r"_cc(new|old)\d*$")
_MB = 1024**2
_MOST_COST = 10_000  # of vacuum_cost_limit
# causes.md R12: maxmemory at 60 to 75 % of the container's limit
_SHARE_OF_LIMIT = 0.7


def of(cause: Cause, report: Report, snapshot: Snapshot, site: Site) -> dict[str, str]:
    """Return every name that a fix of a cause may speak of."""
    return {
        **of_subject(cause, site),
        **seen(cause, report.findings, snapshot, site),
        **of_database(cause, report.findings),
        **of_redis(cause, report.findings),
        **of_api(cause, report, snapshot, site),
        **of_disk(cause, report.findings),
        "evidence": evidence(cause, report),
    }


def of_subject(cause: Cause, site: Site) -> dict[str, str]:
    """Return what a fix may speak of, as far as the cause's subject tells it."""
    system, _slash, name = cause.subject.partition("/")
    names = {"subject": name, "site": site.name}
    workers = site.workers()
    sections = {
        "rabbitmq": site.settings.rabbitmq,
        "redis": site.settings.redis,
        "flower": site.settings.flower,
    }
    section = sections.get(system)
    if system == "rabbitmq" and site.settings.rabbitmq and name in site.settings.rabbitmq.queues:
        names["queue"] = name
        names.update(_worker_named(key for key, worker in workers.items() if name in worker.queues))
    elif section is not None and section.container:
        names.update(container=section.container, server=section.server)
    if system == "celery" and name in workers:
        names["worker"] = name
    if system == "docker":
        names["container"] = name
        names.update(_worker_named(key for key, worker in workers.items() if worker.container == name))
    member = site.member(name) if system == "api" else None
    if member is not None and member.container:
        names.update(container=member.container, server=member.server)
    if system == "pgbouncer" and site.settings.pgbouncer:
        names["database"] = site.settings.pgbouncer.database
    worker = workers.get(names.get("worker", ""))
    if worker is not None:
        names.update(server=worker.server, **({"container": worker.container} if worker.container else {}))
    return names


def _worker_named(keys: Iterable[str]) -> dict[str, str]:
    return {"worker": key for key in list(keys)[:1]}  # noqa: B035 - none or one


def evidence(cause: Cause, report: Report) -> str:
    """Return what was seen, and when, as lines for those who have to repair it."""
    by_key = {finding.key: finding for finding in report.findings}
    seen = [by_key[key].title for key in cause.explains if key in by_key and by_key[key].status in _SEEN]
    lines = dict.fromkeys((cause.title, *cause.speaks_for, *cause.speaks_against, *seen[:_MOST_LINES]))
    when = _("looked at {time} UTC").format(time=report.started_at.strftime("%Y-%m-%d %H:%M:%S"))
    return "\n".join(map(_item, (when, *lines)))


def seen(cause: Cause, findings: Sequence[Finding], snapshot: Snapshot, site: Site) -> dict[str, str]:
    """Return what a request to a team says of the site and of this look, and ``task`` only where one is stuck."""
    names = {
        "releases": _lines(_releases(snapshot, site)),
        "disk": _lines(_disk(snapshot, site)),
        "servers": _lines(_servers(site)),
        "proxy": _proxy(site),
        "since": snapshot.taken_at.strftime("%Y-%m-%d %H:%M:%S"),
    }
    task = _stuck_task(cause, findings)
    return {**names, "task": task} if task else names


def of_database(cause: Cause, findings: Sequence[Finding]) -> dict[str, str]:
    """Return the session, the table, the index, the slot, the pool that the decisive finding is about, as far as there are any.

    ``pid`` works on a statement, which can be cancelled; ``idle_pid`` is idle in its transaction, and only its end helps;
    ``held_pid`` waits for another. ``leftover`` is an index to be dropped, ``index`` one to be built anew. ``pool_size``,
    ``wal_size`` and ``cost_limit`` are what may come after what is set now.
    """
    decisive = next((finding for finding in findings if finding.key in cause.explains[:1]), None)
    if decisive is None:
        return {}
    if decisive.system == "pgbouncer":
        return dict(_of_pool(decisive.evidence))
    if decisive.system != "postgresql":
        return {}
    return {**_of_session(decisive.evidence), **dict(_of_server(decisive.evidence))}


def of_api(cause: Cause, report: Report, snapshot: Snapshot, site: Site) -> dict[str, str]:
    """Return the member that a cause is about, as far as the balancer can be told of it; its memory limit; the release; the server.

    ``memory_limit`` is half as much again as the container has, ``release`` what the members run that serve.
    """
    return dict(_of_api(cause, report, snapshot, site))


def _of_api(cause: Cause, report: Report, snapshot: Snapshot, site: Site) -> Iterator[tuple[str, str]]:
    system, _slash, name = cause.subject.partition("/")
    balancer = site.settings.loadbalancer
    if balancer is not None and (balancer.bigip is not None or balancer.commands is not None):
        members = (name,) if system in ("api", "loadbalancer") else _members_in(name, site)
        yield from (("member", member) for member in members[:1])
    for _observation, docker in snapshot.facts_of(DockerFacts):
        container = docker.named(name) if system == "docker" else None
        if container is not None and container.memory_limit:
            yield "memory_limit", f"{math.ceil(1.5 * container.memory_limit / _MB)}m"
    decisive = next((finding for finding in report.findings if finding.key in cause.explains[:1]), None)
    if decisive is not None and decisive.server:
        yield "server", decisive.server
    if decisive is not None and decisive.code == "release.running.differs":
        well = [
            str(decisive.evidence[str(member.container)])
            for member in site.members()
            if member.container in decisive.evidence and _serves(member.name, report.findings)
        ]
        yield from (("release", image) for image in dict.fromkeys(well[:1]))


def _members_in(container: str, site: Site) -> tuple[str, ...]:
    return tuple(member.name for member in site.members() if member.container == container)


def _serves(member: str, findings: Sequence[Finding]) -> bool:
    health = [finding for finding in findings if finding.code == "api.health.failing"]
    return any(f.subject == f"api/{member}" and f.status is Status.OK for f in health)


def of_disk(cause: Cause, findings: Sequence[Finding]) -> dict[str, str]:
    """Return the server and the mount of the full disk that a cause explains, and what of PostgreSQL fills it.

    ``filling_pid`` is the session with the most temporary files; ``wal_setting`` has the WAL kept, ``wal_value`` is what
    it may be in its place.
    """
    disk = next(
        (each for each in findings if each.code.startswith("servers.disk.") and each.key in cause.explains),
        None,
    )
    if disk is None or disk.server is None:
        return {}
    found = {"server": disk.server}
    if isinstance(disk.evidence.get("mount"), str):
        found["mount"] = disk.evidence["mount"]
    if cause.id == "query-temporary-files" and (pid := _writes_most(findings)):
        found["filling_pid"] = pid
    if cause.id == "wal-kept-by-setting" and (setting := filled_by.wal_setting(findings)):
        found["wal_setting"], found["wal_value"], _bytes = setting
    return found


def _writes_most(findings: Sequence[Finding]) -> str:
    rows = [
        row
        for finding in findings
        if finding.code == "postgresql.temp.high"
        for row in finding.evidence.get("by_pid") or ()
        if row.get("pid") and row.get("size_bytes")
    ]
    return str(max(rows, key=lambda row: row["size_bytes"])["pid"]) if rows else ""


def _of_session(evidence: Mapping[str, Any]) -> dict[str, str]:
    pid = evidence.get("pid") or evidence.get("root_pid")
    is_idle = "idle" in str(evidence.get("root_state") or evidence.get("state") or "")
    table = evidence.get("scanned") or evidence.get("relation")
    held = next(iter(evidence.get("blocked") or ()), None)
    is_prepared = evidence.get("kind") == "prepared transaction"
    gid = evidence.get("name") if is_prepared else evidence.get("gid")
    found = {
        "idle_pid" if is_idle else "pid": pid,
        "held_pid": held,
        "table": table,
        "slot": evidence.get("slot"),
        "gid": gid,
    }
    return {name: str(value) for name, value in found.items() if value}


def _of_server(evidence: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    invalid = [str(index["index"]) for index in evidence.get("indexes") or () if "index" in index]
    yield from (("leftover" if _LEFTOVER.search(name) else "index", name) for name in invalid[:1])
    if evidence.get("setting"):
        yield "off_setting", str(evidence["setting"])
    if wal := evidence.get("max_wal_size_bytes"):
        yield "wal_size", f"{2 * int(wal) // _MB}MB"
    if limit := evidence.get("vacuum_cost_limit"):
        yield "cost_limit", str(min(2 * int(limit), _MOST_COST))


def _of_pool(evidence: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    databases = [str(name) for name in evidence.get("databases") or () if name]
    if databases:
        is_all = bool(evidence.get("all")) or len(databases) > 1
        yield "held_pool", "" if is_all else databases[0]
    if database := evidence.get("database"):
        yield "database", str(database)
    if size_now := evidence.get("pool_size"):
        yield "pool_size", str(math.ceil(1.25 * int(size_now)))


def of_redis(cause: Cause, findings: Sequence[Finding]) -> dict[str, str]:
    """Return what the finding that decides says of Redis: ``prefix`` and ``key`` of who has its memory, the ``policy`` that is
    wanted, and the ``maxmemory`` that may come after what is set now, or that fits into what is around it.
    """
    explained = [
        finding for finding in findings if finding.key in cause.explains and finding.system == "redis"
    ]
    decisive = next((finding for finding in explained if finding.key == cause.explains[0]), None)
    if decisive is None:
        return {}
    evidence = decisive.evidence
    different = next((each for each in explained if each.code == "redis.policy.different"), None)
    found = {
        "prefix": evidence.get("dominant_prefix"),
        "key": evidence.get("key") if decisive.code == "redis.keys.big" else None,
        "policy": different.evidence.get("expected") if different else None,
        "maxmemory": _maxmemory(decisive),
    }
    return {name: str(value) for name, value in found.items() if value}


def _maxmemory(finding: Finding) -> str:
    evidence = finding.evidence
    now, limit = (evidence.get(name) for name in ("maxmemory", "limit"))
    if finding.code == "redis.memory.over_container" and limit:
        fitting = int(limit) * _SHARE_OF_LIMIT
        return f"{int(fitting) // _MB}mb" if fitting > int(evidence.get("used_memory") or 0) else ""
    is_full = finding.code == "redis.memory.high" or evidence.get("reason") == "OOM"
    return f"{math.ceil(1.25 * int(now) / _MB)}mb" if is_full and now else ""


def _lines(lines: Iterator[str]) -> str:
    return "\n".join(map(_item, lines)) or "- " + _("could not be seen")


def _item(text: str) -> str:
    """Return a text as an item of a list, in lines that no mail program and no terminal breaks."""
    lines = textwrap.wrap(
        spaces.held(" ".join(text.split())),
        _LINE_CHARACTERS,
        initial_indent="- ",
        subsequent_indent="  ",
        break_long_words=False,
        break_on_hyphens=False,
    )
    return spaces.released("\n".join(lines))


def _servers(site: Site) -> Iterator[str]:
    """Yield the servers that send to Google, which are those of the workers, with their addresses."""
    senders = {worker.server for worker in site.workers().values()} & site.settings.servers.keys()
    for name in sorted(senders or site.settings.servers):
        yield f"{name} {site.settings.servers[name].address}"


def _proxy(site: Site) -> str:
    """Return the proxy's address and port: a URL of the configuration holds no user or password."""
    return site.settings.proxy.url.rpartition("//")[2].rstrip("/") if site.settings.proxy else "-"


def _stuck_task(cause: Cause, findings: Sequence[Finding]) -> str:
    for finding in findings:
        if finding.code == "celery.task.stuck" and finding.key in cause.explains:
            tasks = finding.evidence.get("tasks") or ()
            return str(tasks[0]["id"]) if tasks else ""
    return ""


def _releases(snapshot: Snapshot, site: Site) -> Iterator[str]:
    """Yield which image each API member and each worker runs."""
    sides = [("API", member.name, member.container) for member in site.members()]
    sides += [(_("worker"), name, worker.container) for name, worker in site.workers().items()]
    for side, name, container in sides:
        for observation, facts in snapshot.facts_of(DockerFacts):
            running = facts.named(container) if container else None
            if running is not None:
                digest = running.image_id[:_DIGEST_CHARACTERS]
                yield f"{side} {name} ({observation.server})" + _(": ") + f"{running.image} {digest}"


def _disk(snapshot: Snapshot, site: Site) -> Iterator[str]:
    """Yield what the broker says of its disk, and what df and du say on its server."""
    for _observation, broker in snapshot.facts_of(RabbitMQFacts):
        for node in broker.nodes or ():
            if node.disk_free is None or node.disk_free_limit is None:
                continue
            text = _("{node}: {free} are free, RabbitMQ wants {limit}")
            yield text.format(node=node.name, free=size(node.disk_free), limit=size(node.disk_free_limit))
    server = site.settings.rabbitmq.server if site.settings.rabbitmq else ""
    for observation, facts in snapshot.facts_of(ServerFacts):
        if observation.server == server:
            yield from _file_systems(server, facts)


def _file_systems(server: str, facts: ServerFacts) -> Iterator[str]:
    fullest = sorted(facts.file_systems, key=lambda file_system: -file_system.used_percent)
    shown = [file_system for file_system in fullest if file_system.used_percent >= _SHOWN_PERCENT]
    for file_system in (shown or fullest[:1])[:_MOST_ENTRIES]:
        text = _("{server} {mount}: {percent} % full, {free} of {size} left").format(
            server=server,
            mount=file_system.mount,
            percent=file_system.used_percent,
            free=size(file_system.available_bytes),
            size=size(file_system.size_bytes),
        )
        yield text + _filled_by(file_system, facts)


def _filled_by(file_system: FileSystem, facts: ServerFacts) -> str:
    entries = [
        entry
        for directory in facts.biggest or ()
        if directory.mount == file_system.mount
        for entry in directory.entries
    ]
    words = ", ".join(f"{path} {size(count)}" for path, count in entries[:_MOST_ENTRIES])
    return _(": ") + words if words else ""
