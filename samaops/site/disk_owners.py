"""Whose the space of a directory or a file is, by where it lies. No connection: paths in, an owner out."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence

from msgspec import Struct

from samaops.config.settings import Settings
from samaops.i18n import N_, _

# Where an emergency's reserve lies, in the root of its file system.
RESERVE = ".samaops-reserve"

WAL, TEMPORARY, TABLES = "wal", "temporary", "tables"
CONTAINER_LOG, IMAGES, BUILD_CACHE, VOLUME = "container_log", "images", "build_cache", "volume"
BROKER, REDIS, UPLOADS, OBJECTS = "broker", "redis", "uploads", "objects"
JOURNAL, LOGS, DUMPS, BACKUPS, PACKAGES, KEPT = "journal", "logs", "dumps", "backups", "packages", "reserve"

WORDS = {
    WAL: N_("WAL of PostgreSQL"),
    TEMPORARY: N_("temporary files of queries"),
    TABLES: N_("tables and indexes"),
    CONTAINER_LOG: N_("log of a container"),
    IMAGES: N_("images and containers"),
    BUILD_CACHE: N_("build cache"),
    VOLUME: N_("volume of Docker"),
    BROKER: N_("messages of RabbitMQ"),
    REDIS: N_("files of Redis"),
    UPLOADS: N_("unfinished uploads of MinIO"),
    OBJECTS: N_("objects of MinIO"),
    JOURNAL: N_("journal of the system"),
    LOGS: N_("logs"),
    DUMPS: N_("core dumps"),
    BACKUPS: N_("backups"),
    PACKAGES: N_("packages"),
    KEPT: N_("reserve of samaops"),
}

# The first that fits is it: what is more special stands before what it lies in.
_BY_PATH: tuple[tuple[str, str], ...] = (
    (KEPT, rf"/{re.escape(RESERVE)}$"),
    (TEMPORARY, r"/pgsql_tmp(/|$)"),
    (WAL, r"/pg_(wal|xlog)(/|$)"),
    (UPLOADS, r"/\.minio\.sys/(multipart|tmp)(/|$)"),
    (OBJECTS, r"/\.minio\.sys(/|$)"),
    (CONTAINER_LOG, r"/containers/[0-9a-f]{64}(/[^/]*-json\.log[^/]*)?$"),
    (BUILD_CACHE, r"/buildkit(/|$)"),
    (BROKER, r"/(mnesia|rabbitmq)(/|$)|/msg_stores?(/|$)|[._-]rabbitmq[^/]*/_data(/|$)"),
    (REDIS, r"/appendonlydir(/|$)|/(dump|temp-[\w-]+)\.rdb$|\.aof$|/redis(/|$)|[._-]redis[^/]*/_data(/|$)"),
    (VOLUME, r"/docker/volumes(/|$)"),
    (IMAGES, r"/(docker|containerd)(/|$)|/overlay2(/|$)"),
    (JOURNAL, r"/log/journal(/|$)"),
    (DUMPS, r"/coredump(/|$)|/core(\.\d+)?$"),
    (PACKAGES, r"/cache/(apt|dnf|yum)(/|$)"),
    (LOGS, r"/logs?(/|$)|\.log([.-][^/]*)?$"),
)
_PATTERNS = tuple((owner, re.compile(pattern)) for owner, pattern in _BY_PATH)


# Of what an owner holds: then one place says it all.
_DOMINANT_SHARE = 0.7


class Share(Struct, frozen=True):
    """What one owner holds of a disk: bytes in all, and its largest place. ``owner`` is "" where nobody is known."""

    owner: str
    size_bytes: int
    path: str


def of(path: str, settings: Settings, server: str | None) -> str:
    """Return whose a path on a server is, "" where that is not known."""
    for owner, pattern in _PATTERNS[:1]:
        if pattern.search(path):
            return owner
    for owner, directory in _configured(settings, server):
        if owner == BACKUPS and _is_in(path, directory):
            return owner
    by_path = next((owner for owner, pattern in _PATTERNS if pattern.search(path)), "")
    if by_path and by_path != LOGS:
        return by_path
    for owner, directory in _configured(settings, server):
        if _is_in(path, directory):
            return owner
    return by_path


def _configured(settings: Settings, server: str | None) -> Iterator[tuple[str, str]]:
    if settings.backup is not None and settings.backup.server == server:
        yield BACKUPS, str(settings.backup.directory)
    if settings.postgresql is not None and settings.postgresql.server == server:
        yield TABLES, settings.postgresql.data_directory
    yield LOGS, settings.maintenance.log_directory


def _is_in(path: str, directory: str) -> bool:
    return path == directory or path.startswith(directory.rstrip("/") + "/")


def word(owner: str) -> str:
    """Return an owner in the user's language."""
    return _(WORDS[owner]) if owner in WORDS else ""


def shares_of_tree(
    sizes: Mapping[str, int], root: str, settings: Settings, server: str | None
) -> tuple[Share, ...]:
    """Return what each owner holds of a disk, by the sizes of its directories and files, each with what lies in it.

    Of a directory counts what is in none of those that are listed below it.
    """
    own = {path: count for path, count in sizes.items() if path != root}
    for path in own:
        above = _nearest_above(path, own.keys())
        if above is not None:
            own[above] -= sizes[path]
    return shares(((path, max(0, count)) for path, count in own.items()), settings, server)


def unowned(sizes: Mapping[str, int], settings: Settings, server: str | None) -> dict[str, int]:
    """Return the directories and files that nobody owns, each with what of it nobody owns."""
    owned = {path for path in sizes if of(path, settings, server)}
    rest = {path: count for path, count in sizes.items() if path not in owned}
    for path in owned:
        above = _nearest_above(path, sizes)
        if above in owned:
            continue  # it is counted with that
        while above is not None:
            rest[above] -= sizes[path]
            above = _nearest_above(above, rest)
    return rest


def _nearest_above(path: str, known: Container[str]) -> str | None:
    while "/" in path:
        path = path.rpartition("/")[0]
        if path in known:
            return path
    return None


def _place(owner: str, places: Sequence[tuple[str, int]], settings: Settings, server: str | None) -> str:
    """Return where most of it lies: the largest place, or the directory of the owner's own that all are in."""
    largest, most = max(places, key=lambda place: place[1])
    if most >= _DOMINANT_SHARE * sum(count for _path, count in places):
        return largest
    above = posixpath.commonpath([path for path, _count in places])
    return above if of(above, settings, server) == owner else largest


def shares(entries: Iterable[tuple[str, int]], settings: Settings, server: str | None) -> tuple[Share, ...]:
    """Return what each owner holds of some directories and files, of which none lies in another; the largest first.

    What nobody owns is by itself: two such directories have nothing to do with each other.
    """
    held: dict[str, list[tuple[str, int]]] = {}
    for path, size_bytes in entries:
        owner = of(path, settings, server)
        held.setdefault(owner or path, []).append((path, size_bytes))
    found = (
        Share(
            owner if owner in WORDS else "",
            sum(size_bytes for _path, size_bytes in places),
            _place(owner, places, settings, server),
        )
        for owner, places in held.items()
    )
    return tuple(sorted(found, key=lambda share: -share.size_bytes))
