"""What of a report is news: what somebody must be told now, and what he was told before."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from msgspec import Struct, field


class Known(Struct, frozen=True):
    """A trouble that goes on since a moment; ``why`` says why it is told again, "" where it is not."""

    key: str
    since: datetime
    announced_at: datetime | None = None
    why: str = ""


class Recovery(Struct, frozen=True):
    """A trouble that is over: what it was, and for how long."""

    key: str
    title: str
    status: str
    since: datetime
    ended_at: datetime

    @property
    def seconds(self) -> float:
        """How long it lasted, as far as it was looked at."""
        return (self.ended_at - self.since).total_seconds()


class News(Struct, frozen=True):
    """What is to be told. Keys are those of findings (``code@subject``), and of a run that failed.

    ``announced`` are those that somebody is told of now, ``known`` those of them, and of the others, that go on; ``held`` wait for the end of the
    quiet hours; ``owed`` are keys by the channel that failed to tell them. ``lifted`` says which silences ended early, and why.
    """

    announced: tuple[str, ...] = ()
    known: Mapping[str, Known] = field(default_factory=dict)
    held: tuple[str, ...] = ()
    recovered: tuple[Recovery, ...] = ()
    owed: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    lifted: tuple[str, ...] = ()

    @property
    def is_needed(self) -> bool:
        """Whether there is anything that somebody must be told."""
        return bool(self.announced or self.recovered)

    def for_channel(self, name: str) -> News | None:
        """Return the news of one channel, with what it failed to tell before; None where there is nothing to tell."""
        owed = self.owed.get(name, ())
        if not (self.is_needed or owed):
            return None
        return News(
            (*self.announced, *(key for key in owed if key not in self.announced)),
            self.known, self.held, self.recovered, {}, self.lifted,
        )  # fmt: skip
