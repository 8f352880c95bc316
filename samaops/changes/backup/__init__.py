"""Changes of the backups: make one, prove one, keep one for ever, remove what has expired."""

from samaops.changes.backup import create, pin, prune, verify  # noqa: F401 - they register their verbs
