"""Sizes and times as checks say them: those of the whole product."""

from samaops.model.quantities import duration, moment, size

__all__ = ["duration", "moment", "size"]
