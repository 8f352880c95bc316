"""Whether there is a way back to an earlier release, how, and what it loses: judged from the releases that were observed.

The checks tell it, the changes go it, the lists show it: one judgement for all three, in the room that all may import.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum

from msgspec import Struct
from msgspec.structs import replace

from samaops.facts.release import Migration, Recorded, applied
from samaops.i18n import _, joined
from samaops.site.commands import typed
from samaops.site.releases import Releases


class Verdict(str, Enum):
    """How to go back, the easiest first."""

    CODE_ONLY = "code only"
    NEEDS_DOWNGRADE = "needs downgrade"
    NEEDS_RESTORE = "needs restore"
    IMPOSSIBLE = "impossible"
    UNKNOWN = "unknown"
    NONE = "no earlier release"


class WayBack(Struct, frozen=True):
    """Whether, how and to which release there is a way back.

    ``live`` are the database's revisions; ``between`` those that the target does not know, the newest first. ``loses``
    says what would be lost, ``notes`` what must be known besides. ``seconds`` is a rough guess of how long the code takes.
    """

    verdict: Verdict
    reason: str
    target: str = ""
    live: tuple[str, ...] = ()
    between: tuple[str, ...] = ()
    loses: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    seconds: float = 0.0


# To take a container out, replace it and see it well; seen in the lab with an image that starts in three seconds.
SECONDS_A_PART = 25.0


def seconds_of(releases: Releases) -> float:
    """Return about how long it takes to replace every part of the application."""
    members = sum(part.system == "api" for part in releases.parts)
    bake = releases.site.settings.release.bake_seconds
    return len(releases.parts) * SECONDS_A_PART + members * bake


def way_back(releases: Releases, target: str = "") -> WayBack:
    """Return the way back to a release, by its image id; to the one that ran before, where none is named."""
    if releases.missing:
        return WayBack(Verdict.UNKNOWN, joined(releases.missing), target)
    running = releases.running
    if not target:
        earlier = [image for image in releases.entries() if image not in running]
        if not releases.entries():
            return WayBack(Verdict.NONE, _("no release has been recorded yet"))
        if not earlier:
            return WayBack(Verdict.NONE, _("no release but the running one has been recorded"))
        if len(running) > 1:
            names = joined(releases.title(image) for image in running)
            text = _("members and workers run different releases ({names}): say which with --to")
            return WayBack(Verdict.UNKNOWN, text.format(names=names))
        target = earlier[0]
    seconds = seconds_of(releases)
    obstacle = _obstacle(releases, target)
    if obstacle:
        return WayBack(Verdict.IMPOSSIBLE, obstacle, target, seconds=seconds)
    return _by_schema(releases, target, seconds)


def _obstacle(releases: Releases, target: str) -> str:
    """Return why no container can be made of a release; "" where it can."""
    gone = releases.lacks(target)
    if gone:
        text = _("the image of {release} is gone from {servers}, and so is its file")
        return text.format(release=releases.title(target), servers=joined(gone))
    for server, facts in releases.facts.items():
        if facts.refuses_to_recreate:
            text = _(
                "compose {compose} cannot replace a container on engine {engine} of {server}: install compose 2"
            )
            return text.format(compose=facts.compose, engine=facts.engine, server=server)
        if not facts.compose:
            return _("there is no compose on {server}").format(server=server)
    unmade = [
        part.known_as for part in releases.parts if not (part.container.service and part.container.files)
    ]
    if unmade:
        text = _("compose has not made {names}: it cannot replace them")
        return text.format(names=joined(unmade))
    return ""


def _by_schema(releases: Releases, target: str, seconds: float) -> WayBack:
    """Return the way back as the database's revisions allow it."""
    rules, schema, recorded = releases.site.settings.release, releases.schema, releases.recorded(target)
    name = releases.title(target)
    if not rules.migrations:
        return WayBack(Verdict.CODE_ONLY, _("the application has no migrations"), target, seconds=seconds)
    if schema is None:
        text = _("at which revision the database is could not be read: {reason}")
        return WayBack(Verdict.UNKNOWN, text.format(reason=releases.schema_missing), target, seconds=seconds)
    if not schema.exists or not schema.revisions:
        text = _("the database has no revision in {table}")
        return WayBack(Verdict.UNKNOWN, text.format(table=schema.table), target, seconds=seconds)
    live = tuple(schema.revisions)
    if recorded is None or recorded.migrations is None:
        text = _("no revisions were found in the image of {release} at {place}")
        words = text.format(release=name, place=rules.migrations)
        return WayBack(Verdict.UNKNOWN, words, target, live, seconds=seconds)
    way = WayBack(Verdict.UNKNOWN, "", target, live, seconds=seconds)
    if overlaps := _overlap(releases, live):
        text = _("{table} contradicts itself: of its revisions {live} {names} comes before another")
        words = text.format(table=schema.table, live=joined(live), names=joined(overlaps))
        return _with(way, Verdict.UNKNOWN, words)
    return _by_revisions(releases, way, recorded)


def _by_revisions(releases: Releases, way: WayBack, recorded: Recorded) -> WayBack:
    """Return the way to a release whose revisions are known, from where the database is."""
    name = releases.title(way.target)
    newer = tuple(revision for revision in way.live if revision not in recorded.revisions)
    if not newer:
        return _within(recorded, way, name)
    between, unknown = _between(releases, newer, recorded.revisions)
    words = _("the database is at {live}, which {release} (at {head}) does not know").format(
        live=joined(newer), release=name, head=joined(sorted(recorded.heads))
    )
    way = replace(way, reason=words, between=tuple(migration.revision for migration in between))
    return _across(releases, way, between, unknown, recorded)


def _within(recorded: Recorded, way: WayBack, name: str) -> WayBack:
    """Return the way to a release that knows the database's revision."""
    if recorded.runs_with(way.live):
        text = _("the database is at {live}, as {release} wants it")
        return _with(way, Verdict.CODE_ONLY, text.format(live=joined(way.live), release=name))
    text = _(
        "the database is at {live}, and {release} wants it at {head}: it would have to be migrated first"
    )
    words = text.format(live=joined(way.live), release=name, head=joined(sorted(recorded.heads)))
    return _with(way, Verdict.IMPOSSIBLE, words)


def _across(
    releases: Releases,
    way: WayBack,
    between: tuple[Migration, ...],
    unknown: tuple[str, ...],
    recorded: Recorded,
) -> WayBack:
    """Return the way to a release that does not know the database's revision."""
    rules = releases.site.settings.release
    elsewhere = "" if unknown else _elsewhere(releases, way, between, recorded)
    intolerable = [
        migration
        for migration in between
        if migration.revision not in rules.compatible
        and not (rules.tolerates_additions and migration.adds_only)
    ]
    if not unknown and not intolerable and not _lacking(releases, way, recorded):
        text = _("{reason}; it runs with it, as the configuration says: the database stays as it is")
        return _with(way, Verdict.CODE_ONLY, text.format(reason=way.reason))
    one_way = [migration.revision for migration in between if not migration.has_downgrade]
    if not unknown and not one_way and not elsewhere:
        loses = tuple(
            _("what was written into what {revision} brought").format(revision=migration.revision)
            for migration in between
        )
        return _with(way, Verdict.NEEDS_DOWNGRADE, way.reason, loses)
    if unknown and not all(releases.recorded(image) for image in releases.running):
        text = _("{reason}; the running release is not recorded: {command}")
        command = typed(releases.site, "release record")
        return _with(way, Verdict.UNKNOWN, text.format(reason=way.reason, command=command))
    if unknown:
        text = _("{reason}; {revisions} is in no recorded release, so there is no known way down")
        reason = text.format(reason=way.reason, revisions=joined(unknown))
    elif elsewhere:
        reason = f"{way.reason}; {elsewhere}"
    else:
        text = _("{reason}; there is no way down from {revisions}")
        reason = text.format(reason=way.reason, revisions=joined(one_way))
    if releases.has_backup is False:
        text = _("{reason}; and there is no backup")
        return _with(way, Verdict.IMPOSSIBLE, text.format(reason=reason))
    return _with(way, Verdict.NEEDS_RESTORE, reason, (_("everything written since the backup"),))


def _lacking(releases: Releases, way: WayBack, recorded: Recorded) -> tuple[str, ...]:
    """Return the heads of a release at which the database is not, nor beyond them."""
    return tuple(sorted(recorded.heads - applied(way.live, _known(releases))))


def _elsewhere(releases: Releases, way: WayBack, between: tuple[Migration, ...], recorded: Recorded) -> str:
    """Return why the tool's way down does not end where a release wants the database; "" where it does.

    It goes down one line of revisions, from one row of the table to one head.
    """
    if lacking := _lacking(releases, way, recorded):
        text = _("it wants it at {heads}, of another branch, where the database never was")
        return text.format(heads=joined(lacking))
    if len(way.live) > 1 or len(recorded.heads) > 1:
        text = _("with several heads ({live} to {heads}) samaops has no downgrade written")
        return text.format(live=joined(way.live), heads=joined(sorted(recorded.heads)))
    joining = sorted(migration.revision for migration in between if len(migration.before) != 1)
    if joining:
        text = _("{revisions} joins branches, or begins one: samaops has no downgrade written")
        return text.format(revisions=joined(joining))
    return ""


def _overlap(releases: Releases, live: tuple[str, ...]) -> tuple[str, ...]:
    """Return the database's revisions that come before another of them in its line: Alembic writes no such table."""
    lines = {name: replace(each, depends_on=()) for name, each in _known(releases).items()}
    return tuple(
        revision
        for revision in live
        if any(revision in applied((other,), lines) for other in live if other != revision)
    )


def _known(releases: Releases) -> dict[str, Migration]:
    """Return all revisions of recorded releases by their names."""
    return {
        migration.revision: migration
        for entry in releases.entries().values()
        for migration in entry.recorded.migrations or ()
    }


def _with(way: WayBack, verdict: Verdict, reason: str, loses: tuple[str, ...] = ()) -> WayBack:
    return WayBack(verdict, reason, way.target, way.live, way.between, loses, way.notes, way.seconds)


def _between(
    releases: Releases, newer: Iterable[str], known: frozenset[str]
) -> tuple[tuple[Migration, ...], tuple[str, ...]]:
    """Return the migrations from the database's revisions down to what a release knows, and those nobody has recorded."""
    recorded = _known(releases)
    between: dict[str, Migration] = {}
    unknown: list[str] = []
    waiting = list(newer)
    while waiting:
        revision = waiting.pop(0)
        if revision in known or revision in between or revision in unknown:
            continue
        migration = recorded.get(revision)
        if migration is None:
            unknown.append(revision)
            continue
        between[revision] = migration
        waiting += migration.before
    return tuple(between.values()), tuple(unknown)
