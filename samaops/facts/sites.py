"""What is observed of a whole site by another samaops: its report."""

from __future__ import annotations

import ipaddress
from contextlib import suppress

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

    @property
    def is_far(self) -> bool:
        """Whether another machine looked: what is 127.0.0.1 there is not what is so here."""
        return bool(self.by) and not self.is_saved


def is_loopback(address: str) -> bool:
    """Return whether an address, with or without a port and a way there, is one that each machine has for itself."""
    last = address.rpartition(" ")[2]
    for host in (last, last.rpartition(":")[0]):
        with suppress(ValueError):
            return ipaddress.ip_address(host.strip("[]")).is_loopback
        if host == "localhost":
            return True
    return False
