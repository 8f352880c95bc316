"""Changes of PgBouncer, on its admin console: what holds its clients, how many connections it opens, its file."""

from samaops.changes.pgbouncer import connections, pausing, reloading, sizes  # noqa: F401 - they register their verbs and readings
