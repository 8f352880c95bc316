"""What is done to the disks of servers."""

from samaops.changes.run.disk import uploads, working  # noqa: F401 - they register their kinds
