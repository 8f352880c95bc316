"""How PostgreSQL is looked at: importing this registers the looks."""

from samaops.collect.postgresql import reading  # noqa: F401 - it registers its looks
