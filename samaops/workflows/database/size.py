"""What takes the room: the disk of the data, the databases, tables and indexes, and what grew since earlier looks."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct

from samaops.clients.errors import ClientError
from samaops.clients.shells import ShellPool
from samaops.errors import UsageError
from samaops.i18n import N_, _, joined
from samaops.model.quantities import duration, size
from samaops.model.table import Column, Table
from samaops.site.site import Site
from samaops.workflows import lists
from samaops.workflows.database import look
from samaops.workflows.database.forecast import DAY, LEAST_LOOKS, FullIn, Growth, full_in, growth
from samaops.workflows.database.kept import Earlier, Memory, numbers

SORTS = ("size", "growth")
KINDS = {"disk": N_("disk"), "database": N_("database"), "table": N_("table"), "index": N_("index")}
_KEPT_EVERY_SECONDS = 6 * 3600.0
# At four a day: half a month of looks to compare with, and to tell the growth from.
_LOOKS = 60
_KEPT_RELATIONS = 150
_DF_SECONDS = 3.0
# Farther away is no date.
_FARTHEST_SECONDS = 5 * 365 * DAY


class Wanted(Struct, frozen=True):
    """What is wanted: since how many days growth is told, how the relations are sorted, how many are shown."""

    days: float = 7.0
    sort: str = "size"
    limit: int = 20


class Disk(Struct, frozen=True):
    """The file system of the data directory; ``reason`` says why it could not be seen."""

    mount: str = ""
    size_bytes: int | None = None
    free_bytes: int | None = None
    reason: str = ""


class Sizes(Struct, frozen=True):
    """What was measured now."""

    databases: Sequence[look.Row]
    relations: Sequence[look.Row]
    disk: Disk
    tablespaces: int
    role: str

    @property
    def total(self) -> float | None:
        """All databases together; None when one could not be measured."""
        sizes = [database["size_bytes"] for database in self.databases]
        return None if None in sizes else float(sum(sizes))


def sizes(site: Site, wanted: Wanted) -> Table:
    """Return the disk, the databases, then tables and indexes, the largest first or what grew most."""
    if wanted.sort not in SORTS:
        text = _("--sort: {value!r} is none of {values}")
        raise UsageError(text.format(value=wanted.sort, values=", ".join(SORTS)))
    with look.connected(site) as client:
        databases = client.read("sizes_databases")
        relations = client.read("sizes_relations")
        directory = client.read_one("data_directory")
        role = client.read_one("server")["role"]
    disk = _disk(site, directory["directory"])
    now = Sizes(databases, relations, disk, directory["tablespaces"], role)
    memory = Memory(site, "db size", _KEPT_EVERY_SECONDS)
    earlier = memory.last(_LOOKS)
    memory.keep(earlier, _kept(now))
    return _table(site, now, wanted, earlier, memory.notes)


def _table(site: Site, now: Sizes, wanted: Wanted, earlier: Sequence[Earlier], notes: Iterable[str]) -> Table:
    before = compared_with(earlier, wanted.days * DAY)
    rate = _rate(now, earlier)
    ends = None if now.disk.free_bytes is None else full_in(now.disk.free_bytes, rate)
    databases = [_row("database", row, before, "databases") for row in now.databases]
    relations = [_row(row["kind"], row, before, "relations") for row in now.relations]
    if wanted.sort == "growth":
        relations.sort(key=lambda row: -(row["growth_bytes"] or 0))
    columns = (
        Column("what", _("what")),
        Column("name", _("name")),
        Column("size", _("size"), True),
        Column("growth", _("growth"), True),
        Column("indexes", _("indexes in it"), True),
        Column("rows", _("rows"), True),
    )
    unseen = [row["name"] for row in now.databases if row["size_bytes"] is None]
    failed = [*notes]
    if unseen:
        text = _("the size of {names} is hidden from {role}; it needs the role pg_monitor")
        failed.append(text.format(names=", ".join(unseen), role=now.role))
    if now.disk.reason:
        text = _("the free space of the data directory could not be seen: {reason}")
        failed.append(text.format(reason=now.disk.reason))
    rows = [_disk_row(site, now, rate, ends), *databases, *relations[: wanted.limit]]
    remarks = [*failed, *_remarks(now), *lists.shown_of(len(relations), wanted.limit)]
    answer = joined([_answer(before, databases, now), *_of_disk(now.disk, rate, ends, earlier)])
    return lists.table(site, "size", columns, rows, answer, remarks, is_whole=not failed)


def compared_with(earlier: Sequence[Earlier], seconds: float) -> Earlier | None:
    """Return the newest look that is at least so old, else the oldest."""
    old_enough = (each for each in earlier if each.seconds >= seconds)
    return next(old_enough, earlier[-1] if earlier else None)


def _rate(now: Sizes, earlier: Sequence[Earlier]) -> Growth | None:
    totals = [(-each.seconds, each.details.get("total")) for each in earlier]
    return growth(
        [(at, total) for at, total in (*totals, (0.0, now.total)) if isinstance(total, (int, float))]
    )


def _row(kind: str, measured: look.Row, before: Earlier | None, part: str) -> look.Row:
    bytes_now = measured["size_bytes"]
    was = _before(before, part, _key(kind, measured["name"])) if before else None
    grown = None if was is None or bytes_now is None else round(bytes_now - was)
    indexes = measured.get("index_bytes")
    is_exact = measured.get("is_exact", True)
    return {
        "kind": kind,
        "what": _(KINDS[kind]),
        "name": measured["name"],
        "table": measured.get("table"),
        "size": None if bytes_now is None else ("" if is_exact else "~") + size(bytes_now),
        "size_bytes": bytes_now,
        "is_exact": is_exact,
        "growth": None if grown is None else _grown(grown),
        "growth_bytes": grown,
        "since_seconds": None if grown is None or before is None else round(before.seconds),
        "indexes": size(indexes) if indexes else None,
        "index_bytes": indexes,
        "rows": measured.get("rows"),
    }


def _before(before: Earlier, part: str, key: str) -> float | None:
    """Return what something had then: nothing where everything was kept and it is not among it."""
    kept = numbers(before.details, part)
    return kept.get(key, 0.0 if part == "relations" and len(kept) < _KEPT_RELATIONS else None)


def _grown(count: float) -> str:
    return ("+" if count > 0 else "") + size(count)


def _key(kind: str, name: str) -> str:
    return name if kind == "database" else f"{kind} {name}"


def _disk_row(site: Site, now: Sizes, rate: Growth | None, ends: FullIn | None) -> look.Row:
    section = site.settings.postgresql
    place = f"{section.server if section else ''}:{now.disk.mount or '?'}"
    free = now.disk.free_bytes
    return {
        "kind": "disk",
        "what": _(KINDS["disk"]),
        "name": place,
        "size": None if now.disk.size_bytes is None else size(now.disk.size_bytes),
        "size_bytes": now.disk.size_bytes,
        "free_bytes": free,
        "growth": None if rate is None else _("{size}/d").format(size=_grown(rate.middle * DAY)),
        "growth_bytes_per_day": None if rate is None else round(rate.middle * DAY),
        "full_in_seconds": None if ends is None else round(ends.seconds),
        "full_earliest_seconds": None if ends is None else round(ends.earliest),
        "full_latest_seconds": None if ends is None else round(ends.latest),
    }


def _kept(now: Sizes) -> Mapping[str, Any]:
    largest = now.relations[:_KEPT_RELATIONS]
    return {
        "total": now.total,
        "free": now.disk.free_bytes,
        "databases": {
            row["name"]: row["size_bytes"] for row in now.databases if row["size_bytes"] is not None
        },
        "relations": {_key(row["kind"], row["name"]): row["size_bytes"] for row in largest},
    }


def _answer(before: Earlier | None, databases: Sequence[look.Row], now: Sizes) -> str:
    ours = next((row for row, seen in zip(databases, now.databases, strict=True) if seen["is_ours"]), None)
    if ours is None or ours["size"] is None:
        return _("The size of our own database is hidden from us")
    if before is None or ours["growth_bytes"] is None:
        text = _("{name} takes {size}; growth is seen from the next look on")
        return text.format(name=ours["name"], size=ours["size"])
    text = _("{name} takes {size}, as much as {age} ago")
    if ours["growth_bytes"]:
        text = _("{name} takes {size}, {growth} since {age} ago")
    return text.format(
        name=ours["name"], size=ours["size"], growth=ours["growth"], age=duration(before.seconds)
    )


def _of_disk(
    disk: Disk, rate: Growth | None, ends: FullIn | None, earlier: Sequence[Earlier]
) -> Iterator[str]:
    if disk.free_bytes is not None:
        yield _("{place} has {free} free: {when}").format(
            place=disk.mount, free=size(disk.free_bytes), when=_when(rate, ends, earlier)
        )


def _remarks(now: Sizes) -> Iterator[str]:
    if now.tablespaces:
        yield _("some data lies in tablespaces on other disks: their free space is not in this")
    if any(not row["is_exact"] for row in now.relations):
        yield _("~ marks what is locked exclusively now: its size as it was last noted")


def _when(rate: Growth | None, ends: FullIn | None, earlier: Sequence[Earlier]) -> str:
    """Say when it is full, or why there is no date."""
    if rate is None:
        text = _("no date before {least} looks over more than a day are kept ({count} so far)")
        return text.format(least=LEAST_LOOKS, count=len(earlier) or 1)
    if ends is None:
        return _("no date, the databases do not grow steadily")
    if ends.earliest > _FARTHEST_SECONDS:
        return _("not full within five years at this growth")
    text = _("full in about {middle} at this growth ({earliest} to {latest})")
    return text.format(
        middle=duration(ends.seconds), earliest=duration(ends.earliest), latest=duration(ends.latest)
    )


def _disk(site: Site, directory: str | None) -> Disk:
    """Return the file system of the data directory: where the server says, or where the configuration does."""
    section = site.settings.postgresql
    assert section is not None
    places = [place for place in (directory, section.data_directory) if place]
    tries = " || ".join(f"df -Pk -- {shlex.quote(place)}" for place in dict.fromkeys(places))
    shells = ShellPool(site.settings)
    try:
        done = shells.of(section.server).run(tries, _DF_SECONDS)
    except ClientError as error:
        return Disk(reason=error.message)
    finally:
        shells.close()
    return disk_of(done.stdout, done.stderr)


def disk_of(output: str, complaints: str) -> Disk:
    """Return what ``df -Pk`` shows of one place, or its last complaint."""
    for line in output.splitlines()[1:]:
        words = line.split(None, 5)
        if len(words) == 6 and words[1].isdigit() and words[3].isdigit():
            return Disk(words[5], int(words[1]) * 1024, int(words[3]) * 1024)
    lines = complaints.strip().splitlines()
    return Disk(reason=lines[-1][:200] if lines else _("df shows nothing of it"))
