"""What is changed of who is told. Importing this registers its verbs."""

from samaops.changes.notify import silence  # noqa: F401 - it registers its verbs
