"""Changes of the configuration file itself."""

from samaops.changes.configuration import upgrade  # noqa: F401 - it registers its verb
