"""Changes of the load balancer's pool."""

from samaops.changes.balancer import members  # noqa: F401 - it registers its verbs and readings
