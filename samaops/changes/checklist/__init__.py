"""Sign an item of a checklist, and take the signature back."""

from samaops.changes.checklist import sign  # noqa: F401 - it registers its verbs and readings
