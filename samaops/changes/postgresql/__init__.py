"""Changes of PostgreSQL, straight on its own port: sessions, statements."""

from samaops.changes.postgresql import checkpoint, indexes, parameters, sessions, slots, terminate  # noqa: F401 - they register their verbs and readings
