"""Pause a job, or all, until a moment and with a reason; and let it go on before."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from msgspec import Struct, to_builtins
from msgspec.structs import replace

from samaops.changes.readings import facts_in, reading
from samaops.changes.verbs import verb
from samaops.errors import UsageError
from samaops.facts.observation import Snapshot
from samaops.facts.schedule import PAUSES, Pause, ScheduleFacts
from samaops.i18n import _
from samaops.model.plan import Condition, Operation, Plan, Risk, Step
from samaops.model.quantities import moment
from samaops.site import jobs
from samaops.site.commands import typed
from samaops.site.site import Site

PAUSE = "schedule.pause"
ALL = "all"
PAUSED = "schedule.paused"
_CODES = (PAUSES,)
_LONGEST_REASON = 200
# Nothing that is to be remembered longer is a pause: the line of the job is emptied for it.
LONGEST = timedelta(days=31)


class Pausing(Struct, frozen=True):
    """Until when a job is paused, and why; "" as ``until`` where it is not any more."""

    job: str
    until: str
    reason: str


def _looks(site: Site, job: str, *_arguments: str) -> tuple[str, ...]:
    if job != ALL:
        jobs.named(site, job)
    return _CODES


@verb(
    "schedule pause",
    looks=_looks,
    typed=lambda job, until, reason: (job, "--until", until, "--reason", reason),
)
def plan_pause(snapshot: Snapshot, _site: Site, job: str, until: str, reason: str) -> Plan:
    """Plan that a job is not begun until a moment (ISO 8601)."""
    reason = " ".join(reason.split())
    if not reason or len(reason) > _LONGEST_REASON:
        text = _("--reason: why it is paused, in at most {count} characters")
        raise UsageError(text.format(count=_LONGEST_REASON))
    ends = datetime.fromisoformat(until).astimezone(timezone.utc)
    facts = facts_in(snapshot, ScheduleFacts)
    if ends <= facts.taken_at:
        text = _("{moment} lies in the past: a pause ends later")
        raise UsageError(text.format(moment=moment(ends.timestamp())), hint="--for 2h")
    if ends > facts.taken_at + LONGEST:
        raise UsageError(_("a pause ends within the next 31 days"), hint="--for 2h")
    title = _("Pause {job} until {moment}: {reason}").format(
        job=job, moment=moment(ends.timestamp()), reason=reason
    )
    return _plan(snapshot, "schedule pause", (job, until, reason), title, Pausing(job, until, reason))


@verb("schedule resume", looks=_looks)
def plan_resume(snapshot: Snapshot, site: Site, job: str) -> Plan:
    """Plan that a job is begun again at its time."""
    title = _("Let {job} be begun at its time again").format(job=job)
    plan = _plan(snapshot, "schedule resume", (job,), title, Pausing(job, "", ""))
    pauses = {
        pause.job for pause in facts_in(snapshot, ScheduleFacts).pauses if pause.until > snapshot.taken_at
    }
    if job != ALL and ALL in pauses:
        note = _("all jobs are paused: {command}")
        command = typed(site, "schedule resume all")
        plan = replace(plan, notes=(*plan.notes, note.format(command=command)))
    return plan


def _plan(snapshot: Snapshot, name: str, arguments: tuple[str, ...], title: str, wanted: Pausing) -> Plan:
    plan = Plan(name, arguments, title, target=wanted.job)
    before = _said(_pause_in(facts_in(snapshot, ScheduleFacts), wanted.job, snapshot.taken_at))
    after = _written(wanted)
    if before == after:
        nothing = _("it is paused so already") if after else _("it is not paused")
        return replace(plan, nothing_to_do=nothing)
    step = Step(
        name.replace(" ", "."),
        title,
        Risk.SAFE,
        Operation(PAUSE, to_builtins(wanted)),
        before=(_is(wanted.job, before),),
        after=(_is(wanted.job, after),),
        undo=Operation(PAUSE, to_builtins(_wanted(wanted.job, before))),
        servers=(),
        about=f"schedule/{wanted.job}",
    )
    return replace(plan, steps=(step,))


def _is(job: str, value: str) -> Condition:
    text = _("{job} is paused until {value}") if value else _("{job} is not paused")
    return Condition(PAUSED, (job,), value, text.format(job=job, value=value))


@reading(PAUSED, codes=_CODES)
def paused(snapshot: Snapshot, job: str) -> str:
    """Return until when a job is paused and why; "" when it is not."""
    return _said(_pause_in(facts_in(snapshot, ScheduleFacts), job, snapshot.taken_at))


def _pause_in(facts: ScheduleFacts, job: str, now: datetime) -> Pause | None:
    return next((pause for pause in facts.pauses if pause.job == job and pause.until > now), None)


def _said(pause: Pause | None) -> str:
    return f"{_until(pause.until)} {pause.reason}" if pause else ""


def _written(wanted: Pausing) -> str:
    return f"{_until(datetime.fromisoformat(wanted.until))} {wanted.reason}" if wanted.until else ""


def _wanted(job: str, value: str) -> Pausing:
    until, _space, reason = value.partition(" ")
    return Pausing(job, until, reason)


def _until(moment_: datetime) -> str:
    return moment_.astimezone(timezone.utc).isoformat(timespec="seconds")
