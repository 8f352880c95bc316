"""Sign an item of a checklist, take the signature back, and measure what the guide wants measured."""

from samaops.changes.checklist import measure, sign  # noqa: F401 - it registers its verbs and readings
