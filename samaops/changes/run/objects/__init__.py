"""What is done to the copy of MinIO's objects, and with it."""

from samaops.changes.run.objects import copying, expiring, restoring  # noqa: F401 - they register their kinds
