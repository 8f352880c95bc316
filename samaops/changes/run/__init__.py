"""The doers, by the kind of an operation. A new kind (an SQL statement, a file) is a module with ``@runs`` in ``registered``."""
