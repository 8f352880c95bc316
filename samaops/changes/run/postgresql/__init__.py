"""What is done on PostgreSQL, straight on its own port."""

from samaops.changes.run.postgresql import index_build, parameters, sessions, statements, upkeep  # noqa: F401 - they register their kinds
