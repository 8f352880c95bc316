"""One line of a timeline, of whatever kind."""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct

from samaops.i18n import N_
from samaops.model.status import Status

# The kinds of what happened.
STATE, FINDING, CAUSE, LOGIN, RELEASE, CHANGE, JOB = (
    "state", "finding", "cause", "login", "release", "change", "job",
)  # fmt: skip
KIND_WORDS = {
    STATE: N_("state"),
    FINDING: N_("finding"),
    CAUSE: N_("cause"),
    LOGIN: N_("log-in"),
    RELEASE: N_("release"),
    CHANGE: N_("change"),
    JOB: N_("job"),
}
# Where two things happened in one moment: what was seen first, then what was done.
ORDER = (STATE, FINDING, CAUSE, LOGIN, RELEASE, JOB, CHANGE)
OK, WARNING, CRITICAL = Status.OK.value, Status.WARNING.value, Status.CRITICAL.value


class Event(Struct, frozen=True):
    """Something that happened. ``level`` is how bad it is, ``command`` shows more of it, ``run`` says of which run a job's is."""

    at: datetime
    kind: str
    subject: str
    text: str
    level: str
    who: str = ""
    command: str = ""
    run: str = ""
