"""Judge what weekly maintenance looks at: growth, slow statements, indexes, use against last week, logs to be rotated."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from samaops.checks.registry import Context, Evidence, access_check, check
from samaops.facts.maintenance_week import (
    BrokerUse,
    CeleryUse,
    IndexesFacts,
    IndexFault,
    RedisUse,
    RotationFacts,
    SizesFacts,
    SlowStatement,
    StatementsFacts,
    TableGrowth,
    UseFacts,
)
from samaops.i18n import N_, _, joined, ngettext, number, some
from samaops.model.finding import Finding
from samaops.model.quantities import duration, moment, size
from samaops.model.status import Status
from samaops.site import log_rotation
from samaops.site.commands import samaops

# Less growth fills nothing, whatever share of a table it is.
LEAST_GROWTH_BYTES = 100 * 1024 * 1024
# A statement that ended once or twice in a week is nobody's wait.
LEAST_CALLS = 3
# Below, the share of hits or of failures is chance.
LEAST_PER_DAY = 100.0
_NAMED = 5
_LISTED = 20
_KINDS = {
    "invalid": N_("invalid"),
    "duplicate": N_("duplicate"),
    "covered": N_("covered"),
    "unused": N_("unused"),
    "foreign key": N_("foreign key without an index"),
    "read whole": N_("read whole"),
}


@access_check("maintenance.tables.growth", SizesFacts, warning=50, unit="%")
def growth(facts: SizesFacts, context: Context) -> Iterator[Finding]:
    tables, earlier = facts.tables, facts.earlier
    largest = ", ".join(_size_of(table) for table in tables[:_NAMED])
    taken = _("unknown") if facts.now.database_bytes is None else size(facts.now.database_bytes)
    title = _("{database} takes {size}").format(database=facts.database, size=taken)
    known = earlier is not None and None not in (facts.now.database_bytes, earlier.database_bytes)
    if earlier is None:
        title += "; " + _("nothing to compare with yet")
    elif known:
        assert facts.now.database_bytes is not None
        assert earlier.database_bytes is not None
        grown = facts.now.database_bytes - earlier.database_bytes
        title += ", " + _("{change} in {time}").format(
            change=_signed(grown), time=duration(facts.now.at - earlier.at)
        )
    evidence = {
        "since": None if earlier is None else moment(earlier.at),
        "database_bytes": facts.now.database_bytes,
        "tables": [
            {"table": table.name, "size_bytes": table.size_bytes, "grown_bytes": table.grown_bytes}
            for table in tables[:_LISTED]
        ],
    }
    shares = [(share, table) for table in tables if (share := _grown_percent(table)) is not None]
    detail = _("largest: {tables}").format(tables=largest) if largest else ""
    hint = samaops(context.site, "db size --sort growth")
    if not shares:
        yield context.ok(title, value=None if earlier is None else 0.0, detail=detail, evidence=evidence)
        return
    share, table = max(shares, key=lambda pair: pair[0])
    text = _("{table} grew by {grown} to {size}").format(
        table=table.name, grown=size(table.grown_bytes or 0), size=size(table.size_bytes)
    )
    yield context.above(share, f"{title}; {text}", detail=detail, evidence=evidence, hint=hint)


def _grown_percent(table: TableGrowth) -> float | None:
    """Return by how many percent of what it was a table grew; None where that is little, or not known."""
    grown = table.grown_bytes
    if grown is None or grown < LEAST_GROWTH_BYTES:
        return None
    before = table.size_bytes - grown
    return round(100 * grown / before, 1) if before > 0 else 1000.0


def _size_of(table: TableGrowth) -> str:
    text = f"{table.name} {size(table.size_bytes)}"
    return text + (f" ({_signed(table.grown_bytes)})" if table.grown_bytes else "")


def _signed(count: float) -> str:
    return ("+" if count >= 0 else "-") + size(abs(count))


# The guide's weekly script lists what takes more than a second.
@access_check("maintenance.statements.slow", StatementsFacts, warning=1000, unit="ms")
def slow(facts: StatementsFacts, context: Context) -> Iterator[Finding]:
    judged = [each for each in facts.slowest if each.calls >= LEAST_CALLS]
    span = _("in {age}") if facts.since is not None else _("in {age}, since the statistics began")
    words = span.format(age=duration(facts.seconds))
    evidence = {
        "since": None if facts.since is None else moment(facts.since),
        "seconds": round(facts.seconds),
        "statements": [_statement(each) for each in facts.slowest],
        "hidden": facts.hidden,
        "evicted": facts.evicted,
    }
    if facts.hidden and not judged:
        title = _("The statements of others are hidden from our user")
        yield context.unknown(title, evidence=evidence, hint=samaops(context.site, "db slow"))
        return
    if not judged:
        yield context.ok(_("No statement ended often {span}").format(span=words), value=0, evidence=evidence)
        return
    worst = max(judged, key=lambda each: each.mean_ms)
    title = _("The slowest statement took {mean} on average, {calls} times {span}").format(
        mean=duration(worst.mean_ms / 1000)
        if worst.mean_ms >= 1000
        else number(f"{worst.mean_ms:.1f}") + " ms",
        calls=worst.calls,
        span=words,
    )
    detail = joined(f"{each.query_id}: {each.text[:120]}" for each in _slowest(judged)[:2])
    hint = samaops(context.site, f"db explain {worst.query_id}")
    yield context.above(round(worst.mean_ms, 1), title, detail=detail, evidence=evidence, hint=hint)


def _slowest(statements: Sequence[SlowStatement]) -> list[SlowStatement]:
    return sorted(statements, key=lambda each: -each.mean_ms)


def _statement(each: SlowStatement) -> Evidence:
    return {
        "queryid": each.query_id,
        "user": each.user,
        "calls": each.calls,
        "mean_ms": round(each.mean_ms, 1),
        "total_ms": round(each.total_ms),
        "query": each.text,
    }


@access_check("maintenance.indexes.useless", IndexesFacts, unit="indexes")
def useless(facts: IndexesFacts, context: Context) -> Iterator[Finding]:
    evidence = {"indexes": _faults(facts.useless), "unproven": facts.unproven}
    if not facts.useless:
        title = _("No index is known to be of no use")
        if facts.unproven:
            title += "; " + ngettext(
                "{count} had no scan so far, which proves nothing yet",
                "{count} had no scan so far, which proves nothing yet",
                facts.unproven,
            ).format(count=facts.unproven)
        yield context.ok(title, value=0, evidence=evidence)
        return
    taken = sum(index.size_bytes for index in facts.useless)
    title = ngettext(
        "{count} index is of no use ({size}): {names}",
        "{count} indexes are of no use ({size}): {names}",
        len(facts.useless),
    ).format(count=len(facts.useless), size=size(taken), names=_named(facts.useless))
    hint = samaops(context.site, "db indexes")
    yield context.warn(title, value=len(facts.useless), evidence=evidence, hint=hint)


@check("maintenance.indexes.missing", IndexesFacts, unit="tables")
def missing(facts: IndexesFacts, context: Context) -> Iterator[Finding]:
    evidence = {"tables": _faults(facts.missing)}
    if not facts.missing:
        yield context.ok(_("No table lacks an index"), value=0, evidence=evidence)
        return
    title = ngettext(
        "{count} table may lack an index: {names}",
        "{count} tables may lack an index: {names}",
        len(facts.missing),
    ).format(count=len(facts.missing), names=_named(facts.missing))
    hint = samaops(context.site, "db indexes")
    yield context.warn(title, value=len(facts.missing), evidence=evidence, hint=hint)


def _named(faults: Sequence[IndexFault]) -> str:
    kinds = {kind: _(text) for kind, text in _KINDS.items()}
    return some((f"{fault.name} ({kinds.get(fault.kind, fault.kind)})" for fault in faults), 3)


def _faults(faults: Sequence[IndexFault]) -> list[Evidence]:
    return [
        {
            "class": fault.kind,
            "name": fault.name,
            "table": fault.table,
            "size_bytes": fault.size_bytes,
            "other": fault.other,
            "columns": list(fault.columns),
        }
        for fault in faults[:50]
    ]


# A cache whose hits fall by a tenth of all questions sends that many more to the database.
@access_check("maintenance.redis.use", RedisUse, warning=10, unit="points")
def redis_use(facts: RedisUse, context: Context) -> Iterator[Finding]:
    hits, before = _share(facts, "hits", "misses"), _share_before(facts, "hits", "misses")
    used, used_before = facts.now.levels["used_bytes"], facts.level_before("used_bytes")
    parts = [
        _compared(facts, "commands", _("{count} commands a day")),
        "" if hits is None else _of_last_week(_("{percent} % hits"), hits, before),
        _evicted(facts),
        _("{size} used").format(size=size(used))
        + ("" if used_before is None else f" ({_signed(used - used_before)})"),
    ]
    title = _("Redis: {text}").format(text=_told(facts, parts))
    fallen = None if hits is None or before is None else round(max(0.0, before - hits), 1)
    evidence = _use(facts)
    hint = samaops(context.site, "redis info")
    evicts = bool(facts.per_day("evicted")) and facts.before("evicted") == 0
    if evicts and context.warning is not None and context.status_above(fallen or 0.0) is Status.OK:
        hint = samaops(context.site, "redis memory")
        yield context.warn(title, value=fallen, evidence=evidence, hint=hint)
    elif fallen is None:
        yield context.ok(title, evidence=evidence)
    else:
        yield context.above(fallen, title, evidence=evidence, hint=hint)


def _evicted(facts: UseFacts) -> str:
    evicted = facts.per_day("evicted")
    return "" if evicted is None else _("{count} keys evicted a day").format(count=_count(evicted))


# Ten times more than last week, and no few: somebody is not being served.
@access_check("maintenance.rabbitmq.use", BrokerUse, warning=1000, unit="messages")
def broker_use(facts: BrokerUse, context: Context) -> Iterator[Finding]:
    messages, before = facts.now.levels["messages"], facts.level_before("messages")
    unroutable = facts.per_day("unroutable")
    more = 0.0 if before is None else max(0.0, messages - before)
    waiting = ngettext("{count} message waits", "{count} messages wait", int(messages)).format(
        count=_count(messages)
    )
    parts = [
        _compared(facts, "published", _("{count} messages published a day")),
        "" if not unroutable else _("{count} a day reached no queue").format(count=_count(unroutable)),
        waiting + ("" if before is None else " " + _("({count} last time)").format(count=_count(before))),
    ]
    title = _("RabbitMQ: {text}").format(text=_told(facts, parts))
    hint = samaops(context.site, "queue list")
    if unroutable and context.warning is not None and context.status_above(more) is Status.OK:
        yield context.warn(title, value=more, evidence=_use(facts), hint=hint)
    else:
        yield context.above(more, title, evidence=_use(facts), hint=hint)


# One task of twenty that fails is no accident of one customer's data.
@access_check("maintenance.celery.use", CeleryUse, warning=5, unit="%")
def celery_use(facts: CeleryUse, context: Context) -> Iterator[Finding]:
    failed, before = _share(facts, "failed", "succeeded"), _share_before(facts, "failed", "succeeded")
    parts = [
        _compared(facts, "succeeded", _("{count} tasks done a day")),
        "" if failed is None else _of_last_week(_("{percent} % failed"), failed, before),
        _("{online} of {count} workers online").format(
            online=_count(facts.now.levels["online"]), count=_count(facts.now.levels["workers"])
        ),
    ]
    title = _("Celery: {text}").format(text=_told(facts, parts))
    hint = samaops(context.site, "diagnose --only celery")
    if failed is None:
        yield context.ok(title, evidence=_use(facts))
    else:
        yield context.above(failed, title, evidence=_use(facts), hint=hint)


def _share(facts: UseFacts, part: str, rest: str) -> float | None:
    return _percent(facts.per_day(part), facts.per_day(rest))


def _share_before(facts: UseFacts, part: str, rest: str) -> float | None:
    return _percent(facts.before(part), facts.before(rest))


def _percent(part: float | None, rest: float | None) -> float | None:
    """Return the share of a part; None where too little was counted to say so."""
    if part is None or rest is None or part + rest < LEAST_PER_DAY:
        return None
    return round(100 * part / (part + rest), 1)


def _of_last_week(text: str, now: float, before: float | None) -> str:
    words = text.format(percent=number(f"{now:.1f}"))
    if before is None:
        return words
    return words + " " + _("({percent} % last time)").format(percent=number(f"{before:.1f}"))


def _compared(facts: UseFacts, name: str, text: str) -> str:
    now, before = facts.per_day(name), facts.before(name)
    if now is None:
        return ""
    words = text.format(count=_count(now))
    return words if before is None else words + " " + _("({count} last time)").format(count=_count(before))


def _told(facts: UseFacts, parts: Sequence[str]) -> str:
    words = ", ".join(part for part in parts if part)
    if facts.earlier is None:
        words += "; " + _("nothing to compare with yet")
    elif not facts.now.per_day:
        words += "; " + _("it began to count anew, or the last run was just now")
    elif facts.is_since_start:
        words += "; " + _("counted since it started {age} ago").format(age=duration(facts.seconds))
    return words


def _count(amount: float) -> str:
    return number(f"{amount:,.0f}")


def _use(facts: UseFacts) -> Evidence:
    earlier = facts.earlier
    return {
        "since": None if earlier is None else moment(earlier.at),
        "per_day": {name: round(count, 1) for name, count in facts.now.per_day.items()},
        "per_day_before": {name: round(count, 1) for name, count in earlier.per_day.items()}
        if earlier
        else {},
        "levels": dict(facts.now.levels),
        "levels_before": dict(earlier.levels) if earlier else {},
    }


@access_check("maintenance.rotation.due", RotationFacts, unit="files")
def rotation(facts: RotationFacts, context: Context) -> Iterator[Finding]:
    due = log_rotation.due(facts, context.site)
    left = [each for each in due if not each.method]
    taken = sum(file.size_bytes for file in facts.files)
    evidence = {
        "directory": facts.directory,
        "bytes": taken,
        "due": [
            {"file": each.file.name, "size_bytes": each.file.size_bytes, "method": each.method or None}
            for each in due[:50]
        ],
        "left": {each.file.name: log_rotation.why_left(each, facts) for each in left[:50]},
    }
    if not due:
        title = _("No log in {directory} is to be rotated: {size} in {count} files").format(
            directory=facts.directory, size=size(taken), count=len(facts.files)
        )
        yield context.ok(title, value=0, evidence=evidence)
        return
    title = ngettext(
        "{count} log is to be rotated: {names}", "{count} logs are to be rotated: {names}", len(due)
    ).format(
        count=len(due),
        names=some((f"{each.file.name} {size(each.file.size_bytes)}" for each in due), 3),
    )
    detail = joined(f"{each.file.name}: {log_rotation.why_left(each, facts)}" for each in left[:2])
    hint = samaops(context.site, "maintain run rotation")
    yield context.warn(title, value=len(due), detail=detail, evidence=evidence, hint=hint)
