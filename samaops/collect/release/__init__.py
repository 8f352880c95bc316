"""How the releases of the servers are looked at: importing this registers the looks."""

from samaops.collect.release import releases  # noqa: F401 - it registers its looks
