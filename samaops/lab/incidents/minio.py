"""MinIO's objects: a bucket that somebody emptied."""

from __future__ import annotations

from samaops.changes.run import operations
from samaops.config.load import load
from samaops.errors import SamaopsError
from samaops.i18n import N_, _
from samaops.lab import storage
from samaops.lab.incidents.incident import Fault, Incident, Root
from samaops.lab.incidents.site import Site
from samaops.lab.processes import StartError
from samaops.lab.requirements import find_program
from samaops.site.site import Site as Configured
from samaops.workflows import objects

BUCKET = "documents"


def _empty(site: Site) -> None:
    client = storage.client(site.layout.secrets())
    for each in list(client.list_objects(BUCKET, recursive=True)):
        client.remove_object(BUCKET, str(each.object_name))


def _is_empty(site: Site) -> str | None:
    client = storage.client(site.layout.secrets())
    if any(True for _each in client.list_objects(BUCKET, recursive=True)):
        return None
    return _("{bucket} has no object").format(bucket=BUCKET)


def _fill(site: Site) -> None:
    """Put back what it had: by samaops' own copy, which is what the team would do."""
    configured = Configured(load(site.layout.config_file))
    if _is_empty(site) is None:
        return
    try:
        plan = objects.prepare_restore(configured, "", BUCKET, "")
    except SamaopsError as error:
        raise StartError(error.message) from error
    for step in plan.steps:
        outcome = operations.run(step.operation, configured)
        if not outcome.is_ok:
            raise StartError(outcome.output)


def _without_copy(_site: Site) -> str | None:
    if find_program("rclone") is None:
        return _("without rclone the lab has no copy of its objects")
    return None


INCIDENTS = (
    Incident(
        id="bucket-emptied",
        runbook="",
        title=N_("A bucket of MinIO was emptied"),
        does=N_("Deletes all objects of the bucket documents."),
        notice=N_("Customers find none of their documents."),
        root=Root("objects-lost", "backup/db-objects"),
        fault=Fault(_empty, _is_empty, _fill, _without_copy),
    ),
)
