"""Record the releases that run, so that no prune takes the way back to them; keep the last ones, and let older ones go."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct, to_builtins
from msgspec.structs import replace

from samaops.changes.readings import UnreadableError, facts_in, reading
from samaops.changes.verbs import verb
from samaops.errors import RefusedError, UnavailableError, UsageError
from samaops.facts.observation import Snapshot
from samaops.facts.release import KEEP as KEEP_NAMES
from samaops.facts.release import ReleaseFacts, keep_tag
from samaops.i18n import _, joined
from samaops.model.plan import Condition, Operation, Plan, Risk, Scalar, Step
from samaops.site.commands import samaops
from samaops.site.releases import Releases, observed, repository_of, servers
from samaops.site.site import Site

CODES = ("docker.container", "release.server")
KEEP, DROP, SEEN = "release.keep", "release.drop", "release.seen"
NOTHING_REPLACED = "release.nothing_replaced"
# An image of a gigabyte is written in about a minute.
KEEP_SECONDS = 900.0
DROP_SECONDS = 120.0


class Keeping(Struct, frozen=True):
    """What is done on a server: the image, its repository, which containers ran it, from which compose files and by which name."""

    image: str
    repository: str
    containers: tuple[str, ...] = ()
    directory: str = ""
    files: tuple[str, ...] = ()
    name: str = ""


@reading("release.is_kept", codes=CODES)
def is_kept(snapshot: Snapshot, server: str, image: str) -> Scalar:
    """Return whether a release is recorded on a server, named, held, and its file there."""
    return facts_in(snapshot, ReleaseFacts, server).is_kept(image)


@reading("release.ran_last", codes=CODES)
def ran_last(snapshot: Snapshot, server: str) -> Scalar:
    """Return which recorded release was seen running last on a server."""
    entries = facts_in(snapshot, ReleaseFacts, server).entries
    return entries[0].recorded.image if entries else ""


@reading("release.is_recorded", codes=CODES)
def is_recorded(snapshot: Snapshot, server: str, image: str) -> Scalar:
    """Return whether a release is recorded on a server."""
    return facts_in(snapshot, ReleaseFacts, server).entry(image) is not None


@reading(NOTHING_REPLACED, codes=("release.server",))
def nothing_replaced(snapshot: Snapshot, *names: str) -> Scalar:
    """Return whether no compose that an earlier run began still replaces a container on these servers."""
    seen = {name: facts_in(snapshot, ReleaseFacts, name).is_replacing for name in names}
    unseen = [name for name, is_replacing in seen.items() if is_replacing is None]
    if unseen:
        text = _("whether a docker compose replaces a container on {servers}")
        raise UnreadableError(text.format(servers=joined(unseen)))
    return not any(seen.values())


def looks(site: Site, *_arguments: str) -> tuple[str, ...]:
    """Return what must be observed of the releases. Raises UsageError where there are none."""
    if not servers(site):
        raise UsageError(
            _("The configuration names no container of the application"), hint="samaops config show"
        )
    return CODES


def require_observed(releases: Releases) -> None:
    """Raise UnavailableError where a part of the application could not be looked at, RefusedError while one is replaced."""
    require_not_replacing(releases)
    if releases.missing:
        text = _("Could not look at the releases: {reason}")
        raise UnavailableError(text.format(reason=joined(releases.missing)))


def require_not_replacing(releases: Releases) -> None:
    """Raise RefusedError while a part of the application is replaced.

    A run that is killed leaves its compose at work: what is there meanwhile is neither the old release nor the new one.
    """
    busy = [server for server, facts in releases.facts.items() if facts.is_replacing]
    if busy:
        text = _("Another docker compose, begun by an earlier run, still replaces a container on {servers}")
        hint = samaops(releases.site, "release list")
        raise RefusedError(text.format(servers=joined(busy)), hint=hint)


def still(releases: Releases) -> Condition | None:
    """Return the condition that it stays so; None where it could not be seen on any server."""
    seen = tuple(server for server, facts in releases.facts.items() if facts.is_replacing is False)
    if not seen:
        return None
    text = _("no docker compose replaces a container on {servers}")
    return Condition(NOTHING_REPLACED, seen, True, text.format(servers=joined(seen)))


@verb("release record", looks=looks)
def plan_record(snapshot: Snapshot, site: Site) -> Plan:
    """Plan that the running releases are recorded and kept on each server, and those beyond the last ones let go."""
    releases = observed(snapshot, site)
    require_observed(releases)
    steps = (*keep_steps(releases), *_repair_steps(releases), *_drop_steps(releases))
    return Plan(
        verb="release record",
        arguments=(),
        title=_("Record the releases that run, and keep the last {count}").format(
            count=site.settings.release.kept
        ),
        target=site.name,
        steps=steps,
        nothing_to_do=_("what runs is recorded and kept"),
        cures=tuple(f"release.kept.incomplete@release/{server}" for server in releases.facts),
        steps_stand_alone=True,
    )


def keep_steps(releases: Releases) -> Iterator[Step]:
    """Yield the steps that keep what runs, where it is not kept whole."""
    for server, facts in releases.facts.items():
        parts = [part for part in releases.parts if part.server == server]
        for image in dict.fromkeys(part.image for part in parts):
            if not facts.is_kept(image):
                yield _keep_step(releases, server, _keeping(releases, server, image))
        running = {part.image for part in parts}
        last = facts.entries[0].recorded.image if facts.entries else ""
        if last not in running and all(map(facts.is_kept, running)):
            yield seen_step(releases, server, next(iter(running)))


def _keeping(releases: Releases, server: str, image: str) -> Keeping:
    parts = [part for part in releases.parts if part.server == server and part.image == image]
    made = next((part.container for part in parts if part.container.files), None)
    return Keeping(
        image,
        repository_of_part(releases, image),
        tuple(part.known_as for part in parts),
        made.directory if made else "",
        made.files if made else (),
        next((name for part in parts if not is_ours(name := part.container.image)), ""),
    )


def seen_step(releases: Releases, server: str, image: str) -> Step:
    """Return the step that notes that a recorded release runs now: the next way back leads to it."""
    name, last = releases.title(image), str(ran_last_of(releases, server))
    text = _("{release} is the one that ran last on {server}").format(release=name, server=server)
    return Step(
        id="release.seen",
        title=_("Note that {release} runs on {server}").format(release=name, server=server),
        risk=Risk.SAFE,
        operation=Operation(
            SEEN, to_builtins(Keeping(image, repository_of_part(releases, image))), server, DROP_SECONDS
        ),
        before=(Condition("release.ran_last", (server,), last, _("another ran last there")),),
        after=(Condition("release.ran_last", (server,), image, text),),
        no_undo=_("it is only noted when it ran"),
        servers=(),
        about=f"release/{server}",
    )


def ran_last_of(releases: Releases, server: str) -> str:
    """Return which recorded release was seen running last on a server, by its image; "" where none is recorded."""
    entries = releases.facts[server].entries
    return entries[0].recorded.image if entries else ""


def repository_of_part(releases: Releases, image: str) -> str:
    """Return the repository of a release. Raises RefusedError where neither its containers nor its record tell."""
    recorded = releases.recorded(image)
    names = [repository_of(part.container.image) for part in releases.parts if part.image == image]
    name = (recorded.repository if recorded else "") or next(filter(None, names), "") or releases.repository
    if not name:
        raise RefusedError(_("The application's image has no name: {image}").format(image=image))
    return name.removeprefix(f"{KEEP_NAMES}/")


def is_ours(name: str) -> bool:
    """Return whether an image's name is one that we have given."""
    return name.startswith(f"{KEEP_NAMES}/")


def _keep_step(releases: Releases, server: str, keeping: Keeping) -> Step:
    title = _("Record the release {release} on {server} and keep its image").format(
        release=releases.title(keeping.image), server=server
    )
    kept = _("{release} is recorded on {server}, named {tag}, held, and there as a file").format(
        release=releases.title(keeping.image),
        server=server,
        tag=keep_tag(keeping.repository, keeping.image),
    )
    whole = Condition("release.is_kept", (server, keeping.image), True, kept)
    unkept = replace(whole, value=False, text=_("it is not kept yet"))
    return Step(
        id="release.keep",
        title=title,
        risk=Risk.SAFE,
        operation=Operation(KEEP, to_builtins(keeping), server, KEEP_SECONDS),
        before=(unkept,),
        after=(whole,),
        undo=Operation(DROP, to_builtins(keeping), server, DROP_SECONDS),
        servers=(),
        about=f"release/{server}",
    )


def _repair_steps(releases: Releases) -> Iterator[Step]:
    """Yield the steps that make whole what keeps the last releases besides the running ones, where it can be."""
    for server, facts in releases.facts.items():
        running = {part.image for part in releases.parts if part.server == server}
        others = [entry.recorded for entry in facts.entries if entry.recorded.image not in running]
        for recorded in others[: releases.site.settings.release.kept - 1]:
            if facts.is_there(recorded.image) and not facts.is_kept(recorded.image):
                keeping = Keeping(recorded.image, recorded.repository)
                yield replace(
                    _keep_step(releases, server, keeping),
                    title=_("Make whole what keeps {release} on {server}").format(
                        release=releases.title(recorded.image), server=server
                    ),
                    undo=None,
                    no_undo=_("it is kept as it was when it ran"),
                )


def _drop_steps(releases: Releases) -> Iterator[Step]:
    """Yield the steps that let go, on each server, what ran before the last releases; never what runs anywhere."""
    kept = releases.site.settings.release.kept
    running = {part.image for part in releases.parts}
    for server, facts in releases.facts.items():
        others = [entry for entry in facts.entries if entry.recorded.image not in running]
        for entry in others[max(0, kept - 1) :]:
            recorded = entry.recorded
            keeping = Keeping(recorded.image, recorded.repository)
            name = releases.title(recorded.image)
            gone = _("{release} is not recorded on {server} any more").format(release=name, server=server)
            there = _("{release} is recorded on {server}").format(release=name, server=server)
            yield Step(
                id="release.drop",
                title=_("Let the release {release} go on {server}: newer ones are kept").format(
                    release=name, server=server
                ),
                risk=Risk.SAFE,
                operation=Operation(DROP, to_builtins(keeping), server, DROP_SECONDS),
                before=(Condition("release.is_recorded", (server, recorded.image), True, there),),
                after=(Condition("release.is_recorded", (server, recorded.image), False, gone),),
                no_undo=_("its image is pulled or built again when it is needed"),
                servers=(),
                about=f"release/{server}",
            )
