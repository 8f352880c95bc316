"""The doers, by the kind of an operation. A new kind (an SQL statement, a file) is a module with ``@runs`` here."""

from samaops.changes.run import canary_message, messages, parking, pool, shell, statements  # noqa: F401 - they register their kinds
