"""Redis in a dozen lines: whether it takes writes, how full it is and of what, who asks, how it saves."""

from __future__ import annotations

from collections.abc import Iterator

from samaops.checks.redis.memory import can_evict
from samaops.facts.redis import RedisFacts
from samaops.i18n import _
from samaops.model.quantities import duration, size
from samaops.model.table import Column, Table
from samaops.site.site import Site
from samaops.workflows import diagnose
from samaops.workflows.lists import table
from samaops.workflows.redis import look

_EVICTING_PER_SECOND = 1.0


def info(site: Site) -> Table:
    """Return what one look at Redis tells. Raises UnavailableError."""
    look.configured(site)
    facts = diagnose.facts_of(site, "redis", RedisFacts, _("Could not look at Redis: {reason}"))
    rows = [
        {"name": name, "what": what, "value": value, "number": number}
        for name, what, value, number in _lines(facts)
    ]
    columns = (Column("what", _("what")), Column("value", _("value")))
    return table(site, "redis_info", columns, rows, answer_of(facts))


def state_of(facts: RedisFacts) -> str:
    """Return the first cut: refusing, evicting, or serving."""
    memory, disk = facts.memory, facts.persistence
    is_full = bool(memory.maximum) and memory.counted >= memory.maximum
    cannot_save = not disk.aof_write_ok or (
        not disk.bgsave_ok and disk.stops_writes is not False and disk.save_points != ""
    )
    if (is_full and not can_evict(facts)) or cannot_save:
        return "refusing"
    if (facts.traffic.evicted_per_second or 0) >= _EVICTING_PER_SECOND:
        return "evicting"
    return "serving"


def answer_of(facts: RedisFacts) -> str:
    """Return the first line."""
    memory = facts.memory
    words = {
        "refusing": _("Redis refuses writes"),
        "evicting": _("Redis evicts keys: {rate:.0f} a second").format(
            rate=facts.traffic.evicted_per_second or 0
        ),
        "serving": _("Redis serves"),
    }[state_of(facts)]
    of = size(memory.maximum) if memory.maximum else _("no limit")
    text = _("{state}; it uses {used} of {maximum} ({policy}), {keys} keys")
    return text.format(state=words, used=size(memory.used), maximum=of, policy=memory.policy, keys=facts.keys)


def _lines(facts: RedisFacts) -> Iterator[tuple[str, str, str, float | None]]:
    memory, traffic, disk, clients = facts.memory, facts.traffic, facts.persistence, facts.connections
    yield "version", _("version"), facts.version, None
    yield "uptime", _("running for"), duration(facts.uptime_seconds), facts.uptime_seconds
    percent = "" if memory.used_percent is None else f" ({memory.used_percent:g} %)"
    yield "used", _("memory used"), size(memory.used) + percent, memory.used
    yield "maxmemory", "maxmemory", size(memory.maximum) if memory.maximum else _("no limit"), memory.maximum
    yield "policy", "maxmemory-policy", memory.policy, None
    text = _("{size}, {ratio:g} times its data").format(
        size=size(memory.resident), ratio=memory.fragmentation_ratio
    )
    yield "resident", _("memory of the process"), text, memory.resident
    yield "host", _("memory of the server"), size(memory.system_total), memory.system_total
    text = _("{keys}, {percent:.0f} % with an expiry")
    percent_of = 100 * facts.keys_with_expiry / facts.keys if facts.keys else 0.0
    yield "keys", _("keys"), text.format(keys=facts.keys, percent=percent_of), facts.keys
    rate = traffic.evicted_per_second
    evicted = (
        str(traffic.evicted)
        if rate is None
        else _("{count}, {rate:.0f}/s now").format(count=traffic.evicted, rate=rate)
    )
    yield "evicted", _("evicted since its start"), evicted, traffic.evicted
    refused = ", ".join(f"{name} {count}" for name, count in traffic.refused_writes.items())
    yield "refused", _("refused writes since its start"), refused, sum(traffic.refused_writes.values())
    lookups = traffic.hits + traffic.misses
    hits = f"{100 * traffic.hits / lookups:.1f} %" if lookups else "-"
    yield "hits", _("lookups that find something"), hits, traffic.hits
    text = _("{count} of at most {most}, {blocked} blocked, {rejected} rejected")
    words = text.format(
        count=clients.connected, most=clients.maximum, blocked=clients.blocked, rejected=clients.rejected
    )
    yield "clients", _("clients"), words, clients.connected
    text = (
        _("{age} ago, {changes} changes since")
        if disk.bgsave_ok
        else _("failed; {age} ago, {changes} changes since")
    )
    saved = text.format(age=duration(disk.seconds_since_save), changes=disk.changes_since_save)
    yield "saved", _("last save"), saved, disk.seconds_since_save
    aof = _("off") if not disk.aof_enabled else _("on") if disk.aof_write_ok else _("on, cannot be written")
    yield "aof", _("append-only file"), aof, None
