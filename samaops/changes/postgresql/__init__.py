"""Changes of PostgreSQL, straight on its own port: sessions, statements."""

from samaops.changes.postgresql import (  # noqa: F401 - they register their verbs and readings
    checkpoint,
    indexes,
    parameters,
    sessions,
    slots,
    terminate,
    upkeep,
    upkeep_indexes,
)
