"""What a fix may speak of beside the cause itself, as it was seen: the stuck task, the releases, our servers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from samaops.checks.quantities import size
from samaops.facts.docker import DockerFacts
from samaops.facts.observation import Snapshot
from samaops.facts.rabbitmq import RabbitMQFacts
from samaops.facts.servers import FileSystem, ServerFacts
from samaops.i18n import _
from samaops.model.cause import Cause
from samaops.model.finding import Finding
from samaops.site.site import Site

_MOST_ENTRIES = 5
# Below that nobody asks what fills a disk.
_SHOWN_PERCENT = 50
_DIGEST_CHARACTERS = 19  # sha256: and twelve more


def seen(cause: Cause, findings: Sequence[Finding], snapshot: Snapshot, site: Site) -> dict[str, str]:
    """Return what a letter says of the site and of this look, and ``task`` only where one is stuck."""
    names = {
        "releases": _lines(_releases(snapshot, site)),
        "disk": _lines(_disk(snapshot, site)),
        "servers": _lines(_servers(site)),
        "proxy": _proxy(site),
        "since": snapshot.taken_at.strftime("%Y-%m-%d %H:%M:%S"),
    }
    task = _stuck_task(cause, findings)
    return {**names, "task": task} if task else names


def _lines(found: Iterator[str]) -> str:
    return "\n".join(f"- {one}" for one in found) or "- " + _("could not be seen")


def _servers(site: Site) -> Iterator[str]:
    """Yield the servers that send to Google, which are those of the workers, with their addresses."""
    workers = site.settings.celery.workers.values() if site.settings.celery else ()
    senders = {one.server for one in workers} & site.settings.servers.keys()
    for name in sorted(senders or site.settings.servers):
        yield f"{name} {site.settings.servers[name].address}"


def _proxy(site: Site) -> str:
    """Return the proxy's address and port: a URL of the configuration holds no user or password."""
    return site.settings.proxy.url.rpartition("//")[2].rstrip("/") if site.settings.proxy else "-"


def _stuck_task(cause: Cause, findings: Sequence[Finding]) -> str:
    for one in findings:
        if one.code == "celery.task.stuck" and one.key in cause.explains:
            tasks = one.evidence.get("tasks") or ()
            return str(tasks[0]["id"]) if tasks else ""
    return ""


def _releases(snapshot: Snapshot, site: Site) -> Iterator[str]:
    """Yield which image each API member and each worker runs."""
    members = site.settings.api.instances if site.settings.api else ()
    workers = site.settings.celery.workers if site.settings.celery else {}
    sides = [("API", one.name, one.container) for one in members]
    sides += [(_("worker"), name, one.container) for name, one in workers.items()]
    for side, name, container in sides:
        for observation, facts in snapshot.facts_of(DockerFacts):
            found = facts.named(container) if container else None
            if found is not None:
                digest = found.image_id[:_DIGEST_CHARACTERS]
                yield f"{side} {name} ({observation.server}): {found.image} {digest}"


def _disk(snapshot: Snapshot, site: Site) -> Iterator[str]:
    """Yield what the broker says of its disk, and what df and du say on its server."""
    for _observation, broker in snapshot.facts_of(RabbitMQFacts):
        for node in broker.nodes or ():
            text = _("{node}: {free} are free, RabbitMQ wants {limit}")
            yield text.format(node=node.name, free=size(node.disk_free), limit=size(node.disk_free_limit))
    server = site.settings.rabbitmq.server if site.settings.rabbitmq else ""
    for observation, facts in snapshot.facts_of(ServerFacts):
        if observation.server == server:
            yield from _file_systems(server, facts)


def _file_systems(server: str, facts: ServerFacts) -> Iterator[str]:
    fullest = sorted(facts.file_systems, key=lambda one: -one.used_percent)
    shown = [one for one in fullest if one.used_percent >= _SHOWN_PERCENT] or fullest[:1]
    for one in shown[:_MOST_ENTRIES]:
        text = _("{server} {mount}: {percent} % full, {free} of {size} left")
        words = {"server": server, "mount": one.mount, "percent": one.used_percent}
        yield text.format(**words, free=size(one.available_bytes), size=size(one.size_bytes)) + _filled_by(
            one, facts
        )


def _filled_by(one: FileSystem, facts: ServerFacts) -> str:
    entries = [entry for found in facts.biggest or () if found.mount == one.mount for entry in found.entries]
    words = ", ".join(f"{path} {size(count)}" for path, count in entries[:_MOST_ENTRIES])
    return f": {words}" if words else ""
