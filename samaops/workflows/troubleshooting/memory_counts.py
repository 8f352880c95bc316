"""Count at the hops of a write's way into Redis: was it killed, does it refuse, does it evict, who has the room."""

from __future__ import annotations

from typing import Any

from samaops.facts.docker import ON_REQUEST, Container, DockerFacts
from samaops.facts.observation import Snapshot
from samaops.facts.redis import RedisFacts
from samaops.i18n import _
from samaops.model.quantities import duration, size
from samaops.model.status import Status
from samaops.site.site import Site
from samaops.workflows.troubleshooting.hops import SeenHop, uncounted

# It was started again so lately that the start belongs to what is told.
_LATELY_SECONDS = 600
_UNITS = {
    "alive": "seconds", "accepted": "refused writes", "kept": "keys", "owned": "keys", "saved": "changes",
}  # fmt: skip


def count(hop: str, snapshot: Snapshot, site: Site) -> SeenHop:
    """Return one hop with its count."""
    unit = _UNITS[hop]
    if site.settings.redis is None:
        return SeenHop(hop, Status.SKIPPED, detail=_("[redis] is not configured"), unit=unit)
    facts = next((facts for _observation, facts in snapshot.facts_of(RedisFacts)), None)
    if hop == "alive":
        return _alive(facts, _container(snapshot, site), site)
    if facts is None:
        return uncounted(hop, unit, _("Redis could not be read"), "redis", site)
    return {"accepted": _accepted, "kept": _kept, "owned": _owned, "saved": _saved}[hop](facts)


def _container(snapshot: Snapshot, site: Site) -> Container | None:
    section = site.settings.redis
    if section is None or section.container is None:
        return None
    engines = (
        facts for seen, facts in snapshot.facts_of(DockerFacts) if seen.server in (None, section.server)
    )
    return next((found for found in (facts.named(section.container) for facts in engines) if found), None)


def _alive(facts: RedisFacts | None, container: Container | None, site: Site) -> SeenHop:
    """Say since when it runs, and how its container ended last: killed is another fault than refusing."""
    if facts is None and container is None:
        return uncounted("alive", _UNITS["alive"], _("Redis could not be read"), "redis", site)
    ended = _ended(container)
    if facts is None:
        return SeenHop("alive", None, None, ended or _("it does not answer"), unit=_UNITS["alive"])
    words = _("for {age}").format(age=duration(facts.uptime_seconds))
    if ended and facts.uptime_seconds < _LATELY_SECONDS:
        words = f"{words}; {ended}"
    return _counted(
        "alive", facts.uptime_seconds, words, restarts=container.restart_count if container else None
    )


def _ended(container: Container | None) -> str:
    if container is None:
        return ""
    if container.oom_killed:
        return _("killed: its container reached its memory limit of {limit}").format(
            limit=size(container.memory_limit)
        )
    if container.state in ("running", "paused"):
        return ""
    if container.exit_code in ON_REQUEST:
        return _("its container was stopped ({code})").format(code=container.exit_code)
    return _("its container ended with exit code {code}").format(code=container.exit_code)


def _accepted(facts: RedisFacts) -> SeenHop:
    refused = facts.traffic.refused_writes
    named = ", ".join(f"{name} {number}" for name, number in refused.items() if number)
    words = _("since its start: {names}").format(names=named) if named else _("none since its start")
    return _counted("accepted", sum(refused.values()), words, **refused)


def _kept(facts: RedisFacts) -> SeenHop:
    rate, memory = facts.traffic.evicted_per_second, facts.memory
    room = _("{used} of {maximum} ({policy})").format(
        used=size(memory.used),
        maximum=size(memory.maximum) if memory.maximum else _("no limit"),
        policy=memory.policy,
    )
    words = room if rate is None else _("{rate:.0f}/s now; {room}").format(rate=rate, room=room)
    return _counted("kept", facts.traffic.evicted, words, evicted_per_second=rate, policy=memory.policy)


def _owned(facts: RedisFacts) -> SeenHop:
    sample = facts.sample
    if sample is None or not sample.sampled:
        return _counted("owned", facts.keys, "")
    group = max(sample.groups, key=lambda each: each.bytes)
    share = 100 * group.bytes / sample.bytes if sample.bytes else 0.0
    text = _("{share:.0f} % of the sampled bytes are {prefix}*")
    return _counted("owned", facts.keys, text.format(share=share, prefix=group.prefix), prefix=group.prefix)


def _saved(facts: RedisFacts) -> SeenHop:
    disk = facts.persistence
    words = _("the last save was {age} ago").format(age=duration(disk.seconds_since_save))
    if not disk.bgsave_ok:
        words = _("the last save failed")
    return _counted("saved", disk.changes_since_save, words)


def _counted(hop: str, number: int, detail: str, **evidence: Any) -> SeenHop:
    return SeenHop(hop, None, number, detail, evidence, _UNITS[hop])
