"""A checkpoint now: before a restart, so that it is short, or to see what one costs."""

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
from samaops.facts.postgresql_changes import Checkpointing
from samaops.i18n import _
from samaops.model.plan import Condition, Plan, Risk, Scalar, Step
from samaops.site.commands import as_superuser, sql_name
from samaops.site.site import Site

LAST = ("postgresql.checkpointing",)
# Written at full speed, but a large cache on a slow disk takes long.
LONGEST_SECONDS = 900.0
MB = 1024**2


@reading("postgresql.last_checkpoint_is", codes=LAST)
def last_checkpoint_is(snapshot: Snapshot, lsn: str) -> Scalar:
    """Return whether the last checkpoint is still this one."""
    return _checkpointing(snapshot).lsn == lsn


def _checkpointing(snapshot: Snapshot) -> Checkpointing:
    return known(facts_in(snapshot, PostgresFacts).checkpointing, _("when the last checkpoint was"))


def _looks(site: Site) -> tuple[str, ...]:
    require_configured(site)
    return (*LAST, "postgresql.dirty_buffers", "postgresql.checkpoints.requested")


@verb("db checkpoint", looks=_looks)
def plan_checkpoint(snapshot: Snapshot, site: Site) -> Plan:
    """Plan a checkpoint. Guard: our role may ask for one."""
    server, last = require_configured(site), _checkpointing(snapshot)
    facts = facts_in(snapshot, PostgresFacts)
    plan = Plan("db checkpoint", (), _("Write a checkpoint now"), target=server)
    if not last.may:
        if facts.version_number < 150000:
            raise RefusedError(_("before PostgreSQL 15 only a superuser may ask for a checkpoint"))
        text = _("our role {role} may not ask for a checkpoint: it needs pg_checkpoint")
        grant = as_superuser(site, f"GRANT pg_checkpoint TO {sql_name(facts.role)}")
        raise RefusedError(text.format(role=facts.role), hint=grant)
    same = Condition(
        "postgresql.last_checkpoint_is",
        (last.lsn,),
        False,
        _("the last checkpoint is newer than {lsn}").format(lsn=last.lsn),
    )
    step = Step(
        "db.checkpoint",
        plan.title,
        Risk.DISRUPTIVE,
        operation=statement(Statement("checkpoint"), server, LONGEST_SECONDS),
        before=(),
        after=(same,),
        no_undo=_("what is written is written; it loses nothing"),
        servers=(),
    )
    return replace(plan, steps=(step,), notes=tuple(_notes(facts, last)))


def _notes(facts: PostgresFacts, last: Checkpointing) -> Iterator[str]:
    if facts.dirty_buffers is None:
        yield _(
            "how much will be written is not known: the extension pg_buffercache is not here, or not for us"
        )
    else:
        text = _("{count} of {total} buffers are dirty: {size} MB are written in one go, and disks feel that")
        size = facts.dirty_buffers.dirty * last.block_bytes // MB
        yield text.format(count=facts.dirty_buffers.dirty, total=facts.dirty_buffers.total, size=size)
    yield _("the last checkpoint began {seconds:.0f} s ago").format(seconds=last.seconds)
    if facts.checkpoints is not None:
        text = _(
            "checkpoints until now: {timed} in their time, {requested} on request or because of much WAL"
        )
        yield text.format(timed=facts.checkpoints.timed, requested=facts.checkpoints.requested)
