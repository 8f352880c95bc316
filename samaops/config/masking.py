"""Every secret that was read in this process, so that none can reach a log, a screen or a saved file."""

from __future__ import annotations

from urllib.parse import quote

MASK = "********"
# A shorter secret stands by chance in too many harmless words.
SHORTEST_MASKED = 4

_known: set[str] = set()


def remember(secret: str) -> None:
    """Note a secret's value; from now on ``mask`` hides it, as it is and as it stands in a URL."""
    if len(secret) >= SHORTEST_MASKED:
        _known.update({secret, quote(secret, safe="")})


def known() -> tuple[str, ...]:
    """Return all secrets read so far, longest first, so that no rest of a longer one stays."""
    return tuple(sorted(_known, key=len, reverse=True))


def mask(text: str) -> str:
    """Return a text with every known secret replaced."""
    for secret in known():
        text = text.replace(secret, MASK)
    return text
