"""Remove what has expired, by the policy alone: nobody names what is removed."""

from __future__ import annotations

from msgspec import Struct, to_builtins
from msgspec.structs import replace

from samaops.changes.backup.work import AS_SEEN, CATALOGUE, IS_THERE, mark, plan, section, survey_in
from samaops.changes.verbs import verb
from samaops.facts.backup_run import WHOLE, Run
from samaops.facts.observation import Snapshot
from samaops.i18n import _, ngettext
from samaops.model.plan import Condition, Operation, Plan, Risk, Step
from samaops.model.quantities import size
from samaops.site.backup_policy import decide, is_damaged, is_proved, rules_of
from samaops.site.site import Site

REMOVE = "backup.remove"
# One plan that people can read; the rest is asked for again.
MOST_STEPS = 100


class Removing(Struct, frozen=True):
    """What is removed: a backup and its row."""

    id: str
    engine: str


def _looks(site: Site) -> tuple[str, ...]:
    section(site)
    return CATALOGUE


@verb("backup prune", looks=_looks)
def plan_prune(snapshot: Snapshot, site: Site) -> Plan:
    """Plan that each backup that has expired is removed, the oldest first.

    Guards: the newest run is whole, enough are proved good, and none that the policy keeps is touched.
    """
    backup, survey = section(site), survey_in(snapshot)
    decision = decide(survey.runs, survey.epoch, rules_of(backup))
    steps = tuple(_step(run, site) for run in decision.expired[:MOST_STEPS])
    title = ngettext(
        "Remove {count} backup that has expired", "Remove {count} backups that have expired", len(steps)
    )
    text = _("kept: {count}, of which {proved} are proved good and {pinned} pinned")
    kept = [run for run in survey.runs if run.id in decision.kept]
    notes = [
        text.format(
            count=len(kept), proved=sum(map(is_proved, kept)), pinned=sum(1 for run in kept if run.pinned)
        )
    ]
    if len(decision.expired) > MOST_STEPS:
        text = _("{count} more have expired; run it again for them")
        notes.append(text.format(count=len(decision.expired) - MOST_STEPS))
    return replace(
        plan("backup prune", (), title.format(count=len(steps)), site),
        steps=steps,
        nothing_to_do="" if steps else decision.held or _("none has expired"),
        notes=tuple(notes),
        steps_stand_alone=True,
    )


def _step(run: Run, site: Site) -> Step:
    server = section(site).server
    holds_data = run.state == WHOLE
    text = (
        _("Remove {id} of {date} ({size}, {proof})")
        if holds_data
        else _("Remove the row of {id} of {date}: {state}")
    )
    destroys = (
        _("the backup {id}; no undo brings it back")
        if holds_data
        else _("the row of {id}, which is no backup")
    )
    return Step(
        REMOVE,
        text.format(
            id=run.id, date=run.started_at[:10], size=size(run.bytes or 0), proof=_proof(run), state=run.state
        ),
        Risk.DESTRUCTIVE,
        Operation(REMOVE, to_builtins(Removing(run.id, run.engine)), server, 600.0),
        before=(Condition(IS_THERE, (run.id,), True, _("{id} is there").format(id=run.id)),),
        after=(Condition(IS_THERE, (run.id,), False, _("{id} is not there").format(id=run.id)),),
        needs=(Condition(AS_SEEN, (run.id, mark(run)), True, _("{id} is as it was seen").format(id=run.id)),),
        no_undo=_("it is removed"),
        destroys=destroys.format(id=run.id),
        servers=(server,),
        about=f"backup/{run.id}",
    )


def _proof(run: Run) -> str:
    if is_damaged(run):
        return _("damaged")
    return _("proved good") if is_proved(run) else _("never proved")
