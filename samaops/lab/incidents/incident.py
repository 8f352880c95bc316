"""What an incident is: a fault, the texts that describe it, and the root that ``diagnose`` must name for it."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct
from msgspec.structs import replace

from samaops.lab.incidents.site import FAULTS, Site

Act = Callable[[Site], object]
Evidence = Callable[[Site], str | None]


class Root(Struct, frozen=True):
    """What ``diagnose`` must name: the cause and its subject, and the worst status of the report."""

    cause: str
    subject: str
    status: str = "critical"


class Fault(Struct, frozen=True):
    """How something is broken, seen and mended; ``mechanisms`` has those that recur.

    ``evidence`` looks over the real protocols, changes nothing, and returns what it saw, None when the fault is not
    there. ``heal`` works whether the fault is live or not, also when the lab was restarted meanwhile, and returns
    when what was broken serves again. ``refuse`` returns why this lab cannot have the fault, None when it can.
    """

    break_: Act
    evidence: Evidence
    heal: Act
    refuse: Evidence = lambda _site: None

    def then(self, break_: Act = lambda _site: None, heal: Act = lambda _site: None) -> Fault:
        """Return this fault with more to do: once it is broken, and once it is healed."""

        def break_more(site: Site) -> None:
            self.break_(site)
            break_(site)

        def heal_more(site: Site) -> None:
            self.heal(site)
            heal(site)

        return replace(self, break_=break_more, heal=heal_more)


class Incident(Struct, frozen=True):
    """One fault that the lab can have. Its texts are marked for translation."""

    id: str
    runbook: str
    title: str
    does: str
    notice: str
    root: Root
    fault: Fault
    # The root where the lab runs plain processes in place of containers, when it is another.
    root_of_processes: Root | None = None

    def expected(self, site: Site) -> Root:
        """Return the root that this lab's ``diagnose`` must name."""
        if self.root_of_processes is not None and not site.has_containers:
            return self.root_of_processes
        return self.root

    def refuse(self, site: Site) -> str | None:
        """Return why this lab cannot have the incident; None when it can."""
        return self.fault.refuse(site)

    def evidence(self, site: Site) -> str | None:
        """Return what is seen of the fault; None when it is not there, or when what would show it does not answer."""
        try:
            return self.fault.evidence(site)
        except FAULTS:
            return None
