"""The doers, by the kind of an operation. A new kind (an SQL statement, a file) is a module with ``@runs`` here."""

from samaops.changes.run import (  # noqa: F401 - they register their kinds
    backup_copy,
    backup_create,
    backup_keep,
    backup_verify,
    canary_message,
    index_build,
    messages,
    object_expire,
    object_restore,
    objects,
    parameters,
    parking,
    pool,
    sessions,
    shell,
    statements,
    upkeep,
)
