"""Digests of what must not be kept: two values can be compared, and neither can be told from its digest.

The key lies beside the journal, in a file that only its owner can read. It never leaves this machine.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import re
import secrets
from functools import cache
from pathlib import Path

from samaops.config import files, places
from samaops.errors import ConfigurationError
from samaops.facts.portrait import TEXT_CHARACTERS

logger = logging.getLogger(__name__)
_KEY_BYTES = 32
# Where no key can be kept: digests then hold for this run only.
_OF_THIS_RUN = secrets.token_bytes(_KEY_BYTES)
# Names whose values are, or hold, what nobody but their owner may know.
_SECRET_NAME = re.compile(
    r"pass|secret|token|auth|cred|conninfo|command|private|cookie|dsn|(^|[_.-])keys?([_.-]|$)", re.IGNORECASE
)


def of(value: str) -> str:
    """Return the digest of a value: ``#``, what tells the key, and what tells the value."""
    return f"#{_hex('', 4)}.{_hex(value, 16)}"


def unless_harmless(name: str, value: str) -> str:
    """Return a setting as it is, cut with a digest where it is long; its digest where its name is that of a secret."""
    if _SECRET_NAME.search(name) or "://" in value:
        return of(value)
    return bounded(value)


def bounded(value: str) -> str:
    """Return a text as it is, or its beginning with what tells the whole of it from another."""
    if len(value) <= TEXT_CHARACTERS:
        return value
    return f"{value[: TEXT_CHARACTERS - 10]}… {hashlib.sha256(value.encode()).hexdigest()[:8]}"


def _hex(value: str, length: int) -> str:
    return hmac.new(_key(_directory()), value.encode(), hashlib.sha256).hexdigest()[:length]


def _directory() -> str:
    try:
        return str(places.state())
    except ConfigurationError:
        return ""


@cache
def _key(directory: str) -> bytes:
    """Return this user's key, made when there is none; digests of another key are told from those of this one."""
    if not directory:
        return _OF_THIS_RUN
    path = Path(directory) / "digest.key"
    try:
        if not files.exists(path):
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            files.write_private(path, secrets.token_bytes(_KEY_BYTES))
        key = files.read(path, _KEY_BYTES)
    except OSError as error:
        logger.debug("no key for digests: %s", error)
        return _OF_THIS_RUN
    return key if len(key) == _KEY_BYTES else _OF_THIS_RUN
