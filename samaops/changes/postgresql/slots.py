"""Drop a replication slot that nobody reads any more."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from samaops.changes.postgresql.sessions import require_configured
from samaops.changes.postgresql.statement import Statement, statement
from samaops.changes.readings import facts_in, known, reading
from samaops.changes.verbs import verb
from samaops.errors import RefusedError
from samaops.facts.observation import Snapshot
from samaops.facts.postgresql import PostgresFacts
from samaops.facts.postgresql_changes import SlotToDrop
from samaops.i18n import _
from samaops.model.plan import Condition, Plan, Risk, Scalar, Step
from samaops.site.commands import as_superuser, sql_name, sql_text
from samaops.site.site import Site

SLOTS = ("postgresql.slots_to_drop",)
MB = 1024**2
UNUSED, IN_USE = "unused", "in use"


@reading("postgresql.slot_state", codes=SLOTS)
def slot_state(snapshot: Snapshot, name: str) -> Scalar:
    """Return whether somebody is connected to a slot; None where there is no such slot."""
    slot = _slots_in(snapshot).get(name)
    return None if slot is None else UNUSED if slot.active_pid is None else IN_USE


def _slots_in(snapshot: Snapshot) -> dict[str, SlotToDrop]:
    slots = facts_in(snapshot, PostgresFacts).slots_to_drop
    return {slot.name: slot for slot in known(slots, _("which replication slots there are"))}


def _looks(site: Site, _name: str) -> tuple[str, ...]:
    require_configured(site)
    return SLOTS


@verb("db slot drop", looks=_looks)
def plan_drop(snapshot: Snapshot, site: Site, name: str) -> Plan:
    """Plan that a slot is dropped. Guards: nobody is connected to it, no synchronous standby is named like it."""
    server, slot = require_configured(site), _slots_in(snapshot).get(name)
    title = _("Drop the replication slot {name}").format(name=name)
    plan = Plan("db slot drop", (name,), title, target=name)
    if slot is None:
        text = _("there is no replication slot {name}")
        return replace(plan, nothing_to_do=text.format(name=name))
    _require_droppable(site, slot, facts_in(snapshot, PostgresFacts).role)
    unused = Condition(
        "postgresql.slot_state", (name,), UNUSED, _("nobody is connected to {name}").format(name=name)
    )
    gone = replace(unused, value=None, text=_("{name} is gone").format(name=name))
    # A lost slot can serve nobody: nothing is lost with it.
    is_lost = slot.wal_status == "lost"
    destroys = _("the place up to which the reader of {name} has read: it cannot go on from there")
    step = Step(
        "db.slot_drop",
        title,
        Risk.SAFE if is_lost else Risk.DESTRUCTIVE,
        operation=statement(Statement("drop_slot", values={"name": name}), server),
        before=(unused,),
        after=(gone,),
        no_undo=_("its reader has to be built anew: a standby by a base backup, a subscription by a copy"),
        destroys="" if is_lost else destroys.format(name=name),
        servers=(),
    )
    return replace(plan, steps=(step,), notes=tuple(_notes(slot)))


def _require_droppable(site: Site, slot: SlotToDrop, role: str) -> None:
    reason, hint = "", "samaops explain postgresql.slot.inactive"
    if slot.active_pid is not None:
        reason = _("pid {pid} is connected to it").format(pid=slot.active_pid)
    elif slot.is_synchronous:
        reason = _("synchronous_standby_names has this name: commits would wait for that standby without end")
    elif not slot.is_here:
        reason = _("it belongs to the database {database}, and can be dropped only there")
        reason, drop = reason.format(database=slot.database), _drop(slot)
        hint = as_superuser(site, drop, slot.database)
    elif not slot.may_drop:
        reason = _("our role {role} may not: it needs REPLICATION").format(role=role)
        hint = as_superuser(site, f"ALTER ROLE {sql_name(role)} REPLICATION")
    if reason:
        text = _("the replication slot {name} is not dropped: {reason}")
        raise RefusedError(text.format(name=slot.name, reason=reason), hint=hint)


def _drop(slot: SlotToDrop) -> str:
    return f"SELECT pg_drop_replication_slot({sql_text(slot.name)})"


def _notes(slot: SlotToDrop) -> Iterator[str]:
    text = _("{name}: {type}, holds back {size}")
    size = _("no WAL") if slot.retained_bytes is None else f"{slot.retained_bytes // MB} MB WAL"
    yield text.format(name=slot.name, type=slot.type, size=size)
    if slot.wal_status == "lost":
        yield _("what its reader still needs is gone: it can serve nobody any more")
    if slot.xmin_age:
        yield _("it keeps old rows of the last {count} transactions").format(count=slot.xmin_age)
    if slot.wal_seconds is not None:
        text = _("its reader has read nothing of what was written in the last {hours:.1f} h")
        yield text.format(hours=slot.wal_seconds / 3600)
    else:
        yield _("since when nobody reads it is not known; PostgreSQL does not keep who did")
