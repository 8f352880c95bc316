"""What has filled a disk, by who owns the most of it; and what is no owner's: inodes, reserved blocks, space nobody sees."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from msgspec import Struct

from samaops.causes.root import Root, destructive, safe
from samaops.causes.view import View
from samaops.i18n import N_, _
from samaops.model.cause import Fix, Verdict
from samaops.model.finding import Finding
from samaops.model.quantities import size
from samaops.site import disk_owners as owners
from samaops.site.commands import on_server, samaops
from samaops.site.disk_owners import Share
from samaops.site.shell_words import operands, quoted
from samaops.site.site import Site

# Who holds less than this share of a disk has not filled it; nor what a site is there for, below half of what is used.
_LEAST_SHARE = 0.2
# ext4 keeps 5 % for root; more was asked for by somebody.
_MOST_RESERVED_SHARE = 0.1
# Of a file system, what df counts and du does not find: its own tables take some per cent.
_UNSEEN_SHARE = 0.2
# These count by themselves; du says nothing of what they share or keep.
_NO_GAP = ("btrfs", "zfs")
INODES, RESERVED, UNSEEN = "inodes-exhausted", "blocks-reserved", "space-unseen"
AWAITS = "wal-awaits-checkpoint"


class _Owned(Struct, frozen=True):
    """The cause where one owner has filled a disk: its id, its title, and what to do.

    ``is_usual`` is what a site is there for: it may have been so all the time, and something else is new.
    """

    id: str
    title: str
    fix: Callable[[Share, Finding, Site], Fix]
    is_usual: bool = False


def _clean(what: str, title: str) -> Callable[[Share, Finding, Site], Fix]:
    """Return the fix by ``disk clean``, which says what each step frees and what it loses."""

    def fix(_share: Share, finding: Finding, site: Site) -> Fix:
        command = samaops(site, f"disk clean --server {quoted(str(finding.server))} --only {what}")
        return destructive(f"disk.{what.replace('-', '_')}", _(title), command)

    return fix


def _look(fix_id: str, title: str, command: str) -> Callable[[Share, Finding, Site], Fix]:
    """Return what to look at first, where no clean-up is safe; ``{path}`` and ``{server}`` are filled in."""

    def fix(share: Share, finding: Finding, site: Site) -> Fix:
        words = command.format(server=quoted(str(finding.server)), path=quoted(share.path))
        return safe(fix_id, _(title), samaops(site, words))

    return fix


_OWNED: Mapping[str, _Owned] = {
    owners.TEMPORARY: _Owned(
        "query-temporary-files",
        N_("Temporary files of a query fill {mount} of {server}"),
        _look("db.cancel_filling", N_("See which query writes them, then cancel it"), "db activity"),
    ),
    owners.CONTAINER_LOG: _Owned(
        "container-log-grown",
        N_("The log of a container fills {mount} of {server}"),
        _clean(
            "container-logs", N_("Keep its end and empty it in place (never rm); set max-size on it later")
        ),
    ),
    owners.LOGS: _Owned(
        "application-logs-grown",
        N_("Logs that nobody rotates fill {mount} of {server}"),
        _clean("logs", N_("Compress what is rotated, keep the end of what grows and empty it in place")),
    ),
    owners.JOURNAL: _Owned(
        "journal-grown",
        N_("The system's journal fills {mount} of {server}"),
        _clean("journal", N_("Have journald give up its oldest files; limit it with SystemMaxUse")),
    ),
    owners.DUMPS: _Owned(
        "core-dumps-left",
        N_("Core dumps fill {mount} of {server}"),
        _look(
            "disk.owner_of_files",
            N_("Give one to the developers, then remove them: something crashes"),
            "disk usage --server {server} {path}",
        ),
    ),
    owners.UPLOADS: _Owned(
        "uploads-left-unfinished",
        N_("Uploads that were never finished fill {mount} of {server}"),
        lambda _share, _finding, site: destructive(
            "disk.abort_uploads",
            _("Abort those that are older than a day, through S3, each by its name; never rm on MinIO's disk"),
            samaops(site, "disk abort-uploads"),
        ),
    ),
    owners.REDIS: _Owned(
        "redis-files-grown",
        N_("The files of Redis fill {mount} of {server}"),
        _look(
            "redis.files",
            N_("See what it keeps: the append-only file is rewritten, a temp-*.rdb is of a save that failed"),
            "redis cli -- info persistence",
        ),
    ),
    owners.BROKER: _Owned(
        "broker-store-grown",
        N_("The messages of RabbitMQ fill {mount} of {server}"),
        _look("queue.backlog", N_("See which queue nobody empties; never purge it for space"), "queue list"),
    ),
    owners.WAL: _Owned(
        "wal-kept-by-setting",
        N_("The WAL of PostgreSQL fills {mount} of {server}"),
        _look("db.wal", N_("See what keeps it: wal_keep_size, max_wal_size; never delete in pg_wal"), "db settings"),
        is_usual=True,
    ),
    owners.BUILD_CACHE: _Owned(
        "build-cache-grown",
        N_("Docker's build cache fills {mount} of {server}"),
        lambda _share, finding, site: safe(
            "disk.cache",
            _("Remove the build cache; the next build takes longer"),
            samaops(site, f"disk clean --server {quoted(str(finding.server))} --only cache"),
        ),
    ),
    owners.IMAGES: _Owned(
        "docker-images-grown",
        N_("Images and containers fill {mount} of {server}"),
        lambda _share, finding, site: safe(
            "docker.cleanup",
            _("Remove images that nothing uses; never --volumes, never the image a rollback needs"),
            samaops(site, f"docker cleanup {quoted(str(finding.server))}"),
        ),
        is_usual=True,
    ),
    owners.VOLUME: _Owned(
        "docker-volume-grown",
        N_("A volume of Docker fills {mount} of {server}"),
        _look(
            "disk.owner_of_files",
            N_("See what lies in it, and whose it is; never remove a volume for its space"),
            "disk usage --server {server} {path}",
        ),
        is_usual=True,
    ),
    owners.BACKUPS: _Owned(
        "backups-not-expired",
        N_("Backups fill {mount} of {server}"),
        lambda _share, _finding, site: destructive(
            "backup.prune",
            _("Prove the backups that are kept, then remove those past retention"),
            samaops(site, "backup verify --all"),
            samaops(site, "backup prune"),
        ),
        is_usual=True,
    ),
    owners.TABLES: _Owned(
        "database-grown",
        N_("The tables of PostgreSQL fill {mount} of {server}"),
        _look(
            "db.size",
            N_("See which table grew; a larger disk is the cure, VACUUM only lets space be used again"),
            "db size",
        ),
        is_usual=True,
    ),
    owners.OBJECTS: _Owned(
        "objects-grown",
        N_("The objects of MinIO fill {mount} of {server}"),
        _look(
            "minio.objects",
            N_("See which bucket grew, and whether it keeps old versions; never rm on MinIO's disk"),
            "disk usage --server {server} {path}",
        ),
        is_usual=True,
    ),
}  # fmt: skip
IDS = (INODES, RESERVED, UNSEEN, AWAITS, *dict.fromkeys(owned.id for owned in _OWNED.values()))


def root_of(finding: Finding, view: View) -> Root | None:
    """Return what has filled a disk, by what was found on it; None where nobody holds enough of it."""
    if finding.code == "servers.disk.inodes":
        return _without_inodes(finding, view)
    total, unseen = _number(finding, "size_bytes"), _unseen(finding)
    filler = filling(finding, view.site)
    if total and unseen > max(filler.size_bytes if filler else 0, _UNSEEN_SHARE * total):
        return _gap(finding, view, unseen)
    if filler is None:
        return _reserved(finding, view)
    owned = _OWNED.get(filler.owner)
    return None if owned is None else _by_owner(owned, filler, finding, view)


def filling(finding: Finding, site: Site) -> Share | None:
    """Return who has filled a disk, as far as its finding tells; None where nobody looked, or holds enough of it.

    What is not what a site is there for comes first: tables may have taken half of a disk all the time.
    """
    used, total = _number(finding, "used_bytes"), _number(finding, "size_bytes")
    shares = [share for share in _shares(finding, site) if share.size_bytes >= _LEAST_SHARE * total]
    unusual = [share for share in shares if share.owner not in _OWNED or not _OWNED[share.owner].is_usual]
    return next(iter((*unusual, *(share for share in shares if share.size_bytes >= used / 2))), None)


def _shares(finding: Finding, site: Site) -> tuple[Share, ...]:
    rows = [
        row
        for row in finding.evidence.get("shares") or finding.evidence.get("biggest") or ()
        if isinstance(row, Mapping) and isinstance(row.get("size_bytes"), int) and row.get("path")
    ]
    if finding.evidence.get("shares"):
        return tuple(Share(str(row.get("owner") or ""), row["size_bytes"], str(row["path"])) for row in rows)
    entries = [(str(row["path"]), row["size_bytes"]) for row in rows]
    return owners.shares(entries, site.settings, finding.server)


def _by_owner(owned: _Owned, top: Share, finding: Finding, view: View) -> Root | None:
    title = _(owned.title).format(mount=finding.evidence.get("mount"), server=finding.server)
    fixes: tuple[Fix, ...] = (owned.fix(top, finding, view.site),)
    says = _("{path}: {size}, {owner}").format(
        path=top.path, size=size(top.size_bytes), owner=owners.word(top.owner)
    )
    doubts: tuple[str, ...] = ()
    if owned.is_usual:
        doubts = (_("whether it grew of late is not known here: samaops disk grew says so"),)
    subject = None
    if top.owner == owners.CONTAINER_LOG and (container := _container_of(top.path, finding, view)):
        title = _("The log of container {name} fills {mount} of {server}").format(
            name=container, mount=finding.evidence.get("mount"), server=finding.server
        )
        subject = f"docker/{container}"
    identifier = owned.id
    if top.owner == owners.WAL:
        known = view.findings_of("postgresql.wal.large")
        if not any(_number(seen, "size_bytes") for seen in known):
            return None  # nobody could ask PostgreSQL why it keeps it
        setting = wal_setting(known)
        identifier, doubts = owned.id if setting else AWAITS, ()
        says = f"{says}; {setting[0]} = {size(setting[2])}" if setting else says
        if setting is None:
            checkpoint = samaops(view.site, "db checkpoint")
            text = _("Write a checkpoint: what nobody needs any more goes with it")
            fixes = (safe("db.checkpoint", text, checkpoint),)
            doubts = (_("no slot, no failing archiver and no setting is seen that keeps it"),)
    return Root(
        title,
        fixes,
        Verdict.PROBABLE if doubts else Verdict.CONFIRMED,
        speaks_for=(finding.title, says),
        speaks_against=doubts,
        id=identifier,
        subject=subject,
    )


def _container_of(path: str, finding: Finding, view: View) -> str:
    """Return the name of the container whose log lies there; "" where the engine was not seen."""
    for seen in (*view.bad("docker.log.large", finding.server), *view.ok("docker.log.large", finding.server)):
        rows: Any = seen.evidence.get("largest") or ()
        for row in rows:
            place = str(row.get("path") or "")
            if place and (path.startswith(place) or place.startswith(path.rstrip("/") + "/")):
                return str(row.get("container") or "")
    return ""


def wal_setting(findings: Iterable[Finding]) -> tuple[str, str, int] | None:
    """Return the setting that has the WAL kept, what it may be in its place, and its bytes now; None where none has."""
    for seen in findings:
        held = _number(seen, "size_bytes") if seen.code == "postgresql.wal.large" else 0
        keep, most = _number(seen, "wal_keep_bytes"), _number(seen, "max_wal_bytes")
        if held and max(keep, most) >= held / 2:
            if keep >= most:
                return "wal_keep_size", "0", keep
            return "max_wal_size", f"{max(64, held // 4 // 1024**2)}MB", most
    return None


def _without_inodes(finding: Finding, view: View) -> Root:
    crowded = [row for row in finding.evidence.get("crowded") or () if isinstance(row, Mapping)]
    mount = str(finding.evidence.get("mount", "/"))
    text = _(
        "See what makes so many small files, and have it stop; remove them by what made them, not by hand"
    )
    path = str(crowded[0].get("path")) if crowded else mount
    look = on_server(view.site, finding.server, f"ls -U {operands(path)} | head -5")
    seen = tuple(
        _("{path}: {count} files").format(path=row.get("path"), count=row.get("inodes"))
        for row in crowded[:3]
    )
    return Root(
        _("{mount} of {server} has no inodes left for new files").format(mount=mount, server=finding.server),
        (safe("disk.owner_of_files", text, look),),
        speaks_for=(finding.title, *seen),
        id=INODES,
    )


def _unseen(finding: Finding) -> int:
    """Return how much more df counts than du has found, without what deleted files hold; 0 where one is not known."""
    found, deleted = finding.evidence.get("found_bytes"), finding.evidence.get("deleted_bytes")
    if not isinstance(found, int) or not isinstance(deleted, int) or finding.evidence.get("type") in _NO_GAP:
        return 0
    return max(0, _number(finding, "used_bytes") - found - deleted)


def _gap(finding: Finding, view: View, unseen: int) -> Root:
    mount = str(finding.evidence.get("mount", "/"))
    text = _(
        "Look under its mount points: what was written before something was mounted there is hidden by it"
    )
    look = on_server(view.site, finding.server, f"findmnt -R -o TARGET,SOURCE,FSTYPE {operands(mount)}")
    title = _("{size} of {mount} of {server} are in no file that can be seen")
    return Root(
        title.format(size=size(unseen), mount=mount, server=finding.server),
        (safe("disk.unseen", text, look),),
        Verdict.PROBABLE,
        speaks_for=(finding.title, _("no deleted file that is still open holds it")),
        id=UNSEEN,
    )


def _reserved(finding: Finding, view: View) -> Root | None:
    total, available = _number(finding, "size_bytes"), _number(finding, "available_bytes")
    used = _number(finding, "used_bytes")
    reserved = total - used - available
    if not (total and used) or reserved < _MOST_RESERVED_SHARE * total or available > reserved:
        return None
    mount = str(finding.evidence.get("mount", "/"))
    text = _("Ask who reserved so much; root alone may write there. Less is reserved with tune2fs -m")
    look = on_server(view.site, finding.server, f"findmnt -n -o SOURCE,FSTYPE,OPTIONS {operands(mount)}")
    title = _("{size} of {mount} of {server} are reserved for root: others are refused while there is space")
    return Root(
        title.format(size=size(reserved), mount=mount, server=finding.server),
        (safe("disk.reserved", text, look),),
        speaks_for=(finding.title,),
        id=RESERVED,
    )


def _number(finding: Finding, name: str) -> int:
    value = finding.evidence.get(name)
    return value if isinstance(value, int) else 0
