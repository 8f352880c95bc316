"""What a month was: its incidents, what was changed, what ran by itself, how the backups are, what is new on the servers."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from samaops.facts.availability import Availability, Budget, Capacity, Growth, Kpi, Period
from samaops.facts.backup_run import Run as BackupRun
from samaops.facts.observation import Moment
from samaops.facts.schedule import Run
from samaops.model.history import PastChange

# The parts that are gathered apart: each may be missing for a reason of its own.
AVAILABILITY, KPIS, CHANGES, RUNS, BACKUPS, CAPACITY, SERVERS = (
    "availability", "kpi", "changes", "maintenance", "backups", "capacity", "servers",
)  # fmt: skip


class Incident(Struct, frozen=True):
    """A time in which something was down. ``service_minutes`` are those that customers noticed, ``spent_minutes`` those of the budget.

    ``cause`` is what the runs of that time named, or what the repair was for; "" where nothing says it. ``repairs`` are the
    changes that were made in it to repair it, ``is_verified`` whether one of them was seen to help. It ``is_over`` where all
    of it was seen up again; else ``until`` is when it was seen down last, and nothing has repaired it yet.
    """

    since: Moment
    until: Moment
    subjects: tuple[str, ...]
    service_minutes: int = 0
    spent_minutes: int = 0
    is_over: bool = True
    cause: str = ""
    repairs: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()
    who: tuple[str, ...] = ()
    is_verified: bool | None = None

    @property
    def minutes(self) -> int:
        """How long it was."""
        return round((self.until - self.since).total_seconds() / 60)


class SeenFinding(Struct, frozen=True):
    """What a run of maintenance found and kept. Older runs kept no ``title``."""

    code: str
    subject: str
    status: str
    value: float | None = None
    title: str = ""


class SeenCause(Struct, frozen=True):
    """A root cause that a run of maintenance named."""

    id: str
    subject: str
    title: str
    verdict: str = ""


class RoutineRun(Struct, frozen=True):
    """A run of maintenance as it was kept at its end, ``at``. ``result`` is its status."""

    at: Moment
    command: str
    result: str
    is_failed: bool = False
    seconds: float | None = None
    findings: tuple[SeenFinding, ...] = ()
    causes: tuple[SeenCause, ...] = ()


class AccessChange(Struct, frozen=True):
    """What is new or gone since the run before: ``what`` is login, administrator or key."""

    server: str
    what: str
    name: str
    is_new: bool


class MonthlyReport(Struct, frozen=True):
    """All of a month that is known. ``missing`` says of each part that could not be looked at why; it is then empty.

    ``servers`` are the last monthly and daily runs in which the servers were looked at; ``access`` is None where there is
    nothing to compare with. ``planned_unknown`` says why the planned times are not known, "" where they are.
    """

    period: Period
    made_at: Moment
    availability: tuple[Availability, ...] = ()
    budget: Budget | None = None
    kpis: tuple[Kpi, ...] = ()
    incidents: tuple[Incident, ...] = ()
    changes: tuple[PastChange, ...] = ()
    runs: tuple[Run, ...] = ()
    routines: tuple[RoutineRun, ...] = ()
    backups: tuple[BackupRun, ...] = ()
    drilled: BackupRun | None = None
    capacity: tuple[Capacity, ...] = ()
    growth: tuple[Growth, ...] = ()
    servers: RoutineRun | None = None
    access: tuple[AccessChange, ...] | None = None
    missing: Mapping[str, str] = {}
    planned_unknown: str = ""
