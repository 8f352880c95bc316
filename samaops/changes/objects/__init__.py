"""Changes of the copy of MinIO's objects, and what is put back from it."""

from samaops.changes.objects import copying, restoring  # noqa: F401 - they register their verbs and readings
