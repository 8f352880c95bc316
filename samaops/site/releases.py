"""Which releases of the application run where, and what is recorded of them: from what was observed, by name."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from samaops.errors import UsageError
from samaops.facts.backup import BackupFacts, CatalogueFacts
from samaops.facts.backup_run import WHOLE
from samaops.facts.docker import Container, DockerFacts
from samaops.facts.observation import Snapshot
from samaops.facts.postgresql import PostgresFacts, SchemaVersion
from samaops.facts.release import Entry, Recorded, ReleaseFacts, short
from samaops.i18n import _, joined
from samaops.site.commands import samaops
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

    def named(self, name: str) -> str:
        """Return the recorded release that a person means: by version, or by the beginning of the image's id.

        Raises UsageError where that is none of them, or may be several.
        """
        bare = name.removeprefix("sha256:")
        found = tuple(
            image
            for image, entry in self.entries().items()
            if entry.recorded.version == name
            or (len(bare) >= 4 and image.removeprefix("sha256:").startswith(bare))
        )
        if not found:
            known = joined(self.title(image) for image in self.entries())
            text = _("No release {name!r} is recorded").format(name=name)
            raise UsageError(text, hint=known or samaops(self.site, "release record"))
        if len(found) > 1:
            text = _("{name} may be any of {releases}: name the image")
            raise UsageError(text.format(name=name, releases=joined(map(self.title, found))))
        return found[0]


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
