"""Sizes and times as checks say them: those of the whole product."""

from samaops.model.quantities import duration, size

__all__ = ["duration", "size"]
