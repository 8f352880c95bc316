"""Changes of PostgreSQL, straight on its own port: sessions, statements."""

from samaops.changes.postgresql import sessions  # noqa: F401 - it registers its verbs and readings
