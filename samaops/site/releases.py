"""Which releases of the application run where, and whether there is a way back: from what was observed, by name.

The checks judge it, the changes go it, the lists show it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import Enum

from msgspec import Struct

from samaops.facts.backup import BackupFacts, CatalogueFacts
from samaops.facts.backup_run import WHOLE
from samaops.facts.docker import Container, DockerFacts
from samaops.facts.observation import Snapshot
from samaops.facts.postgresql import PostgresFacts, SchemaVersion
from samaops.facts.release import Entry, Migration, Recorded, ReleaseFacts, short
from samaops.i18n import _, joined
from samaops.site.site import Site

_SYSTEMS = ("api", "celery")


def servers(site: Site) -> tuple[str, ...]:
    """Return the servers that run the application in containers."""
    docker = site.settings.docker
    if docker is None or docker.engine == "none":
        return ()
    placed = [service for service in site.services() if service.system in _SYSTEMS and service.container]
    return tuple(dict.fromkeys(service.server for service in placed))


class Part(Struct, frozen=True):
    """A container that runs the application. ``system`` is "api" or "celery" and ``name`` the member's or worker's; else ""."""

    server: str
    container: Container
    known_as: str
    system: str = ""
    name: str = ""

    @property
    def image(self) -> str:
        """The id of its image, which is its release."""
        return self.container.image_id


class Releases(Struct, frozen=True):
    """What was observed of the application's releases. ``missing`` says of what could not be looked at why."""

    site: Site
    parts: tuple[Part, ...]
    facts: dict[str, ReleaseFacts]
    missing: tuple[str, ...]
    schema: SchemaVersion | None
    schema_missing: str
    has_backup: bool | None

    @property
    def running(self) -> tuple[str, ...]:
        """The image ids that members and workers run, each once: the members' first."""
        return tuple(dict.fromkeys(part.image for part in self.parts if part.system))

    @property
    def repository(self) -> str:
        """The name of the application's image, without its tag; that of the first part that has one."""
        for part in self.parts:
            entries = (facts.entry(part.image) for facts in self.facts.values())
            known = next((entry.recorded.repository for entry in entries if entry), "")
            name = known or repository_of(part.container.image)
            if name:
                return name
        return ""

    def entries(self) -> dict[str, Entry]:
        """Return what is recorded of each release, by its image id: that which ran last first."""
        found: dict[str, Entry] = {}
        for facts in self.facts.values():
            for entry in facts.entries:
                known = found.get(entry.recorded.image)
                if known is None or entry.seen_running_at > known.seen_running_at:
                    found[entry.recorded.image] = entry
        return dict(sorted(found.items(), key=lambda item: -item[1].seen_running_at))

    def title(self, image: str) -> str:
        """Return how a release is called: by its version, where it has one, and the beginning of its image's id."""
        version = self.version(image)
        return f"{version} ({short(image)})" if version else short(image)

    def version(self, image: str) -> str:
        """Return the version that an image's label tells; "" where nobody knows."""
        for facts in self.facts.values():
            seen, entry = facts.image(image), facts.entry(image)
            version = (seen.version if seen else "") or (entry.recorded.version if entry else "")
            if version:
                return version
        return ""

    def recorded(self, image: str) -> Recorded | None:
        """Return what is recorded of a release, on whichever server."""
        entry = self.entries().get(image)
        return entry.recorded if entry else None

    def lacks(self, image: str) -> tuple[str, ...]:
        """Return the servers that run the application and have neither a release's image nor its file."""
        return tuple(server for server, facts in self.facts.items() if not facts.is_there(image))

    def find(self, name: str) -> tuple[str, ...]:
        """Return the recorded releases that a person may mean: by version, or by the beginning of the image's id."""
        bare = name.removeprefix("sha256:")
        return tuple(
            image
            for image, entry in self.entries().items()
            if entry.recorded.version == name
            or (len(bare) >= 4 and image.removeprefix("sha256:").startswith(bare))
        )


def repository_of(image: str) -> str:
    """Return the name of an image without its tag; "" for a bare id."""
    name = image.partition("@")[0]
    if name.startswith("sha256:"):
        return ""
    head, colon, tag = name.rpartition(":")
    return head if colon and "/" not in tag else name


def observed(snapshot: Snapshot, site: Site) -> Releases:
    """Return what a snapshot tells of the releases."""
    facts: dict[str, ReleaseFacts] = {}
    missing: list[str] = []
    parts: list[Part] = []
    for server in servers(site):
        seen = next((facts for seen, facts in snapshot.facts_of(ReleaseFacts) if seen.server == server), None)
        docker = next(
            (facts for seen, facts in snapshot.facts_of(DockerFacts) if seen.server == server), None
        )
        if seen is None or docker is None:
            missing.append(_why(snapshot, server))
        if seen is not None:
            facts[server] = seen
        if docker is not None:
            is_replacing = seen is not None and bool(seen.is_replacing)
            parts += _parts(docker, site, server, missing, is_replacing=is_replacing)
    schema, schema_missing = _schema(snapshot, site)
    has_backup = _has_backup(snapshot)
    return Releases(site, tuple(parts), facts, tuple(missing), schema, schema_missing, has_backup)


def _has_backup(snapshot: Snapshot) -> bool | None:
    """Return whether there is a backup, of samaops or a dump of the guide; None where that could not be looked at."""
    dumps = [facts for _seen, facts in snapshot.facts_of(BackupFacts)]
    catalogues = [facts for _seen, facts in snapshot.facts_of(CatalogueFacts)]
    if any(facts.files for facts in dumps) or any(
        run.state == WHOLE for facts in catalogues if facts.survey for run in facts.survey.runs
    ):
        return True
    return False if dumps and catalogues else None


def _why(snapshot: Snapshot, server: str) -> str:
    for observation in snapshot.observations:
        if (
            observation.server == server
            and observation.failure
            and observation.system in ("release", "docker")
        ):
            return f"{server}: {observation.failure.message}"
    return _("{server}: nothing was observed").format(server=server)


def _parts(
    docker: DockerFacts, site: Site, server: str, missing: list[str], *, is_replacing: bool
) -> Iterator[Part]:
    """Yield the containers of members and workers, then others that were made of the same images (Flower)."""
    text = _("{server}: there is no container {name}")
    if is_replacing:
        text = _("{server}: there is no container {name}: a docker compose still replaces one there")
    taken: dict[str, Part] = {}
    for service in site.services(server):
        if service.system not in _SYSTEMS or not service.container:
            continue
        container = docker.named(service.container)
        if container is None:
            missing.append(text.format(server=server, name=service.container))
            continue
        taken[container.id] = Part(server, container, service.container, service.system, service.name)
    yield from taken.values()
    images = {part.image for part in taken.values()}
    names = {repository_of(part.container.image) for part in taken.values()} - {""}
    for container in docker.containers:
        is_same = container.image_id in images or repository_of(container.image) in names
        if container.id not in taken and container.service and not container.is_oneoff and is_same:
            yield Part(server, container, docker.known_as(container))


def _schema(snapshot: Snapshot, site: Site) -> tuple[SchemaVersion | None, str]:
    if site.settings.postgresql is None:
        return None, _("[postgresql] is not configured")
    for observation in snapshot.observations:
        if observation.facts_type != PostgresFacts.__name__:
            continue
        if isinstance(observation.facts, PostgresFacts):
            failure = observation.missing.get("migration")
            if observation.facts.migration is not None:
                return observation.facts.migration, ""
            return None, failure.message if failure else _("nothing was observed")
        return None, observation.failure.message if observation.failure else ""
    return None, _("nothing was observed")


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
    newer = tuple(revision for revision in live if revision not in recorded.revisions)
    if not newer:
        return _within(recorded, WayBack(Verdict.CODE_ONLY, "", target, live, seconds=seconds), name)
    between, unknown = _between(releases, newer, recorded.revisions)
    words = _("the database is at {live}, which {release} (at {head}) does not know").format(
        live=joined(newer), release=name, head=joined(sorted(recorded.heads))
    )
    way = WayBack(Verdict.CODE_ONLY, words, target, live, tuple(m.revision for m in between), seconds=seconds)
    return _across(releases, way, between, unknown)


def _within(recorded: Recorded, way: WayBack, name: str) -> WayBack:
    """Return the way to a release that knows the database's revision."""
    if set(way.live) == recorded.heads:
        text = _("the database is at {live}, as {release} wants it")
        return _with(way, Verdict.CODE_ONLY, text.format(live=joined(way.live), release=name))
    text = _(
        "the database is at {live}, and {release} wants it at {head}: it would have to be migrated first"
    )
    words = text.format(live=joined(way.live), release=name, head=joined(sorted(recorded.heads)))
    return _with(way, Verdict.IMPOSSIBLE, words)


def _across(
    releases: Releases, way: WayBack, between: tuple[Migration, ...], unknown: tuple[str, ...]
) -> WayBack:
    """Return the way to a release that does not know the database's revision."""
    rules = releases.site.settings.release
    intolerable = [
        migration
        for migration in between
        if migration.revision not in rules.compatible
        and not (rules.tolerates_additions and migration.adds_only)
    ]
    if not unknown and not intolerable:
        text = _("{reason}; it runs with it, as the configuration says: the database stays as it is")
        return _with(way, Verdict.CODE_ONLY, text.format(reason=way.reason))
    one_way = [migration.revision for migration in between if not migration.has_downgrade]
    if not unknown and not one_way:
        loses = tuple(
            _("what was written into what {revision} brought").format(revision=migration.revision)
            for migration in between
        )
        return _with(way, Verdict.NEEDS_DOWNGRADE, way.reason, loses)
    if unknown and not all(releases.recorded(image) for image in releases.running):
        text = _("{reason}; the running release is not recorded: samaops release record")
        return _with(way, Verdict.UNKNOWN, text.format(reason=way.reason))
    if unknown:
        text = _("{reason}; {revisions} is in no recorded release, so there is no known way down")
        reason = text.format(reason=way.reason, revisions=joined(unknown))
    else:
        text = _("{reason}; there is no way down from {revisions}")
        reason = text.format(reason=way.reason, revisions=joined(one_way))
    if releases.has_backup is False:
        text = _("{reason}; and there is no backup")
        return _with(way, Verdict.IMPOSSIBLE, text.format(reason=reason))
    return _with(way, Verdict.NEEDS_RESTORE, reason, (_("everything written since the backup"),))


def _with(way: WayBack, verdict: Verdict, reason: str, loses: tuple[str, ...] = ()) -> WayBack:
    return WayBack(verdict, reason, way.target, way.live, way.between, loses, way.notes, way.seconds)


def _between(
    releases: Releases, newer: Iterable[str], known: frozenset[str]
) -> tuple[tuple[Migration, ...], tuple[str, ...]]:
    """Return the migrations from the database's revisions down to what a release knows, and those nobody has recorded."""
    recorded = {
        migration.revision: migration
        for entry in releases.entries().values()
        for migration in entry.recorded.migrations or ()
    }
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
        waiting += migration.parents
    return tuple(between.values()), tuple(unknown)
