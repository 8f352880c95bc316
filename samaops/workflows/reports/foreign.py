"""Releases that samaops did not make: containers made anew, a database at another revision, by what the daily runs have kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from itertools import pairwise

from msgspec import Struct

from samaops.facts.night import MadeContainer
from samaops.i18n import _
from samaops.model.history import PastChange, local
from samaops.workflows.reports.happening import OK, RELEASE, WARNING, Event

# What replaces containers, or takes the database to another revision: these have their own lines.
_REPLACING = ("rollback", "docker", "workers", "restore", "troubleshoot")
# Docker's own time of a container may lie a little behind our last word of it.
_BEHIND = timedelta(seconds=5)
_MOST_EVENTS = 100


class Kept(Struct, frozen=True):
    """What a run kept at its end: the containers of each server (None: they were not looked at), and where the database was."""

    at: datetime
    containers: Mapping[str, tuple[MadeContainer, ...]] | None = None
    revisions: tuple[str, ...] | None = None


def releases(
    kept: Sequence[Kept],
    seen: Mapping[str, tuple[MadeContainer, ...]],
    changes: Sequence[PastChange],
    since: datetime,
    until: datetime,
) -> Iterator[Event]:
    """Yield what was released from one moment to another and is no change of samaops.

    ``kept`` are runs before, in and after that time, the oldest first; ``seen`` what is there now. Pure.
    """
    found = [*_containers(kept, seen, since, until), *_revisions(kept, since, until)]
    yield from [event for event in found if not _is_ours(event, changes)][:_MOST_EVENTS]


def _containers(
    kept: Sequence[Kept], seen: Mapping[str, tuple[MadeContainer, ...]], since: datetime, until: datetime
) -> Iterator[Event]:
    before: dict[tuple[str, str], MadeContainer] = {}
    looks = [*(each.containers for each in kept if each.containers is not None), seen]
    for look in looks:
        for server, containers in look.items():
            for made in sorted(containers, key=lambda each: each.at):
                old = before.get((server, made.name))
                if old is not None and old.at == made.at:
                    continue
                at = datetime.fromtimestamp(made.at, timezone.utc)
                if since <= at < until:
                    yield _made(server, made, old, at)
                before[server, made.name] = made


def _made(server: str, made: MadeContainer, old: MadeContainer | None, at: datetime) -> Event:
    level = WARNING
    if old is None:
        text = _("{server}: container {name} was made, of {image}")
    elif old.image_id != made.image_id:
        text = _("{server}: container {name} was made anew of another image: {image}, it was {before}")
    else:
        text, level = _("{server}: container {name} was made anew, of the same image {image}"), OK
    words = text.format(server=server, name=made.name, image=_image(made), before=_image(old) if old else "")
    return Event(at, RELEASE, f"docker/{made.name}", words, level, command="release list")


def _image(of: MadeContainer) -> str:
    return f"{of.image} ({of.image_id.removeprefix('sha256:')[:12]})"


def _revisions(kept: Sequence[Kept], since: datetime, until: datetime) -> Iterator[Event]:
    known = [each for each in kept if each.revisions is not None]
    for old, new in pairwise(known):
        if old.revisions == new.revisions or not (old.at < until and new.at > since):
            continue
        text = _("the database is at revision {after}, it was at {before}: between {first} and {last}")
        words = text.format(
            after=", ".join(new.revisions or ()) or "-", before=", ".join(old.revisions or ()) or "-",
            first=_clock(old.at), last=_clock(new.at),
        )  # fmt: skip
        yield Event(
            max(old.at, since), RELEASE, "postgresql/revision", words, WARNING, command="rollback check"
        )


def _is_ours(event: Event, changes: Sequence[PastChange]) -> bool:
    """Return whether a change of samaops that replaces things went on then."""
    for made in changes:
        if not made.verb.startswith(_REPLACING):
            continue
        began = datetime.fromisoformat(made.at)
        ended = next((each.at for each in made.moments if each.kind == "ended"), None)
        over = datetime.fromisoformat(ended) if ended else began + timedelta(hours=1)
        if began <= event.at <= over + _BEHIND:
            return True
    return False


def unknown(kept: Sequence[Kept], silent: Sequence[str], since: datetime, until: datetime) -> Iterator[str]:
    """Say what nobody knows of releases in a time: a container that was replaced again before anybody looked leaves no trace."""
    with_containers = [each for each in kept if each.containers is not None]
    if not any(each.at <= since for each in with_containers):
        yield _(
            "What ran before this time was not kept (maintain daily keeps it): what a container replaced is not known"
        )
    if silent and not any(each.at >= until for each in with_containers):
        text = _("Releases on {servers} after the last daily maintenance are not known")
        yield text.format(servers=", ".join(silent))
    revisions = [each for each in kept if each.revisions is not None]
    if not (any(each.at <= since for each in revisions) and any(each.at >= until for each in revisions)):
        yield _(
            "The database's revision was not kept on both sides of this time: whether it changed is not known"
        )


def _clock(moment: datetime) -> str:
    return local(moment.isoformat())[:16]
