"""Copy the objects of MinIO: what is new, beside what is there; nothing of the copy is deleted by it."""

from __future__ import annotations

from collections.abc import Iterator

from samaops.changes.objects.restoring import RUNS
from samaops.changes.readings import facts_in
from samaops.changes.verbs import verb
from samaops.config.backup_settings import Backup, BackupObjects
from samaops.errors import RefusedError
from samaops.facts.objects import STOPPED, ObjectCopyFacts
from samaops.facts.observation import Snapshot
from samaops.i18n import _
from samaops.model.plan import Operation, Plan, Risk, Step
from samaops.model.quantities import size
from samaops.site.site import Site

COPY = "objects.copy"


def configured(site: Site) -> tuple[Backup, BackupObjects]:
    """Return the sections of the copy. Raises RefusedError where there are none."""
    backup = site.settings.backup
    if backup is None or backup.objects is None:
        raise RefusedError(_("[backup.objects] is not configured: there is no place for the objects"))
    if site.settings.minio is None:
        raise RefusedError(_("[minio] is not configured"))
    return backup, backup.objects


def _looks(site: Site) -> tuple[str, ...]:
    configured(site)
    return RUNS


@verb("backup objects", looks=_looks)
def plan_backup_objects(snapshot: Snapshot, site: Site) -> Plan:
    """Plan that the objects are copied. Guard: nobody works on the copy.

    Whether the source has lost too much is known once it is listed: the copy stops there, and keeps all it has.
    """
    backup, objects = configured(site)
    copied = facts_in(snapshot, ObjectCopyFacts)
    if copied.is_busy:
        raise RefusedError(_("another samaops works on the copy of the objects"))
    title = _("Copy the objects of MinIO into {directory}").format(directory=objects.directory)
    step = Step(
        "objects.copy",
        title,
        Risk.SAFE,
        operation=Operation(COPY, {}, backup.server, backup.timeout),
        before=(),
        after=(),
        no_undo=_("it takes nothing away: what it replaces is kept"),
        servers=(site.settings.minio.server,) if site.settings.minio else (),
        about=f"backup/{backup.server}-objects",
    )
    notes = tuple(_notes(copied, objects))
    return Plan("backup objects", (), title, target=backup.server, steps=(step,), notes=notes)


def _notes(copied: ObjectCopyFacts, objects: BackupObjects) -> Iterator[str]:
    newest = copied.newest
    if newest is None:
        yield _("it is the first copy: all objects are copied")
    else:
        text = _("the last copy is {run}: {count} objects, {size}")
        yield text.format(run=newest.id, count=newest.objects, size=size(newest.bytes))
    yield _("{free} are free there").format(free=size(copied.free_bytes))
    if newest is not None:
        text = _("it stops if more than {percent:g} % of a bucket are gone or replaced since then")
        yield text.format(percent=objects.most_lost_percent)
    if copied.runs and copied.runs[0].state == STOPPED:
        yield _("the last run stopped: {reason}").format(reason=copied.runs[0].reason)
