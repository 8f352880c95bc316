"""What is masked before anything is judged, journaled or shown: every secret that this run has read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from samaops.config import keys, masking
from samaops.site.site import Site


def redacted(value: Any, site: Site) -> Any:
    """Mask secrets in texts from outside, except one that is an ordinary word of this configuration."""
    words = [str(value) for _key, value in keys.walk(site.settings) if isinstance(value, (str, Path))]
    secrets = [secret for secret in masking.known() if not any(secret in word for word in words)]
    return masking.redacted(value, secrets)
