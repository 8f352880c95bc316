"""The last look at each site as a whole: when, how it was, and since when each of its causes has been seen.

One file a site, beside the history; only its owner can read it. Where it cannot be written, nothing is kept, and nothing
fails.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Annotated
from urllib.parse import quote

from msgspec import Meta, Struct

from samaops.config import files, places
from samaops.errors import ConfigurationError
from samaops.model.encoding import decode, encode, keyed
from samaops.model.status import Status

SCHEMA = "samaops/last-look/1"
_LARGEST_BYTES = 1024 * 1024
_MOST_CAUSES = 500
_NAME_CHARACTERS = 150
Moment = Annotated[datetime, Meta(tz=True)]
logger = logging.getLogger(__name__)


class LastLook(Struct, frozen=True):
    """``since`` holds when each cause was first seen, of those that the last look still saw; by ``id@subject``."""

    at: Moment
    status: Status
    since: dict[str, Moment]


def path_of(site: str) -> Path:
    """Return where the last look at a site is kept. Raises ConfigurationError for a user without a place of his own."""
    return places.state() / "looks" / f"{quote(site, safe='')[:_NAME_CHARACTERS]}.json"


def load(site: str) -> LastLook | None:
    """Return the last look at a site; None when there is none, or what is there is not one."""
    try:
        document = keyed(json.loads(files.read(path_of(site), _LARGEST_BYTES)))
        if (document.get("schema"), document.get("site")) == (SCHEMA, site):
            return decode(document["look"], LastLook)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, RecursionError, ConfigurationError) as error:
        logger.debug("the last look at %s cannot be read: %s", site, error)
    return None


def keep(site: str, at: datetime, status: Status, causes: Iterable[str]) -> LastLook:
    """Keep a look in the place of the one before, and return it; what was seen then has been seen since then."""
    before = load(site)
    known = before.since if before else {}
    since = {cause: min(known.get(cause, at), at) for cause in list(dict.fromkeys(causes))[:_MOST_CAUSES]}
    look = LastLook(at, status, since)
    document = {"schema": SCHEMA, "site": site, "look": encode(look)}
    try:
        path = path_of(site)
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        files.write_private(path, json.dumps(document).encode("ascii"))
    except (OSError, ConfigurationError) as error:
        logger.debug("the look at %s cannot be written: %s", site, error)
    return look
