"""The tasks of daily maintenance: those of the guide's ``daily_maintenance.sh``, and the backup's age."""

from __future__ import annotations

from msgspec.structs import replace

from samaops.checks.maintenance.daily import who_grew
from samaops.facts.docker import DockerFacts
from samaops.facts.maintenance import DirectoriesFacts, ImagesFacts, LogFacts, LogMarks, MountUse
from samaops.facts.night import MadeContainer
from samaops.facts.observation import Snapshot
from samaops.facts.postgresql import PostgresFacts, SchemaVersion
from samaops.i18n import N_, _, joined, ngettext, number
from samaops.model.finding import Finding
from samaops.model.routine import Kept, Routine, Task, TaskChange
from samaops.model.status import Status
from samaops.site.releases import servers
from samaops.site.site import Site

DISK_CODE = "servers.disk.full"


def with_growth(finding: Finding, snapshot: Snapshot) -> Finding:
    """Return the finding; that of a full disk names the directories that grew since the earlier run."""
    if finding.code != DISK_CODE or finding.status is Status.OK:
        return finding
    mount = str(finding.evidence.get("mount"))
    for observation, facts in snapshot.facts_of(DirectoriesFacts):
        growth = facts.growth(mount) if observation.server == finding.server else None
        grew = who_grew(growth) if growth is not None else ""
        if grew:
            detail = joined(part for part in (grew, finding.detail) if part)
            return replace(finding, detail=detail, evidence={**finding.evidence, "grew": grew})
    return finding


def with_reclaimed(finding: Finding, before: Snapshot, after: Snapshot) -> Finding:
    """Return the finding of a server's images with those that are gone, and how much that gave back."""
    earlier = _images_of(finding.server, before)
    now = _images_of(finding.server, after)
    if earlier is None or now is None:
        return finding
    left = {image.id for image in now.images}
    gone = [image for image in earlier.images if image.id not in left]
    if not gone:
        return finding
    count, size_bytes = len(gone), _reclaimed_bytes(earlier, now)
    text = ngettext(
        "{count} image removed, {size} given back", "{count} images removed, {size} given back", count
    ).format(count=count, size=_size(size_bytes))
    evidence = {
        **finding.evidence,
        "reclaimed_bytes": size_bytes,
        "removed": [name for image in gone for name in image.names],
    }
    return replace(finding, title=f"{text}. {finding.title}", evidence=evidence)


def _images_of(server: str | None, snapshot: Snapshot) -> ImagesFacts | None:
    seen = snapshot.facts_of(ImagesFacts)
    return next((facts for observation, facts in seen if observation.server == server), None)


def _reclaimed_bytes(before: ImagesFacts, after: ImagesFacts) -> int:
    """Return what the engine has less of, by its own count of all layers, which has four digits.

    Where that shows nothing, as for a small image beside many large ones, at most the images' own sizes.
    """
    if (
        before.disk_bytes is not None
        and after.disk_bytes is not None
        and before.disk_bytes > after.disk_bytes
    ):
        return before.disk_bytes - after.disk_bytes
    left = {image.id for image in after.images}
    return sum(image.size_bytes for image in before.images if image.id not in left)


def _size(count: int) -> str:
    amount, unit = (count / 1e9, N_("GB")) if count >= 1e9 else (count / 1e6, N_("MB"))
    return number(f"{amount:.1f}") + " " + _(unit)


DAILY = Routine(
    "daily",
    title=N_("Daily maintenance"),
    spare=0.3,
    tasks=(
        Task(
            "disk",
            N_("Alerts when a disk is over 85 % full, and says which directories grew since yesterday."),
            codes=(DISK_CODE, "servers.disk.inodes", "maintenance.disk"),
            sections=("servers",),
            # The guide's daily script alerts above 85 %; a diagnosis warns from 80 on.
            warning={DISK_CODE: 85.0},
            with_words=with_growth,
            # Growth is told since yesterday, also when somebody ran it by hand an hour ago.
            keeps=Kept("mounts", DirectoriesFacts, tuple[MountUse, ...], hours=20),
        ),
        Task(
            "containers",
            N_("Sees that every container runs, is healthy, and does not restart again and again."),
            codes=("docker.engine", "docker.container"),
            sections=("docker",),
            keeps=Kept("running", DockerFacts, tuple[MadeContainer, ...]),
        ),
        Task(
            "images",
            N_("Removes images that no container uses and no rollback needs; never a volume."),
            codes=("maintenance.images",),
            sections=("docker",),
            change=TaskChange("docker cleanup", with_reclaimed),
        ),
        Task(
            "releases",
            N_("Records the releases that run, keeps their images, and sees that there is a way back."),
            codes=("release",),
            sections=("docker",),
            change=TaskChange("release record", lambda finding, _before, _after: finding),
            on=lambda settings: bool(servers(Site(settings))),
            keeps=Kept("migration", PostgresFacts, SchemaVersion | None),
        ),
        Task(
            "logs",
            N_("Counts ERROR and CRITICAL lines since the last run, and names the messages that repeat."),
            codes=("maintenance.logs",),
            sections=("api", "celery"),
            keeps=Kept("marks", LogFacts, LogMarks),
        ),
        Task(
            "postgresql",
            N_("Asks PostgreSQL SELECT 1 through the pool, as the application does."),
            codes=("pgbouncer.query.failed",),
            sections=("pgbouncer",),
        ),
        Task("redis", N_("Asks Redis whether it answers."), codes=("redis.service",), sections=("redis",)),
        Task(
            "probe",
            N_("Writes one marked value to each system and removes it, where [maintenance] probe says so."),
            codes=(
                "redis.write.probe",
                "pgbouncer.write.probe",
                "rabbitmq.publish.probe",
                "minio.object.probe",
            ),
            sections=("redis", "pgbouncer", "rabbitmq", "minio"),
            on=lambda settings: bool(settings.maintenance.probe),
        ),
        Task(
            "backup",
            N_("Sees that last night's backup is there, young, and of the usual size."),
            codes=("backup.directory", "backup.newest", "backup.size"),
            sections=("backup",),
        ),
    ),
)
