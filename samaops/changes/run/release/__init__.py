"""What is done to releases, and to the database when one goes back."""

from samaops.changes.run.release import database, keeping  # noqa: F401 - they register their kinds
