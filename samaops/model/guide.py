"""A playbook as people follow it by hand: texts in their language, commands with the real names."""

from __future__ import annotations

from msgspec import Struct, field


class GuideHop(Struct, frozen=True):
    """One hop: what it means, and the commands that show it."""

    id: str
    title: str
    meaning: str
    commands: tuple[str, ...]


class GuideFix(Struct, frozen=True):
    """One fix: through samaops, by hand, or the text to send."""

    id: str
    title: str
    risk: str
    command: str
    by_hand: tuple[str, ...] = ()
    text: str = ""


class GuideCause(Struct, frozen=True):
    """One root cause and the fixes that help, least risky first."""

    id: str
    meaning: str
    fixes: tuple[str, ...]


class Guide(Struct, frozen=True):
    """A whole playbook; ``see_also`` are those whose causes may be behind its symptom too."""

    id: str
    title: str
    meaning: str
    hops: tuple[GuideHop, ...] = field(name="stations")  # as programs read it
    causes: tuple[GuideCause, ...]
    fixes: tuple[GuideFix, ...]
    see_also: tuple[str, ...] = ()
