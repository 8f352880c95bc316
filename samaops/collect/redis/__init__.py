"""How Redis is looked at: importing this registers the looks."""

from samaops.collect.redis import reading  # noqa: F401 - it registers its looks
