"""Changes of containers and images."""

from samaops.changes.docker import images, limit, restart, roll  # noqa: F401 - they register their verbs and readings
