"""What can be configured of a site that only its own control machine reaches: ``[satellite]``."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from samaops.config.fields import Seconds, Section


class Satellite(Section):
    """Another samaops, called over SSH; it looks at the site, and nobody else does (docs/sites.md)."""

    # The control machine, one of [servers].
    server: str = "control"
    # How samaops is called there; with its own --site where that machine has several.
    command: Annotated[str, Field(min_length=1, pattern=r"^[^\x00-\x1f]+$")] = "samaops"
    # How long its samaops may take besides the time that it looks: to begin, and to answer.
    timeout: Seconds = 20.0
    # An answer whose look is further from now than this is not believed: an old one, or a clock that is wrong.
    most_apart: Seconds = 900.0
