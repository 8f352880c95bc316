"""Changes of containers and images."""

from samaops.changes.docker import images, limit, restart  # noqa: F401 - they register their verbs and readings
