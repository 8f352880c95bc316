"""A change before, while and after it is made."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Risk(str, Enum):
    """What users notice of a change."""

    SAFE = "safe"  # reversible, nobody notices
    DISRUPTIVE = "disruptive"  # users notice for a moment
    DESTRUCTIVE = "destructive"  # data is lost

    def __str__(self) -> str:
        return self.value


class ActionStatus(str, Enum):
    """How far an action has come."""

    PLANNED = "planned"
    APPLIED = "applied"
    VERIFIED = "verified"
    FAILED = "failed"
    REVERTED = "reverted"
    REFUSED = "refused"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True)
class Action:
    """One step of a plan, with the exact commands and how to take it back."""

    id: str
    title: str
    risk: Risk
    status: ActionStatus = ActionStatus.PLANNED
    commands: tuple[str, ...] = ()
    undo: tuple[str, ...] = ()
    journal: str | None = None
