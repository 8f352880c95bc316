"""Changes of PostgreSQL, straight on its own port: sessions, statements."""

from samaops.changes.postgresql import (  # noqa: F401 - they register their verbs and readings
    sessions,
    upkeep,
    upkeep_indexes,
)
