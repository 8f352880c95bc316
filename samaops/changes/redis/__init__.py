"""Changes of Redis: its memory, its keys, its clients, its saving."""

from samaops.changes.redis import clients, keys, memory, saving  # noqa: F401 - they register their verbs
