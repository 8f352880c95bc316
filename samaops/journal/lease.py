"""The lease of the scheduler: which of those that share the database of the history begins what runs by itself.

Whoever takes it from another one has the next epoch. A row of a planned run is written only under the newest epoch, so that a
scheduler that was frozen past its lease, and wakes, begins nothing.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from samaops.facts.schedule import LEASE_SECONDS, Leader
from samaops.journal.ledger_tables import moment, states, text
from samaops.journal.owner import Owner

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Connection

# Its row in the table of the states.
NAME = "leader"


def take(connection: Connection, site: str, owner: Owner, now: datetime, zone: str) -> Leader | None:
    """Take or renew it; return None where another one has it. Two that take it in one moment: IntegrityError for the second."""
    from sqlalchemy import or_, select

    table, holder = states(), _holder(owner)
    until = text(now + timedelta(seconds=LEASE_SECONDS))
    term = {"user": owner.user, "since": text(now), "timezone": zone}
    of_site = (table.c.site == site, table.c.name == NAME)
    known = connection.execute(select(table).where(*of_site)).first()
    if known is None:
        row = {"site": site, "name": NAME, "holder": holder, "epoch": 1, "until": until, "details": term}
        connection.execute(table.insert(), row)
        return leader_of(row)
    is_ours = known.holder == holder
    if not is_ours and known.until > text(now):
        return None
    row = {**known._mapping, "until": until}
    if not is_ours:
        row |= {"holder": holder, "epoch": known.epoch + 1, "details": term}
    is_free = or_(table.c.holder == holder, table.c.until <= text(now))
    done = connection.execute(table.update().where(*of_site, table.c.epoch == known.epoch, is_free), row)
    return leader_of(row) if done.rowcount else None


def give_back(connection: Connection, site: str, leader: Leader, now: datetime) -> None:
    """Let it end now; nothing where another one has it meanwhile."""
    table = states()
    of_ours = (table.c.site == site, table.c.name == NAME, table.c.epoch == leader.epoch)
    connection.execute(table.update().where(*of_ours), {"until": text(now)})


def is_held(site: str, epoch: int) -> ColumnElement[bool]:
    """Return the condition that this epoch is still the newest."""
    from sqlalchemy import exists

    table = states()
    return exists().where(table.c.site == site, table.c.name == NAME, table.c.epoch == epoch)


def leader_of(row: dict[str, Any]) -> Leader:
    """Return who has it, or had it last."""
    host, pid, process_start = (*str(row["holder"]).split(" ", 2), "", "")[:3]
    details = row["details"]
    return Leader(
        host, int(pid or 0), process_start, str(details.get("user", "")), moment(str(details["since"])),
        moment(str(row["until"])), int(row["epoch"]), str(details.get("timezone", "")),
    )  # fmt: skip


def _holder(owner: Owner) -> str:
    return f"{owner.host} {owner.pid} {owner.process_start}"
