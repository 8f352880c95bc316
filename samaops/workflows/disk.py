"""Who uses the disks of the servers, and who grew since an earlier look. Looks only, beside everybody else's work."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any

from msgspec import ValidationError
from msgspec.structs import replace

from samaops.clients.errors import ClientError
from samaops.clients.shells import ShellPool
from samaops.collect.maintenance import directories
from samaops.config import consistency
from samaops.errors import UnavailableError, UsageError
from samaops.facts.disks import most_telling
from samaops.facts.maintenance import DirectoriesFacts, Growth, MountUse
from samaops.facts.observation import Observation
from samaops.facts.selection import Selection
from samaops.i18n import _, joined
from samaops.journal.database import HistoryError
from samaops.journal.records import Records
from samaops.model import encoding
from samaops.model.quantities import duration, size
from samaops.model.table import Column, Table
from samaops.site import disk_owners
from samaops.site.commands import typed
from samaops.site.site import Site
from samaops.workflows import change, diagnose
from samaops.workflows.lists import table
from samaops.workflows.maintenance import past
from samaops.workflows.maintenance.daily import DAILY

CODE = "maintenance.disk"
# What looks at the disks keep for later ones; and how much younger than that says nothing of a pace.
KIND = "disk usage"
_LOOKED_BACK, _KEPT_HOURS, _PACE_SECONDS = 30, 20.0, 600.0
_DAY_SECONDS = 86_400.0
Row = dict[str, Any]


def usage(site: Site, server: str, path: str, limit: int) -> Table:
    """Return the largest directories and files of the disks, or below one directory, with whose they are.

    Raises UsageError, UnavailableError.
    """
    _require_server(site, server)
    seen, reasons = _below(site, server, path) if path else _disks(site, server)
    rows = sorted(
        (row for name, uses in seen.items() for use in uses for row in _used(site, name, use, limit)),
        key=lambda row: -row["size_bytes"],
    )
    columns = (
        Column("server", _("server")),
        Column("size", _("size"), True),
        Column("percent", _("% of disk"), True),
        Column("path", _("path")),
        Column("owner_words", _("whose")),
    )
    notes = [*reasons, *_partial(seen)]
    if len(rows) > limit:
        notes.append(
            _("{shown} of {count} are shown; more with --limit").format(shown=limit, count=len(rows))
        )
    if not path and seen:
        notes += _keep(site, seen)
    found = table(site, "disk_usage", columns, rows[:limit], _answer(seen, path), notes, is_whole=not reasons)
    figures = {"disks": [_figures(name, use) for name, uses in seen.items() for use in uses]}
    return replace(found, figures=figures, commands=_next(site, server, path, seen))


def _require_server(site: Site, server: str) -> None:
    if server and server not in site.settings.servers:
        raise UsageError(consistency.not_a_server(server, site.settings), hint="samaops config show")


def _observed(site: Site, server: str) -> tuple[Mapping[str, DirectoriesFacts], list[str]]:
    """Return what was seen on each server, and why others were not."""
    selection = Selection(only=(f"{CODE}@{server}" if server else CODE,))
    seconds = directories.SCRIPT_SECONDS + diagnose.DEFAULT_DEADLINE_SECONDS
    snapshot = diagnose.observe(site, selection, seconds)
    seen = {str(observation.server): facts for observation, facts in snapshot.facts_of(DirectoriesFacts)}
    reasons = [_reason(observation) for observation in snapshot.observations if observation.failure]
    if not seen:
        raise UnavailableError(
            _("Could not look at the disks: {reason}").format(reason=joined(reasons) or "?"),
            hint="samaops diagnose --only servers",
        )
    return seen, reasons


def _reason(observation: Observation) -> str:
    words = observation.failure.message if observation.failure else ""
    return _("{server}: could not look: {reason}").format(server=observation.server, reason=words)


def _disks(site: Site, server: str) -> tuple[dict[str, tuple[MountUse, ...]], list[str]]:
    seen, reasons = _observed(site, server)
    return {name: facts.mounts for name, facts in seen.items()}, reasons


def _below(site: Site, server: str, path: str) -> tuple[dict[str, tuple[MountUse, ...]], list[str]]:
    if not path.startswith("/") or "\n" in path or "\0" in path:
        raise UsageError(_("{path!r} is no path from /").format(path=path))
    names = (
        [server] if server else [name for name, each in site.settings.servers.items() if each.ssh != "none"]
    )
    shells = ShellPool(site.settings)
    seen: dict[str, tuple[MountUse, ...]] = {}
    reasons: list[str] = []
    try:
        for name in names:
            try:
                uses = directories.search(shells.of(name), "any", (path,), directories.SCRIPT_SECONDS)
            except ClientError as error:
                text = _("{server}: could not look: {reason}")
                reasons.append(text.format(server=name, reason=error.message))
                continue
            if uses:
                seen[name] = uses
    finally:
        shells.close()
    if not seen and reasons:
        raise UnavailableError(joined(reasons), hint="samaops diagnose --only servers")
    if not seen:
        raise UsageError(_("{path} is on none of these servers").format(path=path), hint="samaops disk usage")
    return seen, reasons


def _used(site: Site, server: str, use: MountUse, limit: int) -> Iterator[Row]:
    """Yield what each owner holds, and the largest of what nobody owns; below a directory only the largest."""
    sizes = dict(use.entries)
    shares = disk_owners.shares_of_tree(sizes, use.mount, site.settings, server)
    rest = disk_owners.unowned(sizes, site.settings, server)
    found = [(share.path, share.size_bytes, share.owner) for share in shares if share.owner]
    found += [(path, count, "") for path, count in most_telling(rest, use.mount, limit) if count > 0]
    for path, count, owner in found:
        if count < use.threshold_bytes:
            continue
        yield {
            "server": server, "mount": use.mount, "path": path, "size_bytes": count, "size": size(count),
            "percent": round(100 * count / max(1, use.size_bytes), 1),
            "owner": owner, "owner_words": disk_owners.word(owner),
        }  # fmt: skip


def _figures(server: str, use: MountUse) -> Row:
    return {
        "server": server, "mount": use.mount, "size_bytes": use.size_bytes, "used_bytes": use.used_bytes,
        "available_bytes": use.available_bytes, "is_partial": use.is_partial,
    }  # fmt: skip


def _percent(use: MountUse) -> float:
    usable = use.used_bytes + use.available_bytes
    return round(100 * use.used_bytes / usable, 1) if usable else 0.0


def _answer(seen: Mapping[str, Sequence[MountUse]], path: str) -> str:
    disks = sorted(
        ((name, use) for name, uses in seen.items() for use in uses), key=lambda each: -_percent(each[1])
    )
    if path:
        parts = [
            _("{path} on {server}: {size}").format(path=path, server=name, size=size(_total(use)))
            for name, use in disks
        ]
        return joined(parts)
    if not disks:
        return _("No disk was seen")
    name, fullest = disks[0]
    text = _("The fullest disk is {mount} of {server}: {percent} % full, {free} left")
    return text.format(
        mount=fullest.mount, server=name, percent=_percent(fullest), free=size(fullest.available_bytes)
    )


def _total(use: MountUse) -> int:
    return max((count for _path, count in use.entries), default=0)


def _partial(seen: Mapping[str, Sequence[MountUse]]) -> list[str]:
    text = _("{server} {mount}: time was up before all of it was seen")
    return [
        text.format(server=name, mount=use.mount)
        for name, uses in seen.items()
        for use in uses
        if use.is_partial
    ]


def _next(site: Site, server: str, path: str, seen: Mapping[str, Sequence[MountUse]]) -> tuple[str, ...]:
    where = f" --server {server}" if server else ""
    full = any(_percent(use) >= 80 for uses in seen.values() for use in uses)  # as servers.disk.full has it
    words = [f"disk clean{where} --dry-run"] if full else []
    words += [] if path else [f"disk grew{where}"]
    return tuple(typed(site, each) for each in words)


# What grew.


def grew(site: Site, server: str) -> Table:
    """Return what became of each disk since an earlier look, and who grew on it. Raises UsageError, UnavailableError.

    It is compared with what the daily maintenance kept, or an earlier look at the disks.
    """
    _require_server(site, server)
    earlier, failure = _earlier(site)
    seen, reasons = _observed(site, server)
    rows: list[Row] = []
    notes = [*reasons, *([failure] if failure else [])]
    soonest: tuple[float, str] | None = None
    is_compared = False
    for name, facts in seen.items():
        compared = replace(facts, earlier=earlier.get(name, ()))
        for use in facts.mounts:
            growth = compared.growth(use.mount)
            if growth is None:
                text = _("{server} {mount}: nothing to compare with yet")
                notes.append(text.format(server=name, mount=use.mount))
                continue
            is_compared = True
            rows += _grown_rows(site, name, use, growth)
            days = _days(use, growth)
            words = _("{mount} of {server}").format(mount=use.mount, server=name)
            if days is not None and (soonest is None or days < soonest[0]):
                soonest = (days, words)
    notes += _partial({name: facts.mounts for name, facts in seen.items()})
    notes += _keep(site, {name: facts.mounts for name, facts in seen.items()})
    columns = (
        Column("server", _("server")),
        Column("grown", _("grown by"), True),
        Column("since", _("since")),
        Column("path", _("path")),
        Column("owner_words", _("whose")),
    )
    rows.sort(key=lambda row: (row["server"], row["mount"], not row["is_disk"], -row["grown_bytes"]))
    found = table(
        site, "disk_growth", columns, rows, _grew_answer(soonest, is_compared), notes,
        is_whole=not (reasons or failure),
    )  # fmt: skip
    where = f" --server {server}" if server else ""
    return replace(found, commands=(typed(site, f"disk usage{where}"),))


def _grown_rows(site: Site, server: str, use: MountUse, growth: Growth) -> Iterator[Row]:
    def row(path: str, count: int, is_disk: bool) -> Row:
        owner = "" if is_disk else disk_owners.of(path, site.settings, server)
        return {
            "server": server, "mount": use.mount, "path": path, "is_disk": is_disk, "grown_bytes": count,
            "grown": ("+" if count >= 0 else "-") + size(abs(count)),
            "since": duration(growth.seconds), "seconds": round(growth.seconds),
            "owner": owner, "owner_words": _("all of the disk") if is_disk else disk_owners.word(owner),
        }  # fmt: skip

    if growth.used_bytes:
        yield row(use.mount, growth.used_bytes, True)
    for path, count in growth.directories:
        yield row(path, count, False)


def _days(use: MountUse, growth: Growth) -> float | None:
    if growth.used_bytes <= 0 or growth.seconds < _PACE_SECONDS:
        return None
    return use.available_bytes / growth.used_bytes * growth.seconds / _DAY_SECONDS


def _grew_answer(soonest: tuple[float, str] | None, is_compared: bool) -> str:
    if not is_compared:
        return _("Nothing to compare with yet: this look is kept for the next one")
    if soonest is None:
        return _("No disk grows in a way that says when it is full")
    days, where = soonest
    return _("The soonest full is {disk}: in {time} at this pace").format(
        disk=where, time=duration(days * _DAY_SECONDS)
    )


def _earlier(site: Site) -> tuple[Mapping[str, tuple[MountUse, ...]], str]:
    """Return what earlier looks saw of each server's disks, and why it is not known where it is not."""
    daily = past.read(site, DAILY).past
    if daily.failure:
        return {}, _("nothing can be compared with earlier looks: {reason}").format(reason=daily.failure)
    try:
        records = _with_records(site, lambda records: records.last(_LOOKED_BACK))
        latest = (datetime.now(timezone.utc) - timedelta(hours=_KEPT_HOURS)).isoformat()
        old_enough = [record for record in records if record.at <= latest]
        own: dict[str, tuple[MountUse, ...]] = {}
        for record in (*old_enough, *reversed(records)):
            for name, value in record.details.get("mounts", {}).items():
                own.setdefault(name, encoding.decode(value, tuple[MountUse, ...]))
    except HistoryError as error:
        return {}, _("nothing can be compared with earlier looks: {reason}").format(reason=error.message)
    except (KeyError, TypeError, ValueError, AttributeError, ValidationError) as error:
        words = _("not readable: {reason}").format(reason=str(error)[:200])
        return daily.mounts, _("nothing can be compared with earlier looks: {reason}").format(reason=words)
    return {**own, **daily.mounts}, ""


def _keep(site: Site, seen: Mapping[str, Sequence[MountUse]]) -> list[str]:
    """Keep a look for later ones, at most one an hour; return why it could not be kept, as notes."""
    details = {"mounts": {name: encoding.encode(tuple(uses)) for name, uses in seen.items()}}

    def keep(records: Records) -> None:
        newest = records.last(1)
        latest = (datetime.now(timezone.utc) - timedelta(hours=1)).isoformat()
        is_known = bool(newest) and set(details["mounts"]) <= set(newest[0].details.get("mounts", {}))
        if not is_known or newest[0].at <= latest:
            records.add(details)

    try:
        _with_records(site, keep)
    except HistoryError as error:
        return [_("this look could not be kept for later ones: {reason}").format(reason=error.message)]
    return []


def _with_records(site: Site, work: Any) -> Any:
    journal = change.journal_of(site)
    try:
        return work(Records(journal, site.name, KIND))
    finally:
        journal.close()
