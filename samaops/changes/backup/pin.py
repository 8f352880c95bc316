"""Keep a backup for ever, with the reason, until somebody says otherwise."""

from __future__ import annotations

from msgspec import Struct, to_builtins
from msgspec.structs import replace

from samaops.changes.backup.work import CATALOGUE, PINNED, named, plan, require_whole, section, survey_in
from samaops.changes.verbs import verb
from samaops.errors import UsageError
from samaops.facts.backup_run import Run
from samaops.facts.observation import Snapshot
from samaops.i18n import _
from samaops.model.plan import Condition, Operation, Plan, Risk, Step
from samaops.site.site import Site

PIN = "backup.pin"
_LONGEST_REASON = 200


class Pinning(Struct, frozen=True):
    """Why a backup is kept; "" where it is not any more. The rest is that of a guide's dump that has no row yet."""

    id: str
    reason: str
    engine: str
    started_at: str
    bytes: int | None


def _looks(site: Site, *_arguments: str) -> tuple[str, ...]:
    section(site)
    return CATALOGUE


@verb("backup pin", looks=_looks, typed=lambda identifier, reason: (identifier, "--reason", reason))
def plan_pin(snapshot: Snapshot, site: Site, identifier: str, reason: str) -> Plan:
    """Plan that a backup is kept whatever its age."""
    reason = " ".join(reason.split())
    if not reason or len(reason) > _LONGEST_REASON:
        raise UsageError(
            _("--reason: why it is kept, in at most {count} characters").format(count=_LONGEST_REASON)
        )
    run = named(survey_in(snapshot), identifier)
    require_whole(run)
    title = _("Keep {id} for ever: {reason}").format(id=run.id, reason=reason)
    return _plan(site, "backup pin", (identifier, reason), title, run, reason)


@verb("backup unpin", looks=_looks)
def plan_unpin(snapshot: Snapshot, site: Site, identifier: str) -> Plan:
    """Plan that a backup expires in its time again."""
    run = named(survey_in(snapshot), identifier)
    title = _("Let {id} expire in its time").format(id=run.id)
    return _plan(site, "backup unpin", (identifier,), title, run, "")


def _plan(site: Site, name: str, arguments: tuple[str, ...], title: str, run: Run, reason: str) -> Plan:
    if run.pinned == reason:
        nothing = _("it is pinned so already") if reason else _("it is not pinned")
        return replace(plan(name, arguments, title, site), nothing_to_do=nothing)
    step = Step(
        name.replace(" ", "."),
        title,
        Risk.SAFE,
        _operation(run, reason, site),
        before=(_is_pinned(run, run.pinned),),
        after=(_is_pinned(run, reason),),
        undo=_operation(run, run.pinned, site),
        servers=(section(site).server,),
        about=f"backup/{run.id}",
    )
    return replace(plan(name, arguments, title, site), steps=(step,))


def _operation(run: Run, reason: str, site: Site) -> Operation:
    of = Pinning(run.id, reason, run.engine, run.started_at, run.bytes)
    return Operation(PIN, to_builtins(of), section(site).server)


def _is_pinned(run: Run, reason: str) -> Condition:
    text = _("{id} is pinned: {reason}") if reason else _("{id} is not pinned")
    return Condition(PINNED, (run.id,), reason, text.format(id=run.id, reason=reason))
