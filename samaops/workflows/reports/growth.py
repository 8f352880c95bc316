"""The ledger of growth: what each owner held on each server, a day after the other, by what looks at the disks have kept.

The daily maintenance searches the disks, and keeps what it saw; so does ``disk usage``. Nothing is looked at here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

from msgspec import Struct, ValidationError
from msgspec.structs import replace

from samaops.config import consistency
from samaops.errors import UnavailableError, UsageError
from samaops.facts.availability import Growth
from samaops.facts.maintenance import MountUse
from samaops.i18n import _
from samaops.journal.database import HistoryError
from samaops.journal.records import Record, Records
from samaops.model import encoding
from samaops.model.quantities import duration, size
from samaops.model.table import Column, Table
from samaops.site import disk_owners
from samaops.site.commands import typed
from samaops.site.site import Site
from samaops.workflows import change, lists

# By which looks at the disks are kept: those of the daily maintenance, those that people asked for.
KINDS = ("maintain daily", "disk usage")


class Held(Struct, frozen=True):
    """What the owners on a server held at a moment, in bytes, with the largest place of each; small ones are not listed.

    ``is_whole`` is false where time was up before all of a disk was seen.
    """

    at: datetime
    server: str
    owners: Mapping[str, tuple[int, str]]
    is_whole: bool = True


def read(site: Site, since: datetime, until: datetime) -> tuple[Held, ...]:
    """Return what was kept between two moments, the oldest first. Raises UnavailableError."""
    journal = change.journal_of(site)
    try:
        records = [
            record for kind in KINDS for record in Records(journal, site.name, kind).between(since, until)
        ]
        return tuple(sorted((held for record in records for held in _held(record, site)), key=_at))
    except HistoryError as error:
        text = _("The history cannot be read: {reason}").format(reason=error.message)
        raise UnavailableError(text, error.hint or "samaops doctor") from error
    except (KeyError, TypeError, ValueError, AttributeError, ValidationError) as error:
        words = _("not readable: {reason}").format(reason=str(error)[:200])
        raise UnavailableError(_("The history cannot be read: {reason}").format(reason=words)) from error
    finally:
        journal.close()


def _at(held: Held) -> datetime:
    return held.at


def _held(record: Record, site: Site) -> Iterator[Held]:
    at = datetime.fromisoformat(record.at)
    for server, value in record.details.get("mounts", {}).items():
        mounts = encoding.decode(value, tuple[MountUse, ...])
        owners: dict[str, tuple[int, str]] = {}
        for use in mounts:
            shares = disk_owners.shares_of_tree(dict(use.entries), use.mount, site.settings, server)
            for share in shares:
                if share.owner:
                    before, path = owners.get(share.owner, (0, share.path))
                    owners[share.owner] = (before + share.size_bytes, path)
        yield Held(at, server, owners, not any(use.is_partial for use in mounts))


def grown(site: Site, since: datetime, until: datetime) -> tuple[Growth, ...]:
    """Return what each owner held at last between two moments, and by how much that grew since the first look then.

    Raises UnavailableError.
    """
    return of_held(read(site, since, until))


def of_held(kept: Sequence[Held]) -> tuple[Growth, ...]:
    """Return the same by what was kept. Pure."""
    found = []
    for server in sorted({held.server for held in kept}):
        of_server = [held for held in kept if held.server == server]
        whole = [held for held in of_server if held.is_whole] or of_server
        first, last = whole[0], whole[-1]
        for owner, (count, _path) in last.owners.items():
            before = first.owners.get(owner)
            is_compared = before is not None and first.at < last.at
            found.append(
                Growth(server, owner, count, count - before[0], first.at)
                if is_compared and before is not None
                else Growth(server, owner, count)
            )
    return tuple(sorted(found, key=lambda each: (-(each.grown_bytes or 0), -each.size_bytes)))


def table(site: Site, server: str, since: datetime) -> Table:
    """Return who grew since a moment by what was kept, without a look. Raises UsageError, UnavailableError."""
    if server and server not in site.settings.servers:
        raise UsageError(consistency.not_a_server(server, site.settings), hint="samaops config show")
    now = datetime.now(timezone.utc)
    if since >= now:
        raise UsageError(_("--since lies in the future"), hint="--since 7d")
    kept = [held for held in read(site, since, now) if server in ("", held.server)]
    columns = (
        Column("server", _("server")),
        Column("grown", _("grown by"), True),
        Column("size", _("size"), True),
        Column("since", _("since")),
        Column("path", _("path")),
        Column("owner_words", _("whose")),
    )
    paths = {(held.server, owner): path for held in kept for owner, (_size, path) in held.owners.items()}
    newest = max((held.at for held in kept), default=None)
    found = of_held(kept)
    rows = [_row(each, paths, newest) for each in found if each.grown_bytes]
    compared = sum(each.grown_bytes is not None for each in found)
    notes = [
        _("{owner} on {server}: nothing to compare with yet").format(
            owner=disk_owners.word(each.owner), server=each.server
        )
        for each in found
        if each.grown_bytes is None
    ]
    made = lists.table(
        site, "disk_growth", columns, rows, _answer(rows, newest, compared), notes, is_whole=compared > 0
    )
    where = f" --server {server}" if server else ""
    return replace(made, commands=(typed(site, f"disk usage{where}"),))


def _row(each: Growth, paths: Mapping[tuple[str, str], str], newest: datetime | None) -> dict[str, Any]:
    assert each.since is not None
    assert newest is not None
    grown_bytes = each.grown_bytes or 0
    seconds = (newest - each.since).total_seconds()
    return {
        "server": each.server, "mount": "", "path": paths[each.server, each.owner], "is_disk": False,
        "grown_bytes": grown_bytes, "grown": ("+" if grown_bytes >= 0 else "-") + size(abs(grown_bytes)),
        "since": duration(seconds), "seconds": round(seconds), "owner": each.owner,
        "owner_words": disk_owners.word(each.owner), "size_bytes": each.size_bytes, "size": size(each.size_bytes),
    }  # fmt: skip


def _answer(rows: Sequence[Mapping[str, Any]], newest: datetime | None, compared: int) -> str:
    if newest is None:
        return _("Nothing was kept of the disks since then: the daily maintenance keeps a look a day")
    at = newest.astimezone().strftime("%Y-%m-%d %H:%M")
    if not compared:
        return _(
            "Not known who grew: there is nothing to compare with yet, by what was kept until {moment}"
        ).format(moment=at)
    if not rows or rows[0]["grown_bytes"] <= 0:
        return _("Nobody has grown, by what was kept until {moment}").format(moment=at)
    text = _("{owner} on {server} grew most: {grown}, by what was kept until {moment}")
    first = rows[0]
    return text.format(owner=first["owner_words"], server=first["server"], grown=first["grown"], moment=at)
