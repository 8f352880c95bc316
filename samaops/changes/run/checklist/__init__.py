"""What is done to a checklist's book, and what is measured for it."""

from samaops.changes.run.checklist import measure, sign  # noqa: F401 - they register their kinds
