"""What is set up otherwise than it was when all was well."""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct

from samaops.i18n import _


class Difference(Struct, frozen=True):
    """One difference. ``place`` is system/kind/name/attribute, as ``rabbitmq/policy/ttl-test/definition``.

    ``before`` and ``after`` are None where there was nothing, and masked where they are secret. ``at`` is when it
    came about, where that is known: else some time since the last well look. ``change`` is the change of samaops
    that did it.
    """

    place: str
    server: str | None
    title: str
    before: str | None
    after: str | None
    at: datetime | None = None
    change: str = ""

    @property
    def words(self) -> str:
        """The difference, with who made it where that is known."""
        if not self.change:
            return self.title
        return _("{what} (changed by samaops, {change})").format(what=self.title, change=self.change)


class Comparison(Struct, frozen=True):
    """What became of the comparison with the last well look; ``well_at`` is None when none is kept.

    ``unknown`` names what was known then and could not be looked at now. ``is_asked`` tells whether somebody asked
    for it, so that also "nothing" is an answer.
    """

    well_at: datetime | None = None
    differences: tuple[Difference, ...] = ()
    unknown: tuple[str, ...] = ()
    is_asked: bool = False

    def sentence(self, difference: Difference, now: datetime) -> str:
        """Return a difference with its time, as it speaks for a cause."""
        if difference.at is not None:
            return _("since {time}: {what}").format(time=clock(difference.at, now), what=difference.words)
        assert self.well_at is not None
        text = _("since the last well look ({time}): {what}")
        return text.format(time=clock(self.well_at, now), what=difference.words)


def clock(moment: datetime, now: datetime) -> str:
    """Return a moment as a clock here shows it; with its day where that is not today."""
    here = moment.astimezone()
    is_today = here.date() == now.astimezone().date()
    return here.strftime("%H:%M" if is_today else "%Y-%m-%d %H:%M")
