"""How far a long operation has come, in a sentence, for whoever watches."""

from __future__ import annotations

_latest = ""


def tell(text: str) -> None:
    """Say how far the operation has come; an empty text when it has ended."""
    global _latest  # noqa: PLW0603 - one change per process, one operation at a time
    _latest = text


def latest() -> str:
    """Return what was said last."""
    return _latest
