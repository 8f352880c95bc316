"""The last look at a site that was all well: how the site was set up then, to tell what is different now.

One file a site, beside the history; only its owner can read it. It holds no secret: what is one was made a digest
when it was read. Where it cannot be written, nothing is kept, and nothing fails.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path
from urllib.parse import quote

from msgspec import Struct

from samaops import __version__
from samaops.config import files, places
from samaops.errors import ConfigurationError
from samaops.facts.observation import Moment
from samaops.facts.portrait import Trait
from samaops.model.encoding import decode, encode, keyed

SCHEMA = "samaops/well/1"
# The lab's has 100 kB; this is for many servers with many containers and tables.
_LARGEST_BYTES = 8 * 1024 * 1024
_NAME_CHARACTERS = 150
logger = logging.getLogger(__name__)


class WellLook(Struct, frozen=True):
    """When all was well, and how the site was set up: part, thing, attribute."""

    at: Moment
    portrait: dict[str, dict[str, dict[str, Trait]]]


def path_of(site: str) -> Path:
    """Return where the last well look of a site is kept."""
    return places.state() / "well" / f"{quote(site, safe='')[:_NAME_CHARACTERS]}.json"


def load(site: str) -> WellLook | None:
    """Return the last well look of a site by this version; None when there is none, or what is there is not one."""
    try:
        path = path_of(site)
        document = keyed(json.loads(files.read(path, _LARGEST_BYTES)))
        # Another version may have seen more of a thing, or less: that is no difference of the thing.
        if (document.get("schema"), document.get("samaops"), document.get("site")) == (
            SCHEMA,
            __version__,
            site,
        ):
            return decode(document["look"], WellLook)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, RecursionError, ConfigurationError) as error:
        logger.debug("the last well look of %s cannot be read: %s", site, error)
    return None


def keep(site: str, look: WellLook) -> None:
    """Keep a look in the place of the one before."""
    document = {"schema": SCHEMA, "samaops": __version__, "site": site, "look": encode(look)}
    content = json.dumps(document).encode("ascii")
    if len(content) > _LARGEST_BYTES:
        logger.debug("the look of %s is too large to be kept: %d bytes", site, len(content))
        return
    try:
        path = path_of(site)
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        files.write_private(path, content)
    except (OSError, ConfigurationError) as error:
        logger.debug("the look of %s cannot be written: %s", site, error)
