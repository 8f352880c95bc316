"""How the Docker engines are looked at: importing this registers the looks."""

from samaops.collect.docker import containers  # noqa: F401 - it registers its looks
