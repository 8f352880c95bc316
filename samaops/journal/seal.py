"""Proof that samaops wrote a change into a shared history: whoever may write there could have put it in, too.

The plan of a change carries a code (HMAC-SHA-256) that is made with a key the database does not have: one of this user on
this machine, or ``[history] key``, which all control machines share. A history in a file needs none: who may write it
is its owner.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import secrets
from collections.abc import Mapping
from typing import Any

from samaops.config import files, places
from samaops.config.settings import Settings

# Of the first event of a change.
FIELD = "seal"
_KEY_BYTES = 32
_MOST_BYTES = 1024
logger = logging.getLogger(__name__)


def key_of(settings: Settings, *, is_to_be_made: bool = False) -> bytes | None:
    """Return the key; None where there is none, or where it cannot be kept. Raises ConfigurationError for a bad secret."""
    if settings.history.key is not None:
        return settings.history.key.reveal().encode()
    file = places.state() / "history.key"
    try:
        if not files.exists(file):
            if not is_to_be_made:
                return None
            file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            files.write_private(file, secrets.token_hex(_KEY_BYTES).encode())
        return files.read_trusted(file, _MOST_BYTES).strip() or None
    except OSError as error:
        logger.warning("the key of the history cannot be used: %s: %s", file, error)
        return None


def sealed(details: Mapping[str, Any], key: bytes, site: str, change: str) -> dict[str, Any]:
    """Return the first event of a change with its code."""
    return {**details, FIELD: _code(details, key, site, change)}


def is_sealed(details: Mapping[str, Any], key: bytes, site: str, change: str) -> bool:
    """Return whether this key has made the code of these details."""
    code = details.get(FIELD)
    bare = {name: value for name, value in details.items() if name != FIELD}
    return isinstance(code, str) and hmac.compare_digest(
        code.encode(errors="replace"), _code(bare, key, site, change).encode()
    )


def _code(details: Mapping[str, Any], key: bytes, site: str, change: str) -> str:
    plain = json.dumps([site, change, details], sort_keys=True, ensure_ascii=False, default=str)
    return hmac.new(key, plain.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()
