"""What an incident is: how it is caused, how it is seen to be live, how it is undone, and what root it must give."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from samaops.lab.incidents.site import Site


class Root(Struct, frozen=True):
    """What ``diagnose`` must name: the cause and its subject, and the worst status of the report."""

    cause: str
    subject: str
    status: str = "critical"


class Incident(Struct, frozen=True):
    """One fault that the lab can have. Its texts are marked for translation.

    ``is_live`` looks over the real protocols and returns what it saw, None when the fault is not there; it
    changes nothing and does not raise. ``heal`` works whether the fault is live or not, also when the lab was
    restarted meanwhile, and returns when what it broke serves again.
    """

    id: str
    runbook: str
    title: str
    does: str
    notice: str
    root: Root
    break_: Callable[[Site], None]
    is_live: Callable[[Site], str | None]
    heal: Callable[[Site], None]
    # Why it cannot be caused in this lab; None when it can.
    refuse: Callable[[Site], str | None] = lambda _site: None
    # The root where the lab runs plain processes in place of containers, when it is another.
    root_of_processes: Root | None = None

    def expected(self, site: Site) -> Root:
        """Return the root that this lab's ``diagnose`` must name."""
        if self.root_of_processes is not None and not site.has_containers:
            return self.root_of_processes
        return self.root
