"""How PostgreSQL is looked at: importing this registers the looks."""

from samaops.collect.postgresql import reading, standby  # noqa: F401 - they register their looks
