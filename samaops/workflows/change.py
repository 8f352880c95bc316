"""Make a change: plan it from fresh facts, run it under the lock with the journal, and report how it went."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone

from msgspec.structs import replace

from samaops.changes import verbs
from samaops.changes.engine import Applied, Engine
from samaops.changes.run import operations
from samaops.changes.verbs import Verb
from samaops.checks import engine as checks
from samaops.clients import shells
from samaops.errors import LOCKED, REFUSED, RefusedError, SamaopsError
from samaops.facts.observation import Observation, Snapshot
from samaops.facts.selection import Selection
from samaops.i18n import _, joined
from samaops.journal import history, lock, lock_directory, seal
from samaops.journal.database import HistoryError
from samaops.journal.history import Journal
from samaops.journal.lock import ChangeLock
from samaops.journal.plans import to_plain
from samaops.model.finding import Finding
from samaops.model.plan import Action, ActionStatus, LeftOut, Operation, Outcome, Plan, Step, codes_in
from samaops.model.report import Footprint, Report, ReportError
from samaops.model.status import Status
from samaops.site import redaction
from samaops.site.commands import typed
from samaops.site.site import Site
from samaops.workflows import change_locks, diagnose

_BAD = (Status.WARNING, Status.CRITICAL)
_GOOD = (Status.OK, Status.SKIPPED)


@dataclass
class LiveWorld:
    """The real system, as the configuration names it; counts what is done to it."""

    site: Site
    operations_run: int = 0

    def look(self, codes: tuple[str, ...]) -> Snapshot:
        """Observe what the checks under these codes need."""
        if not codes:  # to a selection that would mean everything
            return Snapshot(datetime.now(timezone.utc))
        return diagnose.observe(self.site, Selection(only=codes, counts=True))

    def findings(self, keys: tuple[str, ...], snapshot: Snapshot) -> tuple[Finding, ...]:
        """Judge what was observed and return these findings."""
        judged = checks.judge(snapshot, self.site, Selection(only=codes_in(keys))) if keys else ()
        return tuple(finding for finding in judged if finding.key in keys)

    def unhealthy(
        self, keys: tuple[str, ...], snapshot: Snapshot, eased: tuple[str, ...] = ()
    ) -> tuple[str, ...]:
        """Return the titles of these findings that are not ok, and of those that say we could not look.

        Those in ``eased`` may be a warning.
        """
        codes = codes_in(keys)
        # a look that failed is told by the one finding about its system's access
        return tuple(
            finding.title
            for finding in checks.judge(snapshot, self.site, Selection(only=codes))
            if (
                finding.key in keys
                and finding.status is not Status.OK
                and not (finding.key in eased and finding.status is Status.WARNING)
            )
            or (finding.code not in codes and finding.status not in _GOOD)
        )

    def run(self, operation: Operation) -> Outcome:
        """Run an operation once."""
        self.operations_run += 1
        return operations.run(operation, self.site)


def prepare(site: Site, name: str, arguments: Sequence[str]) -> Plan:
    """Look at what a verb needs to know, and plan it; nothing is changed. Raises as ``prepare_verb``."""
    return prepare_verb(site, verbs.find(name), arguments)


def prepare_verb(
    site: Site,
    verb: Verb,
    arguments: Sequence[str],
    asked_by: Sequence[str] = (),
    recalled: Sequence[Observation] = (),
) -> Plan:
    """Plan a verb; the findings ``asked_by`` (``code@subject``) must be gone afterwards, beside those it cures.

    Of one that is critical a warning may stay: a memory kill that was is still told, and harms nobody any more.
    ``recalled`` is what the history tells of earlier changes, where the verb asks for it.

    Raises UsageError for arguments that name nothing, RefusedError when a guard forbids it, UnavailableError when
    what must be known could not be looked at.
    """
    world = LiveWorld(site)
    snapshot = world.look(tuple(sorted({*verb.codes(site, arguments), *codes_in(asked_by)})))
    snapshot = replace(snapshot, observations=(*snapshot.observations, *recalled))
    plan = verb.plan(snapshot, site, arguments)
    wanted = world.findings((*plan.cures, *asked_by), snapshot)
    eased = set(asked_by) - set(plan.cures)
    bad = [finding for finding in wanted if finding.status in _BAD]
    plan = replace(
        plan,
        cures=tuple(finding.key for finding in bad),
        eases=tuple(each.key for each in bad if each.key in eased and each.status is Status.CRITICAL),
    )
    # It would be shown, and journaled, and could not be undone from there.
    if redaction.redacted(to_plain(plan), site) != to_plain(plan):
        raise RefusedError(_("The plan would hold a secret in its commands; nothing was changed"))
    return change_locks.with_notes(site, plan)


def journal_of(site: Site) -> Journal:
    """Return the journal of this site; nothing is opened yet."""
    return Journal(
        history.database_of(site.settings),
        site.settings.site,
        lambda value: redaction.redacted(value, site),
        lambda: seal.key_of(site.settings, is_to_be_made=True),
    )


def lock_of(site: Site, journal: Journal, name: str | None = None) -> ChangeLock:
    """Return the lock of this site, or of something else by its name; nothing is taken yet."""
    place = lock_directory.choose(site.settings.safety.lock_directory)
    return ChangeLock(place, name or site.name, journal.engine() if journal.is_shared else None)


def lock_for(site: Site, journal: Journal, kind: str = "") -> ChangeLock:
    """Return the lock of all changes, or that of one kind of long work (``Plan.lock``); nothing is taken yet."""
    return lock_of(site, journal, f"{site.name} {kind}" if kind else None)


def require_possible(site: Site, plan: Plan) -> Plan:
    """Say before anybody is asked what would stop the change: no journal, or another change under way.

    Return the plan with what was learned of the servers' locks in its notes.
    """
    journal = journal_of(site)
    journal.prepare()
    owner = lock_for(site, journal, plan.lock).holder()
    journal.close()
    if owner is not None:
        raise lock.locked(owner)
    return change_locks.look(site, plan)


def apply(site: Site, plan: Plan, wait_seconds: float, world: LiveWorld | None = None) -> Report:
    """Run a plan under its locks, journaled, and report how it ended.

    ``world`` is the real system as somebody watches it, where that is wanted.
    Raises RefusedError or LockedError when it cannot even begin: then nothing was changed.
    """
    started, started_at = time.monotonic(), datetime.now(timezone.utc)
    world, journal = world or LiveWorld(site), journal_of(site)
    journal.prepare()
    try:
        with shells.kept(), change_locks.alone(site, plan, lock_for(site, journal, plan.lock)) as locks:
            _note_interrupted(journal, plan.lock)
            applied = Engine(world, journal, locks.check, wait_seconds).apply(plan)
            findings = _cured(world, plan) if applied.exit_code == 0 else ()
    except HistoryError as error:
        raise RefusedError(_("{reason}; nothing was changed").format(reason=error.message)) from error
    finally:
        journal.close()
    report = report_of(site, plan, applied)
    return replace(
        report,
        started_at=started_at,
        duration_ms=round((time.monotonic() - started) * 1000),
        findings=(*report.findings, *findings),
        footprint=Footprint(commands=world.operations_run, writes=world.operations_run),
    )


def _cured(world: LiveWorld, plan: Plan) -> tuple[Finding, ...]:
    """Return the findings that asked for the change, as they are now."""
    return world.findings(plan.cures, world.look(codes_in(plan.cures)))


def _note_interrupted(journal: Journal, lock: str) -> None:
    """Close what an earlier process left open: we hold its lock, so nobody works on it any more."""
    for identifier in journal.unfinished():
        change = journal.change(identifier)
        if (change.lock if change else "") == lock:
            journal.write(identifier, history.INTERRUPTED, None, {})


def report_of(site: Site, plan: Plan, applied: Applied | None = None) -> Report:
    """Return a plan, run or only planned, as a report."""
    statuses = applied.statuses if applied else (ActionStatus.PLANNED,) * len(plan.steps)
    change = applied.change if applied else None
    results = (applied.results if applied else ()) or ("",) * len(plan.steps)
    actions = tuple(
        replace(_action(site, step, status, change), result=result)
        for step, status, result in zip(plan.steps, statuses, results, strict=True)
    )
    left_out = (*plan.left_out, *(applied.left_out if applied else ()))
    return Report(
        command=plan.verb,
        started_at=datetime.now(timezone.utc),
        findings=tuple(_finding(plan, each) for each in left_out),
        actions=actions,
        errors=tuple(_errors(site, plan, applied)) if applied else (),
        answer=_answer(site, plan, applied),
    )


def _finding(plan: Plan, left_out: LeftOut) -> Finding:
    """Return that something was left out: that is never ok."""
    status = Status.CRITICAL if left_out.is_failure else Status.WARNING
    title = _("{name} is left out: {reason}").format(
        name=left_out.subject.partition("/")[2], reason=left_out.reason
    )
    code = f"{plan.verb.replace(' ', '.')}.left_out"
    return Finding(code, status, left_out.subject, title, hint=left_out.hint or None)


def refused(site: Site, plan: Plan, error: SamaopsError) -> Report:
    """Return a plan that was not run, and why."""
    report = report_of(site, plan)
    actions = tuple(replace(action, status=ActionStatus.REFUSED) for action in report.actions)
    errors = (ReportError(error.message, error.hint, error.exit_code),)
    return replace(report, actions=actions, errors=errors, answer="")


def not_planned(error: SamaopsError) -> Report:
    """Return why there is not even a plan, as a report."""
    errors = (ReportError(error.message, error.hint, error.exit_code),)
    return Report(command="", started_at=datetime.now(timezone.utc), errors=errors)


def _errors(site: Site, plan: Plan, applied: Applied) -> list[ReportError]:
    if not applied.exit_code:
        return []
    hint = typed(site, f"history show {applied.change}")
    left = [_("{what}; look at it by hand").format(what=what) for what in applied.left_over]
    if not left and ActionStatus.REVERTED in applied.statuses:
        left = [_("what was done has been taken back")]
    elif applied.exit_code in (REFUSED, LOCKED):
        left = [_("nothing was changed")]
    if plan.rest and ActionStatus.PLANNED in applied.statuses:
        left += [_("the others are as they were"), go_on(site, plan.rest)]
    message = joined([applied.failure.rstrip("."), *left])
    return [ReportError(message, hint, applied.exit_code)]


def go_on(site: Site, rest: str) -> str:
    """Say which command does what is left of a change that stopped in the middle (``Plan.rest``)."""
    text = _("to go on with the rest: {command}")
    return text.format(command=typed(site, rest))


def _answer(site: Site, plan: Plan, applied: Applied | None) -> str:
    if not plan.steps:
        return _("Nothing to do: {reason}").format(reason=plan.nothing_to_do)
    if applied is None:
        return _("Plan (nothing has been changed yet): {title}").format(title=plan.title)
    if applied.exit_code:
        return ""
    is_seen = ActionStatus.VERIFIED in applied.statuses
    done = (_("Done and verified: {title}") if is_seen else _("Done: {title}")).format(title=plan.title)
    kept = [number for number, step in enumerate(plan.steps) if step.ends_part]
    if not any(step.undo for step in plan.steps[max(kept, default=-1) + 1 :]):
        return done
    back = _("To take it back: {command}").format(command=typed(site, f"undo {applied.change}"))
    return f"{done}. {back}"


def _action(site: Site, step: Step, status: ActionStatus, change: str | None) -> Action:
    return Action(
        id=step.id,
        title=step.title,
        risk=step.risk,
        status=status,
        commands=operations.lines(step.operation, site),
        undo=operations.lines(step.undo, site) if step.undo else (),
        journal=change,
        server=step.operation.server,
        conditions=tuple(condition.text for condition in (*step.needs, *step.before)),
        verify=tuple(condition.text for condition in step.after),
        no_undo=step.no_undo,
        destroys=step.destroys,
        undo_restores=_restored(step),
    )


def _restored(step: Step) -> tuple[str, ...]:
    """Return what holds again once a step is undone: what is verified then, or what the step itself says."""
    if step.undo is None:
        return ()
    return (step.undo_restores,) if step.undo_restores else tuple(condition.text for condition in step.before)
