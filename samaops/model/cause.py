"""Why something is broken: a root cause with what speaks for and against it."""

from __future__ import annotations

from datetime import datetime
from enum import Enum

from msgspec import Struct

from samaops.model.plan import Risk


class Verdict(str, Enum):
    """How sure a cause is."""

    CONFIRMED = "confirmed"
    PROBABLE = "probable"
    OUTSIDE = "outside"  # our side is well, and what would prove the rest is another team's to look at
    INCONCLUSIVE = "inconclusive"

    def __str__(self) -> str:
        return self.value

    @property
    def for_machines(self) -> str:
        """The word of the machine-readable forms, which have three: what is outside of our sight was not concluded."""
        return Verdict.INCONCLUSIVE.value if self is Verdict.OUTSIDE else self.value


class Fix(Struct, frozen=True):
    """A way to repair a cause, least risky first in a cause's list.

    ``text`` is what to send to those who can repair it, where that is not in our hands.
    """

    id: str
    risk: Risk
    title: str
    commands: tuple[str, ...] = ()
    undo: tuple[str, ...] = ()
    text: str = ""


class Cause(Struct, frozen=True):
    """A root cause. ``explains`` holds finding keys (``code@subject``), the decisive one first.

    ``address`` is where what is broken stands, which may be the same for several sites: ``host:port`` of what lies outside
    of them, else the server's address; "" where that is not known. ``sites`` are those that have it and ``since`` is when
    it was first seen, in a report of several sites.
    """

    id: str
    runbook: str | None
    verdict: Verdict
    subject: str
    title: str
    speaks_for: tuple[str, ...] = ()
    speaks_against: tuple[str, ...] = ()
    explains: tuple[str, ...] = ()
    fixes: tuple[Fix, ...] = ()
    address: str = ""
    sites: tuple[str, ...] = ()
    since: datetime | None = None
