"""Restores: a database beside the live one and then in its place, one table beside another, a trial; and the way back."""

from samaops.changes.restoring import broker, config, database, drill, replaced, table  # noqa: F401 - they register their verbs
