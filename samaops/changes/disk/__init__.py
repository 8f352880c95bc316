"""Changes of the disks of servers: what is given back, and the reserve for an emergency."""

from samaops.changes.disk import cleaning, reserving, uploads  # noqa: F401 - they register their verbs and readings
