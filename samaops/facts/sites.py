"""What is observed of a whole site by another samaops: its report."""

from __future__ import annotations

from msgspec import Struct

from samaops.model.report import Report


class SiteFacts(Struct, frozen=True):
    """A site, and what was found there.

    ``by`` is where its samaops ran, "" for this machine; of a look that ``is_saved``, its file.
    """

    name: str
    by: str
    report: Report
    is_saved: bool = False
