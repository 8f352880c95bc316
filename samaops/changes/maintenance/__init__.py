"""What maintenance itself changes, beside what the verbs of other systems do for it. Importing this registers its verb."""

from samaops.changes.maintenance import rotation  # noqa: F401 - it registers its verb
