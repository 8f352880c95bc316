"""How a run ended, or why it does not begin, in words."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from datetime import datetime

from samaops.errors import LOCKED
from samaops.facts.schedule import FAILED, INTERRUPTED, KILLED, OK, SKIPPED, WARNING, WATCHING, Pause
from samaops.i18n import _
from samaops.journal.ledger import ALL
from samaops.model.quantities import moment
from samaops.workflows.schedule.processes import Ended

# As docs/machines.md has the exit codes: of another run that holds the lock it says who that is.
_STATES = {0: OK, 1: WARNING, LOCKED: SKIPPED}


def paused(pauses: Sequence[Pause], job: str, now: datetime) -> str:
    """Say why a job is paused; "" when it is not."""
    for pause in pauses:
        is_meant = pause.job == job or (pause.job == ALL and job not in WATCHING)
        if is_meant and pause.until > now:
            text = _("paused by {user} until {moment}: {reason}")
            return text.format(user=pause.by, moment=moment(pause.until.timestamp()), reason=pause.reason)
    return ""


def outcome_of(ended: Ended) -> tuple[str, str]:
    """Return how a run ended by its exit code (contract: 0 ok, 1 warning), and why in words."""
    code, words = ended.exit_code, ended.words
    if code is None:
        return INTERRUPTED, _("it ended, and nobody saw how")
    if code in _STATES:
        return _STATES[code], words if code else ""
    number = -code if code < 0 else code - 128
    if number == signal.SIGINT:
        return INTERRUPTED, words
    if 0 < number < signal.NSIG:
        return KILLED, _("ended by signal {number}").format(number=number)
    return FAILED, words or _("exit code {code}").format(code=code)
