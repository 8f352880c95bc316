"""Checks of what maintenance looks at, by the routine that asks for them."""

from samaops.checks.maintenance import daily, monthly, safety, weekly  # noqa: F401 - they register their checks
