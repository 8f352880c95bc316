"""Changes of the backups: make one, prove one, keep one for ever, copy one, remove what has expired."""

from samaops.changes.backup import copy, create, pin, prune, verify  # noqa: F401 - they register their verbs
