"""Changes of releases: what keeps them, and the way back to one."""

from samaops.changes.release import begin, database, keeping, rolling  # noqa: F401 - they register their verbs and readings
