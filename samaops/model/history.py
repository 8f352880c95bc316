"""What was changed, as people and programs are shown it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from msgspec import Struct, field

from samaops.i18n import N_

STATUS_WORDS = {
    "verified": N_("done and verified"),
    "applied": N_("done; nothing of it can be verified"),
    "failed": N_("failed, not all of it taken back"),
    "reverted": N_("failed, and taken back"),
    "refused": N_("not done"),
    "running": N_("running now"),
    "interrupted": N_("interrupted"),
    "unreadable": N_("cannot be read"),
}


def local(at: str) -> str:
    """Return a moment of ISO 8601 by the clock of whoever reads it, with the name of its zone; as it is when it is none."""
    try:
        moment = datetime.fromisoformat(at).astimezone()
    except (ValueError, OverflowError):
        return at
    return f"{moment:%Y-%m-%d %H:%M:%S %Z}"


class Moment(Struct, frozen=True):
    """One event of a change. ``details`` are plain JSON values."""

    at: str
    kind: str
    step: int | None
    text: str
    details: Mapping[str, Any] = field(default_factory=dict)


class PastChange(Struct, frozen=True):
    """One change of the history.

    ``status`` is verified, applied, failed, reverted, refused, running, interrupted, or unreadable: then ``reason`` says
    why this version does not understand what the journal keeps of it.

    ``verb`` is what was asked for as its plan has it, ``command`` what a person types to ask for it again; "" when
    nothing that can be typed does that any more.
    """

    id: str
    at: str
    user: str
    host: str
    verb: str
    title: str
    status: str
    reason: str
    unfinished_step: str
    undoes: str | None
    undone_by: str | None
    moments: tuple[Moment, ...] = ()
    command: str = ""
