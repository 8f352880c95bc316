"""What is asked of a routine, the run that does it, and how that ended."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from samaops.model.bulletin import Bulletin
from samaops.model.plan import Plan
from samaops.model.report import Report
from samaops.model.routine import Routine, Task
from samaops.site.site import Site
from samaops.workflows.maintenance.limit import Limit


class Request(Struct, frozen=True):
    """What is asked for. ``consent`` raises RefusedError when a plan may not be run; ``compose`` words a report.

    ``note`` says what else there is to say of a run that fails. ``is_watched``: somebody sits there, and sees how the run
    itself ends. ``last`` does the tasks that come last, and returns what of that failed.
    """

    consent: Callable[[Plan], None]
    compose: Callable[[Report, str], Bulletin]
    only: tuple[str, ...] = ()
    dry_run: bool = False
    note: Callable[[str], None] = lambda _note: None
    is_watched: bool = False
    last: Callable[[Site], tuple[str, ...]] | None = None


class Outcome(Struct, frozen=True):
    """How a run ended: its report, its exit code where that is not told by the report, and what else to say.

    ``end`` is to be called when the answer was given, or with why it could not be: it tells the dead man's switch, and
    returns what else there is to say then.
    """

    report: Report
    exit_code: int | None = None
    notes: tuple[str, ...] = ()
    end: Callable[[str], tuple[str, ...]] = lambda _failure: ()


class Run(Struct, frozen=True):
    """One run of a routine on a site whose limits are the routine's: the tasks that were chosen, and its time.

    ``limit`` is that of all that is done; ``whole`` has the time in which somebody is told, besides.
    """

    site: Site
    routine: Routine
    tasks: tuple[Task, ...]
    request: Request
    limit: Limit
    whole: Limit
