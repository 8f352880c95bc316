"""Who has the memory of Redis: a sample of its keys by the beginning of their names, with what a sample leaves open."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median

from msgspec import Struct, field
from msgspec.structs import replace

from samaops.clients import redis_keys
from samaops.clients.redis import RedisClient
from samaops.clients.redis_keys import Pace
from samaops.collect.redis.keys import prefix_of, shown
from samaops.i18n import _, number
from samaops.model.quantities import duration, size
from samaops.model.table import Column, Table
from samaops.site.commands import typed
from samaops.site.shell_words import quoted
from samaops.site.site import Site
from samaops.workflows.database.kept import Earlier, Memory, numbers
from samaops.workflows.lists import shown_of, table
from samaops.workflows.redis import look

_MOST_SECONDS = 600.0
_KEPT_EVERY_SECONDS = 300.0
_KEPT_PREFIXES = 100
_LOOKS = 1
# Of a normal distribution, 95 % lie within so many standard deviations.
_DEVIATIONS = 1.96
_MANY_PERCENT = 50
_EXPLAINED_PERCENT = 70
_DAY_SECONDS = 86_400


class Wanted(Struct, frozen=True):
    """How many keys are sampled (0: all), how many a second, how many rows are shown."""

    sample: int = 20_000
    rate: float = 50_000
    limit: int = 20


class Sampled(Struct):
    """The sampled keys of one prefix, as sums."""

    keys: int = 0
    bytes: int = 0
    squares: float = 0.0
    no_expiry: int = 0
    idle: list[int] = field(default_factory=list)

    def add(self, size_bytes: int, *, never: bool, idle: int | None) -> None:
        """Count one key."""
        self.keys += 1
        self.bytes += size_bytes
        self.squares += float(size_bytes) ** 2
        self.no_expiry += never
        if idle is not None:
            self.idle.append(idle)


class Sample(Struct, frozen=True):
    """A random sample of a database's keys."""

    keys: int
    seen: int
    groups: dict[str, Sampled]
    is_complete: bool

    def of_all(self, count: float) -> float:
        """Return what the sampled ones stand for."""
        return count * self.keys / self.seen if self.seen and not self.is_complete else count

    def error(self, total: float, squares: float) -> float:
        """Return within what a sum over all keys is known, 95 times of 100; nothing is open where all were seen."""
        if self.is_complete or self.seen < 2:
            return 0.0
        n = self.seen
        variance = max(0.0, squares - total**2 / n) / (n - 1)
        left = max(0.0, 1 - n / max(self.keys, n))
        return _DEVIATIONS * self.keys * math.sqrt(variance / n * left)


def memory(site: Site, wanted: Wanted) -> Table:
    """Return who has the memory, the largest first."""
    with look.connected(site, _MOST_SECONDS) as client:
        info = client.info("memory")
        keeps_idle = not str(info.get("maxmemory_policy", "")).endswith("lfu")
        sample = _sampled(client, wanted, with_idle=keeps_idle)
        notes = look.elsewhere(client, site)
    kept = Memory(site, "redis memory", _KEPT_EVERY_SECONDS, look.place(site))
    earlier = kept.last(_LOOKS)
    rows = _rows(site, sample, earlier)
    kept.keep(earlier, {"bytes": {row["prefix"]: row["bytes"] for row in rows[:_KEPT_PREFIXES]}})
    if not keeps_idle:
        notes.append(
            _(
                "the policy counts how often a key is used (LFU): then Redis does not tell how long it was idle"
            )
        )
    used, maximum = int(info.get("used_memory", 0)), int(info.get("maxmemory", 0))
    notes += [*_unexplained(site, sample, int(info.get("used_memory_dataset", 0))), *kept.notes]
    notes += shown_of(len(rows), wanted.limit)
    answer = _answer(rows, sample, used, maximum)
    figures = {
        "keys": sample.keys,
        "sampled": sample.seen,
        "is_complete": sample.is_complete,
        "used_memory": used,
        "maxmemory": maximum,
        "policy": str(info.get("maxmemory_policy", "")),
    }
    made = table(site, "redis_memory", _columns(), rows[: wanted.limit], answer, notes)
    return replace(made, commands=_commands(site, rows), figures=figures)


def _sampled(client: RedisClient, wanted: Wanted, *, with_idle: bool) -> Sample:
    pace, groups, seen = Pace(wanted.rate), dict[str, Sampled](), 0
    questions = [redis_keys.SIZE, redis_keys.EXPIRY, *([redis_keys.IDLE] if with_idle else [])]
    total, is_complete = int(client.dbsize()), True
    for named in redis_keys.names(client):
        keys = named[: wanted.sample - seen] if wanted.sample else named
        pace.keep(len(keys))
        for key, answers in zip(keys, redis_keys.ask(client, keys, *questions), strict=True):
            bytes_of, milliseconds = answers[0], answers[1]
            if bytes_of is None or milliseconds == redis_keys.GONE:
                continue
            seen += 1
            group = groups.setdefault(prefix_of(shown(key)), Sampled())
            group.add(
                bytes_of,
                never=milliseconds == redis_keys.NEVER,
                idle=answers[2] if with_idle else None,
            )
        if wanted.sample and seen >= wanted.sample:
            is_complete = seen >= total
            break
    return Sample(seen if is_complete else max(total, seen), seen, groups, is_complete)


def _rows(site: Site, sample: Sample, earlier: Sequence[Earlier]) -> list[look.Row]:
    all_bytes = sum(group.bytes for group in sample.groups.values())
    before = numbers(earlier[0].details, "bytes") if earlier else {}
    rows = []
    for prefix, group in sample.groups.items():
        estimate, error = sample.of_all(group.bytes), sample.error(group.bytes, group.squares)
        share = 100 * group.bytes / all_bytes if all_bytes else 0.0
        grown = round(estimate - before[prefix]) if prefix in before else None
        idle = median(group.idle) if group.idle else None
        rows.append(
            {
                "prefix": prefix,
                "keys": round(sample.of_all(group.keys)),
                "keys_error": round(sample.error(group.keys, group.keys)),
                "bytes": round(estimate),
                "bytes_error": round(error),
                "size": _with_error(estimate, error),
                "share_percent": round(share, 1),
                "share": f"{number(f'{share:.0f}')} %",
                "no_expiry_percent": round(100 * group.no_expiry / group.keys, 1),
                "forever": f"{100 * group.no_expiry / group.keys:.0f} %",
                "idle_seconds": idle,
                "idle": None if idle is None else duration(idle),
                "growth_bytes": grown,
                "growth": _grown(grown, error),
                "since_seconds": round(earlier[0].seconds) if earlier and grown is not None else None,
                "owner": look.owner(prefix, site),
            }
        )
    return sorted(rows, key=lambda row: -row["bytes"])


def _with_error(estimate: float, error: float) -> str:
    if not error:
        return size(estimate)
    percent = min(999, math.ceil(100 * error / estimate)) if estimate else 999
    return f"{size(estimate)} ±{percent} %"


def _grown(grown: int | None, error: float) -> str | None:
    """Return how much it grew; a difference that the sample may have made is none."""
    if grown is None:
        return None
    if abs(grown) <= error:
        return "±0"
    return ("+" if grown > 0 else "") + size(grown)


def _columns() -> tuple[Column, ...]:
    return (
        Column("prefix", _("prefix"), is_copied=True),
        Column("keys", _("keys"), True),
        Column("size", _("size"), True),
        Column("share", _("share"), True),
        Column("forever", _("no expiry"), True),
        Column("idle", _("idle"), True),
        Column("growth", _("growth"), True),
        Column("owner", _("whose")),
    )


def _answer(rows: list[look.Row], sample: Sample, used: int, maximum: int) -> str:
    text = (
        _("Redis uses {used} of {maximum}")
        if maximum
        else _("Redis uses {used}, without a limit (maxmemory)")
    )
    answer = text.format(used=size(used), maximum=size(maximum))
    if not rows:
        return _("{text}; this database has no keys").format(text=answer)
    first = rows[0]
    text = _(
        "{text}; {share} of its {keys} keys' memory is {prefix}* ({owner}), {forever} of them without expiry"
    )
    return text.format(
        text=answer, share=first["share"], keys=sample.keys, prefix=first["prefix"], owner=first["owner"], forever=first["forever"]
    )  # fmt: skip


def _unexplained(site: Site, sample: Sample, dataset: int) -> list[str]:
    """Say how much of the keys was seen, and where they do not explain what Redis holds."""
    notes = []
    if not sample.is_complete:
        text = _(
            "{seen} of {keys} keys were looked at; ± is what that leaves open, 95 times of 100; all: --sample 0"
        )
        notes.append(text.format(seen=sample.seen, keys=sample.keys))
    explained = sample.of_all(sum(group.bytes for group in sample.groups.values()))
    if sample.seen and not sample.is_complete and dataset and 100 * explained / dataset < _EXPLAINED_PERCENT:
        text = _(
            "the sample explains {percent:.0f} % of the data: a few large keys may hold the rest: {command}"
        )
        notes.append(text.format(percent=100 * explained / dataset, command=typed(site, "redis bigkeys")))
    return notes


def _commands(site: Site, rows: list[look.Row]) -> tuple[str, ...]:
    """Propose an expiry for those of the largest share that mostly have none, and that are nobody's broker."""
    first = rows[0] if rows else None
    if (
        first is None
        or first["no_expiry_percent"] < _MANY_PERCENT
        or first["owner"] == _(look.OWNERS["broker"])
    ):
        return ()
    words = f"redis expire {quoted(first['prefix'])} --after {_DAY_SECONDS} --dry-run"
    return (typed(site, words),)
