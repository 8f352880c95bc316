"""Changes of containers and images: importing this registers their readings."""

from samaops.changes.docker import images, restart  # noqa: F401 - they register their readings
