"""Changes of what runs by itself: pause a job, let it go on."""

from samaops.changes.schedule import pause  # noqa: F401 - it registers its verbs
