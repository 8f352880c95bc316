"""The ledger of what runs by itself, in the database of the history: each run of a job, who leads (``lease.py``), what is paused.

A run's row is written before the run. No moment of a job has two rows, and only the leader whose epoch is the newest writes
rows of planned runs: a scheduler that was frozen past its lease, and wakes, begins nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from msgspec.structs import replace

from samaops.errors import UnavailableError
from samaops.facts.schedule import OPEN, STATES, Leader, Pause, Run
from samaops.journal import columns, lease
from samaops.journal import ledger_tables as tables
from samaops.journal.columns import moment, text, text_or_none
from samaops.journal.database import HistoryError, failures, readable
from samaops.journal.history import Journal
from samaops.journal.owner import Owner
from samaops.model.encoding import decode

if TYPE_CHECKING:
    from sqlalchemy import Connection

ALL = "all"
_PAUSE, _JOB = "pause:", "job:"
# As the records; a job that runs every hour or more often is kept for a shorter time where all went well.
KEPT_DAYS, KEPT_OFTEN_DAYS = 400, 14


class Claim(Struct, frozen=True):
    """What became of a row that was to be written: the run with its number, or whether we do not lead any more."""

    run: Run | None
    has_lost_lead: bool = False


class Ledger:
    """The ledger of one site. Every method raises HistoryError when the database cannot be read or written."""

    def __init__(self, journal: Journal, site: str) -> None:
        self._journal = journal
        self._site = site
        self._is_made = False

    @property
    def is_shared(self) -> bool:
        """Whether other machines write it too."""
        return self._journal.is_shared

    def prepare(self) -> None:
        """Make the tables where they are missing."""
        if self._is_made:
            return
        self._journal.prepare_tables(tables.runs(), tables.states())
        self._is_made = True

    def claim(self, run: Run) -> Claim:
        """Write the row of a run before it begins; not where that moment of the job has a row, or another one leads now."""
        from sqlalchemy import func, literal, select
        from sqlalchemy.exc import IntegrityError

        self.prepare()
        table = tables.runs()
        values = {"site": self._site, **_row(run)}
        columns = [literal(value, table.c[name].type).label(name) for name, value in values.items()]
        chosen = select(*columns)
        if run.epoch:
            chosen = chosen.where(lease.is_held(self._site, run.epoch))
        try:
            with failures(), self._journal.engine().begin() as connection:
                connection.execute(table.insert().from_select(list(values), chosen))
                number = connection.execute(
                    select(func.max(table.c.number)).where(
                        table.c.site == self._site,
                        table.c.job == run.job,
                        table.c.planned_at == text(run.planned_at),
                    )
                ).scalar_one()
        except HistoryError as error:
            if isinstance(error.__cause__, IntegrityError):
                return Claim(None)
            raise
        if number is None:  # not every driver says how many rows it has written
            return Claim(None, has_lost_lead=True)
        return Claim(replace(run, number=int(number)))

    def update(self, run: Run) -> None:
        """Write what is known of a run now into its row."""
        table = tables.runs()
        with failures(), self._journal.engine().begin() as connection:
            connection.execute(table.update().where(table.c.number == run.number), _row(run))

    def last(self, job: str, count: int) -> tuple[Run, ...]:
        """Return the last rows of a job, the newest planned first; those begun by hand among them."""
        table = tables.runs()
        return self._read(
            lambda chosen: (
                chosen.where(table.c.job == job)
                .order_by(table.c.planned_at.desc(), table.c.number.desc())
                .limit(count)
            )
        )

    def open_runs(self) -> tuple[Run, ...]:
        """Return the runs that wait or go on, the oldest first."""
        table = tables.runs()
        return self._read(lambda chosen: chosen.where(table.c.state.in_(OPEN)).order_by(table.c.number))

    def between(self, since: datetime, until: datetime) -> tuple[Run, ...]:
        """Return the rows that were planned then, the oldest first."""
        table = tables.runs()
        within = (table.c.planned_at >= text(since), table.c.planned_at < text(until))
        return self._read(lambda chosen: chosen.where(*within).order_by(table.c.planned_at, table.c.number))

    def last_planned(self, job: str) -> datetime | None:
        """Return the newest moment of a job that has a row of a scheduler; None when there is none."""
        table = tables.runs()
        rows = self._read(
            lambda chosen: (
                chosen.where(table.c.job == job, table.c.epoch > 0)
                .order_by(table.c.planned_at.desc())
                .limit(1)
            )
        )
        return max((run.last_planned_at for run in rows), default=None)

    def prune(self, now: datetime, often: Iterable[str] = ()) -> None:
        """Take out rows that are too old; of jobs that run often, those that went well much earlier."""
        table = tables.runs()
        old, often_old = now - timedelta(days=KEPT_DAYS), now - timedelta(days=KEPT_OFTEN_DAYS)
        of_site = table.c.site == self._site
        with failures(), self._journal.engine().begin() as connection:
            connection.execute(table.delete().where(of_site, table.c.planned_at < text(old)))
            connection.execute(
                table.delete().where(
                    of_site,
                    table.c.job.in_(list(often)),
                    table.c.state == "ok",
                    table.c.planned_at < text(often_old),
                )
            )

    def lead(self, owner: Owner, now: datetime, zone: str = "") -> Leader | None:
        """Take or renew the lease; return None where another one has it. Where machines share it, its own clock is taken."""
        from sqlalchemy.exc import IntegrityError

        self.prepare()
        try:
            with failures(), self._journal.engine().begin() as connection:
                return lease.take(connection, self._site, owner, self._now(connection, now), zone)
        except HistoryError as error:
            if isinstance(error.__cause__, IntegrityError):  # two took it in one moment: the other one has it
                return None
            raise

    def resign(self, leader: Leader, now: datetime) -> None:
        """Give the lease back, so that another one need not wait for its end."""
        with failures(), self._journal.engine().begin() as connection:
            lease.give_back(connection, self._site, leader, self._now(connection, now))

    def leader(self) -> Leader | None:
        """Return who leads, or led last; None when nobody ever did."""
        rows = self._states_like(lease.NAME)
        with readable():
            return lease.leader_of(rows[0]) if rows else None

    def pauses(self) -> tuple[Pause, ...]:
        """Return what was said to be paused, whether or not that is over by now."""
        with readable():
            return tuple(
                Pause(
                    row["name"].removeprefix(_PAUSE), moment(row["until"]), str(row["details"].get("reason", "")),
                    str(row["details"].get("by", "")), moment(str(row["details"].get("at", row["until"]))),
                )
                for row in self._states_like(_PAUSE)
            )  # fmt: skip

    def pause(self, pause: Pause) -> None:
        """Keep that a job is paused, in the place of what was said before."""
        details = {"reason": pause.reason, "by": pause.by, "at": text(pause.at)}
        self._put(_PAUSE + pause.job, pause.until, details)

    def resume(self, job: str) -> None:
        """Forget that a job is paused."""
        self.prepare()
        states = tables.states()
        with failures(), self._journal.engine().begin() as connection:
            connection.execute(
                states.delete().where(states.c.site == self._site, states.c.name == _PAUSE + job)
            )

    def known_since(self, jobs: Sequence[str], now: datetime, *, keep: bool = False) -> dict[str, datetime]:
        """Return since when each job is known here; with ``keep``, one that is new is known since now."""
        with readable():
            known = {
                row["name"].removeprefix(_JOB): moment(str(row["details"].get("since", row["until"])))
                for row in self._states_like(_JOB)
            }
        for job in jobs if keep else ():
            if job not in known:
                self._put(_JOB + job, now, {"since": text(now)})
                known[job] = now
        return {job: known[job] for job in jobs if job in known}

    def _put(self, name: str, until: datetime, details: dict[str, Any]) -> None:
        self.prepare()
        states = tables.states()
        row = {
            "site": self._site,
            "name": name,
            "holder": "",
            "epoch": 0,
            "until": text(until),
            "details": details,
        }
        with failures(), self._journal.engine().begin() as connection:
            connection.execute(states.delete().where(states.c.site == self._site, states.c.name == name))
            connection.execute(states.insert(), row)

    def _states_like(self, name: str) -> list[dict[str, Any]]:
        from sqlalchemy import select

        states = tables.states()
        chosen = select(states).where(
            states.c.site == self._site, states.c.name.startswith(name, autoescape=True)
        )
        return [dict(row._mapping) for row in self._rows(chosen.order_by(states.c.name), states.name)]

    def _now(self, connection: Connection, now: datetime) -> datetime:
        """Return the time: of two machines that share the database, that of the database."""
        from sqlalchemy import func, select

        if not self._journal.is_shared:
            return now
        moment: datetime = connection.execute(select(func.clock_timestamp())).scalar_one()
        return moment.astimezone(timezone.utc)

    def _read(self, narrow: Any) -> tuple[Run, ...]:
        from sqlalchemy import select

        table = tables.runs()
        chosen = narrow(select(table).where(table.c.site == self._site))
        return tuple(_run(row) for row in self._rows(chosen, table.name))

    def _rows(self, query: Any, table: str) -> Sequence[Any]:
        """Run a query; a ledger that does not exist yet has no rows, and is not made by who only looks."""
        if self._is_made:
            with failures(), readable(), self._journal.engine().connect() as connection:
                return connection.execute(query).all()
        try:
            with readable():  # columns of JSON are read here
                return self._journal.rows_of(query, table)
        except UnavailableError as error:
            raise HistoryError(error.message, error.hint) from error


def _row(run: Run) -> dict[str, Any]:
    """Return a run as the columns have it, without its number."""
    return {
        "job": run.job, "planned_at": text(run.planned_at), "state": run.state, "trigger": run.trigger,
        "started_at": text_or_none(run.started_at), "ended_at": text_or_none(run.ended_at), "reason": run.reason,
        "exit_code": run.exit_code, "log": run.log, "host": run.host, "pid": run.pid,
        "process_start": run.process_start, "epoch": run.epoch, "count": run.count,
        "until": text_or_none(run.until),
    }  # fmt: skip


def _run(row: Any) -> Run:
    """Return a row as it was written. Raises HistoryError where others have put another kind of value into it."""
    with readable(row.number):
        run: Run = decode({name: getattr(row, name) for name in Run.__struct_fields__}, Run)
        if run.state not in STATES:
            raise ValueError(f"state = {run.state[:40]!r}")
        columns.require_moments(run.planned_at, run.started_at, run.ended_at, run.until)
        return run
