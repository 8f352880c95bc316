"""The releases of each server: which runs, which are kept, since when, and whether all run one. Looks only."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Any

from samaops.facts.observation import Snapshot
from samaops.facts.release import ReleaseFacts, short
from samaops.facts.selection import Selection
from samaops.i18n import _, joined
from samaops.model.table import Column, Table
from samaops.site.commands import typed
from samaops.site.releases import Releases, observed
from samaops.site.site import Site
from samaops.workflows import diagnose, lists

CODES = ("docker.container", "release.server", "release.rollback.impossible", "backup.newest")


def observe(site: Site) -> Releases:
    """Look at the releases, the database's revisions and the backups."""
    return observed(look_at(site), site)


def look_at(site: Site, *more: str) -> Snapshot:
    """Return what is observed for that, and what ``more`` codes need."""
    return diagnose.observe(site, Selection(only=(*CODES, *more)))


def listed(site: Site) -> Table:
    """Return every release of every server, the running ones first."""
    releases = observe(site)
    rows = [row for server, facts in releases.facts.items() for row in _rows(releases, server, facts)]
    columns = (
        Column("server", _("server")),
        Column("release", _("release"), is_copied=True),
        Column("short", _("image")),
        Column("runs", _("runs"), True),
        Column("kept", _("kept")),
        Column("head", _("revision")),
        Column("since", _("since")),
    )
    return lists.table(
        site,
        "releases",
        columns,
        rows,
        _answer(releases),
        _notes(site, releases),
        is_whole=not releases.missing,
    )


def _rows(releases: Releases, server: str, facts: ReleaseFacts) -> Iterator[dict[str, Any]]:
    parts = [part for part in releases.parts if part.server == server]
    running = list(dict.fromkeys(part.image for part in parts))
    recorded = [entry.recorded.image for entry in facts.entries]
    for image in dict.fromkeys([*running, *recorded]):
        entry = facts.entry(image)
        seen = entry.seen_running_at if entry else None
        heads = sorted(entry.recorded.heads) if entry else []
        created = [part.container.created_at for part in parts if part.image == image]
        began = min((at for at in created if at), default=None)
        at = began or seen
        yield {
            "server": server,
            "release": releases.version(image) or short(image),
            "short": short(image),
            "image": image,
            "containers": [part.known_as for part in parts if part.image == image],
            "runs": sum(part.image == image for part in parts),
            "kept": _kept(facts, image),
            "is_kept": facts.is_kept(image),
            "is_there": facts.is_there(image),
            "head": ", ".join(heads),
            "revisions": sorted(entry.recorded.revisions) if entry else [],
            "since": _day(at),
            "since_epoch": at,
            "recorded_at": entry.recorded.recorded_at if entry else None,
            "built_at": entry.recorded.built_at if entry else None,
        }


def _kept(facts: ReleaseFacts, image: str) -> str:
    if facts.is_kept(image):
        return _("yes")
    if facts.entry(image) is None:
        return _("no")
    return _("in part") if facts.is_there(image) else _("gone")


def _day(at: float | None) -> str:
    return "" if at is None else datetime.fromtimestamp(at, timezone.utc).strftime("%Y-%m-%d %H:%M")


def _answer(releases: Releases) -> str:
    running = releases.running
    if releases.missing:
        return _("Not everything could be looked at: {reason}").format(reason=joined(releases.missing))
    if len(running) > 1:
        names = joined(releases.title(image) for image in running)
        return _("Members and workers run different releases: {names}").format(names=names)
    if not running:
        return _("Nothing of the application runs")
    earlier = [image for image in releases.entries() if image not in running]
    name = releases.title(running[0])
    if not earlier:
        return _("{release} runs everywhere; no earlier release is recorded").format(release=name)
    text = _("{release} runs everywhere; before it ran {earlier}")
    return text.format(release=name, earlier=releases.title(earlier[0]))


def _notes(site: Site, releases: Releases) -> list[str]:
    unrecorded = [image for image in releases.running if not releases.recorded(image)]
    if not unrecorded:
        return []
    command = typed(site, "release record")
    return [_("what runs is not recorded: {command}").format(command=command)]
