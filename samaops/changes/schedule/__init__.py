"""Changes of what runs by itself: pause a job, let it go on, install what begins it, take over a crontab."""

from samaops.changes.schedule import crontab, files, install, pause  # noqa: F401 - they register their verbs and readings
