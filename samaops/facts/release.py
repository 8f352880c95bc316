"""What is observed of the releases of a server: their images, what was recorded of them, with what they are replaced."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec import Struct

# The repository of our tags, and the beginning of the names of the containers that hold an image without ever running.
KEEP = "samaops.keep"
SCHEMA = "samaops/release/1"


class Migration(Struct, frozen=True):
    """One Alembic revision inside an image. ``adds_only`` when its upgrade takes nothing away and asks nothing of old code.

    ``depends_on`` are revisions of other branches that come before it too; a version before this one has not recorded them.
    """

    revision: str
    parents: tuple[str, ...]
    adds_only: bool
    has_downgrade: bool
    depends_on: tuple[str, ...] = ()

    @property
    def before(self) -> tuple[str, ...]:
        """All revisions without which a database cannot be at it."""
        return (*self.parents, *self.depends_on)


class Recorded(Struct, frozen=True):
    """What was written down when a release was first seen on a server, as ``ID.json`` in the server's directory.

    ``migrations`` is None where the image has none at the configured place. Times are ISO 8601. ``name`` is what the
    compose files called its image, ``compose`` the SHA-256 of these files.
    """

    image: str
    repository: str
    version: str
    built_at: str
    source: str
    recorded_at: str
    compose: str
    containers: tuple[str, ...]
    migrations: tuple[Migration, ...] | None = None
    name: str = ""
    schema: str = SCHEMA

    @property
    def revisions(self) -> frozenset[str]:
        """All its revisions."""
        return frozenset(migration.revision for migration in self.migrations or ())

    @property
    def heads(self) -> frozenset[str]:
        """The revisions that no other follows: where its database must be."""
        return heads_of(self.migrations or ())

    def runs_with(self, revisions: Iterable[str]) -> bool:
        """Return whether a database at these revisions is where this release wants it: at all its heads, and at no other."""
        rows = frozenset(revisions)
        by_name = {migration.revision: migration for migration in self.migrations or ()}
        return bool(rows) and rows <= by_name.keys() and self.heads <= applied(rows, by_name)


def heads_of(migrations: Iterable[Migration]) -> frozenset[str]:
    """Return the revisions that no other follows."""
    listed = tuple(migrations)
    followed = {parent for migration in listed for parent in migration.parents}
    return frozenset(migration.revision for migration in listed if migration.revision not in followed)


def applied(revisions: Iterable[str], migrations: Mapping[str, Migration]) -> frozenset[str]:
    """Return these revisions and all that come before them, as far as they are known.

    Alembic's table has a row for each branch, and none for one that another branch's row depends on.
    """
    found: set[str] = set()
    waiting = list(revisions)
    while waiting:
        revision = waiting.pop()
        if revision not in found:
            found.add(revision)
            waiting += migrations[revision].before if revision in migrations else ()
    return frozenset(found)


class Entry(Struct, frozen=True):
    """One release that is recorded on a server: ``seen_running_at`` in seconds since the epoch.

    ``archive_bytes`` is the size of its image as a file, None where there is none.
    """

    recorded: Recorded
    seen_running_at: float
    archive_bytes: int | None


class ReleaseImage(Struct, frozen=True):
    """One image of an engine. ``is_held`` where a container of ours, which never ran, keeps prunes from it."""

    id: str
    tags: tuple[str, ...]
    version: str
    built_at: str
    source: str
    size_bytes: int
    is_held: bool

    @property
    def is_tagged(self) -> bool:
        """Whether it has a name of ours."""
        return any(tag.startswith(f"{KEEP}/") for tag in self.tags)


class ReleaseFacts(Struct, frozen=True):
    """One reading of a server. ``compose`` is the version of compose; "" where there is none.

    ``unreadable`` names the records that this version cannot read. ``is_replacing`` says whether a compose that a way back
    began still replaces a container there; None where that could not be seen.
    """

    epoch: float
    engine: str
    compose: str
    images: tuple[ReleaseImage, ...]
    entries: tuple[Entry, ...]
    unreadable: tuple[str, ...] = ()
    is_replacing: bool | None = None

    def image(self, identifier: str) -> ReleaseImage | None:
        """Return an image by its id."""
        return next((image for image in self.images if image.id == identifier), None)

    def entry(self, identifier: str) -> Entry | None:
        """Return what is recorded of an image."""
        return next((entry for entry in self.entries if entry.recorded.image == identifier), None)

    def is_kept(self, identifier: str) -> bool:
        """Return whether nothing takes the way back to a release: recorded, named and held, and its file there."""
        image, entry = self.image(identifier), self.entry(identifier)
        has_file = entry is not None and entry.archive_bytes is not None
        return image is not None and image.is_tagged and image.is_held and has_file

    def is_there(self, identifier: str) -> bool:
        """Return whether a container can be made of a release: its image is there, or its file."""
        entry = self.entry(identifier)
        return self.image(identifier) is not None or (entry is not None and entry.archive_bytes is not None)

    @property
    def refuses_to_recreate(self) -> bool:
        """Whether this compose cannot replace a container on this engine: it stops the old one and then fails.

        compose 1 reads ContainerConfig, which engines have no more since version 25.
        """
        return _major(self.compose) == 1 and (_major(self.engine) or 0) >= 25


def _major(version: str) -> int | None:
    number = version.removeprefix("v").partition(".")[0]
    return int(number) if number.isdigit() else None


def short(identifier: str) -> str:
    """Return the beginning of an image's id, as docker shows it."""
    return identifier.removeprefix("sha256:")[:12]


def keep_tag(repository: str, identifier: str) -> str:
    """Return the name under which we keep an image."""
    return f"{KEEP}/{repository}:{short(identifier)}"


def holder_name(identifier: str) -> str:
    """Return the name of the container that holds an image."""
    return f"{KEEP}-{short(identifier)}"
