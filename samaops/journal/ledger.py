"""The ledger of what runs by itself, in the database of the history: each run of a job, who leads, what is paused.

A run's row is written before the run. No moment of a job has two rows, and only the leader whose epoch is the newest writes
rows of planned runs: a scheduler that was frozen past its lease, and wakes, begins nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta, timezone
from functools import cache
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from msgspec.structs import replace

from samaops.errors import UnavailableError
from samaops.facts.schedule import LEASE_SECONDS, OPEN, STATES, Leader, Pause, Run
from samaops.journal.history import HistoryError, Journal, failures, readable, require_moments
from samaops.journal.owner import Owner
from samaops.model.encoding import decode

if TYPE_CHECKING:
    from sqlalchemy import Connection, Table

ALL = "all"
_LEADER, _PAUSE, _JOB = "leader", "pause:", "job:"
# As the records; a job that runs every hour or more often is kept for a shorter time where all went well.
KEPT_DAYS, KEPT_OFTEN_DAYS = 400, 14
_STATE_NAME_CHARACTERS = 80


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
        self._journal.prepare_tables(_runs(), _states())
        self._is_made = True

    def claim(self, run: Run) -> Claim:
        """Write the row of a run before it begins; not where that moment of the job has a row, or another one leads now."""
        from sqlalchemy import exists, func, literal, select
        from sqlalchemy.exc import IntegrityError

        self.prepare()
        table, states = _runs(), _states()
        values = {"site": self._site, **_row(run)}
        leads = exists().where(
            states.c.site == self._site, states.c.name == _LEADER, states.c.epoch == run.epoch
        )
        columns = [literal(value, table.c[name].type).label(name) for name, value in values.items()]
        chosen = select(*columns)
        if run.epoch:
            chosen = chosen.where(leads)
        try:
            with failures(), self._journal.engine().begin() as connection:
                connection.execute(table.insert().from_select(list(values), chosen))
                number = connection.execute(
                    select(func.max(table.c.number)).where(
                        table.c.site == self._site,
                        table.c.job == run.job,
                        table.c.planned_at == _text(run.planned_at),
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
        table = _runs()
        with failures(), self._journal.engine().begin() as connection:
            connection.execute(table.update().where(table.c.number == run.number), _row(run))

    def last(self, job: str, count: int) -> tuple[Run, ...]:
        """Return the last rows of a job, the newest planned first; those begun by hand among them."""
        table = _runs()
        return self._read(
            lambda chosen: (
                chosen.where(table.c.job == job)
                .order_by(table.c.planned_at.desc(), table.c.number.desc())
                .limit(count)
            )
        )

    def open_runs(self) -> tuple[Run, ...]:
        """Return the runs that wait or go on, the oldest first."""
        table = _runs()
        return self._read(lambda chosen: chosen.where(table.c.state.in_(OPEN)).order_by(table.c.number))

    def between(self, since: datetime, until: datetime) -> tuple[Run, ...]:
        """Return the rows that were planned then, the oldest first."""
        table = _runs()
        within = (table.c.planned_at >= _text(since), table.c.planned_at < _text(until))
        return self._read(lambda chosen: chosen.where(*within).order_by(table.c.planned_at, table.c.number))

    def last_planned(self, job: str) -> datetime | None:
        """Return the newest moment of a job that has a row of a scheduler; None when there is none."""
        table = _runs()
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
        table = _runs()
        old, often_old = now - timedelta(days=KEPT_DAYS), now - timedelta(days=KEPT_OFTEN_DAYS)
        of_site = table.c.site == self._site
        with failures(), self._journal.engine().begin() as connection:
            connection.execute(table.delete().where(of_site, table.c.planned_at < _text(old)))
            connection.execute(
                table.delete().where(
                    of_site,
                    table.c.job.in_(list(often)),
                    table.c.state == "ok",
                    table.c.planned_at < _text(often_old),
                )
            )

    def lead(self, owner: Owner, now: datetime, zone: str = "") -> Leader | None:
        """Take or renew the lease; return None where another one has it. Where machines share it, its own clock is taken."""
        from sqlalchemy import and_, or_
        from sqlalchemy.exc import IntegrityError

        self.prepare()
        states = _states()
        holder = _holder(owner)
        try:
            with failures(), self._journal.engine().begin() as connection:
                now = self._now(connection, now)
                until = now + timedelta(seconds=LEASE_SECONDS)
                known = self._state(connection, _LEADER)
                if known is None:
                    details = {"user": owner.user, "since": _text(now), "timezone": zone}
                    row = {"site": self._site, "name": _LEADER, "holder": holder, "epoch": 1,
                           "until": _text(until), "details": details}  # fmt: skip
                    connection.execute(states.insert(), row)
                    return _leader(row)
                is_ours = known.holder == holder
                if not is_ours and known.until > _text(now):
                    return None
                row = dict(known._mapping)
                row["until"] = _text(until)
                if not is_ours:
                    row["holder"], row["epoch"] = holder, known.epoch + 1
                    row["details"] = {"user": owner.user, "since": _text(now), "timezone": zone}
                unchanged = and_(
                    states.c.site == self._site, states.c.name == _LEADER, states.c.epoch == known.epoch
                )
                free = or_(states.c.holder == holder, states.c.until <= _text(now))
                done = connection.execute(states.update().where(unchanged, free), row)
                return _leader(row) if done.rowcount else None
        except HistoryError as error:
            if isinstance(error.__cause__, IntegrityError):  # two took it in one moment: the other one has it
                return None
            raise

    def resign(self, leader: Leader, now: datetime) -> None:
        """Give the lease back, so that another one need not wait for its end."""
        states = _states()
        of_ours = (states.c.site == self._site, states.c.name == _LEADER, states.c.epoch == leader.epoch)
        with failures(), self._journal.engine().begin() as connection:
            now = self._now(connection, now)
            connection.execute(states.update().where(*of_ours), {"until": _text(now)})

    def leader(self) -> Leader | None:
        """Return who leads, or led last; None when nobody ever did."""
        rows = self._states_like(_LEADER)
        with readable():
            return _leader(rows[0]) if rows else None

    def pauses(self) -> tuple[Pause, ...]:
        """Return what was said to be paused, whether or not that is over by now."""
        with readable():
            return tuple(
                Pause(
                    row["name"].removeprefix(_PAUSE), _moment(row["until"]), str(row["details"].get("reason", "")),
                    str(row["details"].get("by", "")), _moment(str(row["details"].get("at", row["until"]))),
                )
                for row in self._states_like(_PAUSE)
            )  # fmt: skip

    def pause(self, pause: Pause) -> None:
        """Keep that a job is paused, in the place of what was said before."""
        details = {"reason": pause.reason, "by": pause.by, "at": _text(pause.at)}
        self._put(_PAUSE + pause.job, pause.until, details)

    def resume(self, job: str) -> None:
        """Forget that a job is paused."""
        self.prepare()
        states = _states()
        with failures(), self._journal.engine().begin() as connection:
            connection.execute(
                states.delete().where(states.c.site == self._site, states.c.name == _PAUSE + job)
            )

    def known_since(self, jobs: Sequence[str], now: datetime, *, keep: bool = False) -> dict[str, datetime]:
        """Return since when each job is known here; with ``keep``, one that is new is known since now."""
        with readable():
            known = {
                row["name"].removeprefix(_JOB): _moment(str(row["details"].get("since", row["until"])))
                for row in self._states_like(_JOB)
            }
        for job in jobs if keep else ():
            if job not in known:
                self._put(_JOB + job, now, {"since": _text(now)})
                known[job] = now
        return {job: known[job] for job in jobs if job in known}

    def _put(self, name: str, until: datetime, details: dict[str, Any]) -> None:
        self.prepare()
        states = _states()
        row = {
            "site": self._site,
            "name": name,
            "holder": "",
            "epoch": 0,
            "until": _text(until),
            "details": details,
        }
        with failures(), self._journal.engine().begin() as connection:
            connection.execute(states.delete().where(states.c.site == self._site, states.c.name == name))
            connection.execute(states.insert(), row)

    def _states_like(self, name: str) -> list[dict[str, Any]]:
        from sqlalchemy import select

        states = _states()
        chosen = select(states).where(
            states.c.site == self._site, states.c.name.startswith(name, autoescape=True)
        )
        return [dict(row._mapping) for row in self._rows(chosen.order_by(states.c.name), states.name)]

    def _state(self, connection: Connection, name: str) -> Any:
        from sqlalchemy import select

        states = _states()
        chosen = select(states).where(states.c.site == self._site, states.c.name == name)
        return connection.execute(chosen).first()

    def _now(self, connection: Connection, now: datetime) -> datetime:
        """Return the time: of two machines that share the database, that of the database."""
        from sqlalchemy import func, select

        if not self._journal.is_shared:
            return now
        moment: datetime = connection.execute(select(func.clock_timestamp())).scalar_one()
        return moment.astimezone(timezone.utc)

    def _read(self, narrow: Any) -> tuple[Run, ...]:
        from sqlalchemy import select

        table = _runs()
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


def _holder(owner: Owner) -> str:
    return f"{owner.host} {owner.pid} {owner.process_start}"


def _leader(row: dict[str, Any]) -> Leader:
    host, pid, process_start = (*str(row["holder"]).split(" ", 2), "", "")[:3]
    details = row["details"]
    return Leader(
        host, int(pid or 0), process_start, str(details.get("user", "")), _moment(str(details["since"])),
        _moment(str(row["until"])), int(row["epoch"]), str(details.get("timezone", "")),
    )  # fmt: skip


def _row(run: Run) -> dict[str, Any]:
    """Return a run as the columns have it, without its number."""
    return {
        "job": run.job, "planned_at": _text(run.planned_at), "state": run.state, "trigger": run.trigger,
        "started_at": _text_or_none(run.started_at), "ended_at": _text_or_none(run.ended_at), "reason": run.reason,
        "exit_code": run.exit_code, "log": run.log, "host": run.host, "pid": run.pid,
        "process_start": run.process_start, "epoch": run.epoch, "count": run.count,
        "until": _text_or_none(run.until),
    }  # fmt: skip


def _run(row: Any) -> Run:
    """Return a row as it was written. Raises HistoryError where others have put another kind of value into it."""
    with readable(row.number):
        run: Run = decode({name: getattr(row, name) for name in Run.__struct_fields__}, Run)
        if run.state not in STATES:
            raise ValueError(f"state = {run.state[:40]!r}")
        require_moments(run.planned_at, run.started_at, run.ended_at, run.until)
        return run


def _text(moment: datetime) -> str:
    return moment.astimezone(timezone.utc).isoformat(timespec="milliseconds")


def _text_or_none(moment: datetime | None) -> str | None:
    return None if moment is None else _text(moment)


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    require_moments(moment)
    return moment


@cache
def _runs() -> Table:
    from sqlalchemy import BigInteger, Column, Integer, MetaData, String, Table, Text, UniqueConstraint

    number = BigInteger().with_variant(Integer(), "sqlite")  # SQLite counts only what it calls INTEGER
    return Table(
        "samaops_runs",
        MetaData(),
        Column("number", number, primary_key=True, autoincrement=True),
        Column("site", String(200), nullable=False),
        Column("job", String(40), nullable=False),
        Column("planned_at", String(40), nullable=False, index=True),
        Column("state", String(20), nullable=False, index=True),
        Column("trigger", String(20), nullable=False),
        Column("started_at", String(40)),
        Column("ended_at", String(40)),
        Column("reason", Text, nullable=False),
        Column("exit_code", Integer),
        Column("log", Text, nullable=False),
        Column("host", String(255), nullable=False),
        Column("pid", BigInteger, nullable=False),
        Column("process_start", String(100), nullable=False),
        Column("epoch", BigInteger, nullable=False),
        Column("count", Integer, nullable=False),
        Column("until", String(40)),
        UniqueConstraint("site", "job", "planned_at"),
    )


@cache
def _states() -> Table:
    from sqlalchemy import JSON, BigInteger, Column, MetaData, String, Table

    return Table(
        "samaops_schedule",
        MetaData(),
        Column("site", String(200), primary_key=True),
        Column("name", String(_STATE_NAME_CHARACTERS), primary_key=True),
        Column("holder", String(400), nullable=False),
        Column("epoch", BigInteger, nullable=False),
        Column("until", String(40), nullable=False),
        Column("details", JSON, nullable=False),
    )
