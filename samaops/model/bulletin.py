"""What a run tells those who do not look at a screen."""

from __future__ import annotations

from msgspec import Struct


class Bulletin(Struct, frozen=True):
    """A run in plain text: one line for the subject, what is wrong for mail and chat, the subject before it, everything for the log."""

    subject: str
    summary: str
    log: str
