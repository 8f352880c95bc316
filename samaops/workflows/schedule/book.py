"""The ledger as a scheduler writes it: what the database does not take now is kept here, and written when it does.

Jobs run whether or not their rows can be written: one of them may be what repairs the database.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path

from msgspec.structs import replace

from samaops.config import files
from samaops.errors import reason_of
from samaops.facts.schedule import Leader, Pause, Run
from samaops.i18n import _
from samaops.journal.database import HistoryError
from samaops.journal.ledger import Claim, Ledger
from samaops.journal.owner import Owner
from samaops.model.encoding import MisfitError, decode, encode

logger = logging.getLogger(__name__)
# Rows that wait for the database; older ones are dropped, and that is told.
_MOST_UNWRITTEN = 5000
_LARGEST_BYTES = 16 * 1024 * 1024


class Book:
    """The ledger of a site, and what of it is not written yet. ``spool`` is the file that keeps that, ``tell`` says what is lost."""

    def __init__(
        self, ledger: Ledger, spool: Path | None = None, tell: Callable[[str], None] = lambda _text: None
    ) -> None:
        self._ledger = ledger
        self._spool = spool
        self._tell = tell
        self._unwritten: dict[int, Run] = {}
        self._late: dict[int, Run] = {}
        self._moments: set[tuple[str, datetime]] = set()
        # A row that got its number later: what it was known by until then.
        self._numbers: dict[int, int] = {}
        self._next = -1
        self._is_lost = False
        self._load()

    @property
    def is_shared(self) -> bool:
        """Whether other machines write it too."""
        return self._ledger.is_shared

    def lead(self, owner: Owner, now: datetime, zone: str) -> Leader | None:
        """Take or renew the lease. Raises HistoryError."""
        leader = self._ledger.lead(owner, now, zone)
        self._write_what_waits()
        return leader

    def resign(self, leader: Leader, now: datetime) -> None:
        """Give the lease back."""
        try:
            self._ledger.resign(leader, now)
        except HistoryError as error:
            logger.info("the lease ends by itself: %s", error)

    def leader(self) -> Leader | None:
        """Return who leads, or led last; None where that is nobody, or cannot be read."""
        try:
            return self._ledger.leader()
        except HistoryError as error:
            self._note(error)
            return None

    def claim(self, run: Run) -> Claim:
        """Write the row of a run before it begins; where that is not possible now, keep it."""
        try:
            claim = self._ledger.claim(run)
        except HistoryError as error:
            self._note(error)
            return self._kept(run)
        self._is_lost = False
        return claim

    def update(self, run: Run) -> None:
        """Write what is known of a run now."""
        number = self._numbers.get(run.number, run.number)
        run = replace(run, number=number)
        if number < 0:
            self._unwritten[number] = run
            self._save()
            return
        try:
            self._ledger.update(run)
            self._late.pop(number, None)
        except HistoryError as error:
            self._note(error)
            self._late[number] = run
            self._save()

    def last(self, job: str, count: int) -> Sequence[Run]:
        """Return the last rows of a job, newest first; none where they cannot be read."""
        try:
            return self._ledger.last(job, count)
        except HistoryError as error:
            self._note(error)
            return ()

    def open_runs(self) -> Sequence[Run]:
        """Return the runs that wait or go on, by their rows; none where these cannot be read."""
        try:
            return self._ledger.open_runs()
        except HistoryError as error:
            self._note(error)
            return ()

    def last_planned(self, job: str) -> datetime | None:
        """Return the newest moment of a job that has a row; None where there is none. Raises HistoryError."""
        written = self._ledger.last_planned(job)
        kept = [planned for name, planned in self._moments if name == job]
        return max((*kept, *([written] if written else [])), default=None)

    def known_since(self, jobs: Sequence[str], now: datetime) -> Mapping[str, datetime]:
        """Return since when each job is known, from now on the new ones. Raises HistoryError."""
        return self._ledger.known_since(jobs, now, keep=True)

    def pauses(self) -> Sequence[Pause] | None:
        """Return what is paused; None where that cannot be read."""
        try:
            return self._ledger.pauses()
        except HistoryError as error:
            self._note(error)
            return None

    def prune(self, now: datetime, often: Sequence[str]) -> None:
        """Take out rows that are too old."""
        try:
            self._ledger.prune(now, often)
        except HistoryError as error:
            self._note(error)

    def _kept(self, run: Run) -> Claim:
        if (run.job, run.planned_at) in self._moments:
            return Claim(None)
        self._moments.add((run.job, run.planned_at))
        kept = replace(run, number=self._next)
        self._next -= 1
        self._unwritten[kept.number] = kept
        while len(self._unwritten) > _MOST_UNWRITTEN:
            oldest = self._unwritten.pop(max(self._unwritten))
            self._tell(
                _("a row of the ledger is lost: {job}, {moment}").format(
                    job=oldest.job, moment=oldest.planned_at
                )
            )
        self._save()
        return Claim(kept)

    def _write_what_waits(self) -> None:
        for number in sorted(self._unwritten, reverse=True):
            run = self._unwritten[number]
            claim = self._ledger.claim(replace(run, number=0, epoch=0))
            if claim.run is not None:
                self._numbers[number] = claim.run.number
                if run.epoch:
                    self._ledger.update(replace(run, number=claim.run.number))
            del self._unwritten[number]
        for number, run in list(self._late.items()):
            self._ledger.update(run)
            del self._late[number]
        if self._is_lost:
            self._tell(_("the ledger can be written again"))
            self._is_lost = False
        if self._moments:
            self._moments.clear()
            self._save()

    def _note(self, error: HistoryError) -> None:
        """Say once that the ledger cannot be written."""
        logger.warning("the ledger: %s", error)
        if not self._is_lost:
            text = _("the ledger cannot be used now, the jobs run all the same: {reason}")
            self._tell(text.format(reason=error.message))
        self._is_lost = True

    def _save(self) -> None:
        if self._spool is None:
            return
        rows = [encode(run) for run in (*self._unwritten.values(), *self._late.values())]
        try:
            self._spool.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            files.write_private(self._spool, json.dumps(rows).encode())
        except OSError as error:
            logger.warning("%s cannot be written: %s", self._spool, reason_of(error))

    def _load(self) -> None:
        """Take what an earlier process could not write."""
        if self._spool is None:
            return
        try:
            rows = json.loads(files.read(self._spool, _LARGEST_BYTES))
            for run in (decode(row, Run) for row in rows):
                if run.number > 0:
                    self._late[run.number] = run
                else:
                    self._unwritten[run.number] = run
                    self._moments.add((run.job, run.planned_at))
        except FileNotFoundError:
            return
        except (OSError, ValueError, TypeError, MisfitError) as error:
            logger.warning("%s cannot be read: %s", self._spool, error)
        self._next = min(self._unwritten, default=0) - 1
