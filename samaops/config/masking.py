"""Every secret that was read in this process, so that none can reach a log, a screen or a saved file."""

from __future__ import annotations

import html
import json
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping
from enum import Enum
from typing import Any
from urllib.parse import quote

from msgspec import Struct
from msgspec.structs import replace

MASK = "********"
# A shorter secret stands by chance in too many harmless words.
SHORTEST_MASKED = 4
_SHORTEST_ENCODED = 8

_known: set[str] = set()


def remember(secret: str) -> None:
    """Note a secret's value; from now on ``mask`` hides it, as it is and as other texts quote or encode it."""
    if len(secret) >= SHORTEST_MASKED:
        _known.update({secret, *_written(secret), *_in_base64(secret)})


def _written(secret: str) -> Iterator[str]:
    """Yield a secret as it stands in a URL, in JSON and HTML, and as Python shows texts and bytes."""
    content = secret.encode("utf-8", "surrogateescape")
    yield quote(content, safe="")
    yield from (json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1], html.escape(secret))
    yield from (repr(secret)[1:-1], repr(content)[2:-1])


def _in_base64(secret: str) -> Iterator[str]:
    """Yield what is the same of a secret in base64 wherever it begins: HTTP sends it behind a user's name."""
    content = secret.encode("utf-8", "surrogateescape")
    for before in range(3):
        encoded = b64encode(b"\0" * before + content).decode("ascii")
        # The first characters hold bits of what is before, the last ones of what comes after.
        inner = encoded[-(-before * 8 // 6) : (before + len(content)) * 8 // 6]
        if len(inner) >= _SHORTEST_ENCODED:
            yield inner


def known() -> tuple[str, ...]:
    """Return all secrets read so far, longest first, so that no rest of a longer one stays."""
    return tuple(sorted(_known, key=len, reverse=True))


def mask(text: str) -> str:
    """Return a text with every known secret replaced."""
    for secret in known():
        text = text.replace(secret, MASK)
    return text


def redacted(value: Any, secrets: Iterable[str]) -> Any:
    """Return facts with every occurrence of some secrets replaced, in any text at any depth.

    Clients already leave secrets out; this holds for what comes from outside, such as a query or a command
    line that has one in it.
    """
    known = tuple(secrets)
    return _redacted(value, known) if known else value


def _redacted(value: Any, secrets: tuple[str, ...]) -> Any:
    if isinstance(value, Enum):  # some are texts too, and must stay what they are
        return value
    if isinstance(value, str):
        for secret in secrets:
            value = value.replace(secret, MASK)
        return value
    if isinstance(value, Struct):
        return replace(
            value, **{name: _redacted(getattr(value, name), secrets) for name in value.__struct_fields__}
        )
    if isinstance(value, Mapping):
        return {_redacted(key, secrets): _redacted(element, secrets) for key, element in value.items()}
    if isinstance(value, (tuple, list, frozenset, set)):
        return type(value)(_redacted(element, secrets) for element in value)
    return value
