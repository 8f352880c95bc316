"""The incidents of a period: times in which something was down, with what was named as the cause and done about it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta

from samaops.facts.availability import Availability
from samaops.facts.month import Incident, RoutineRun
from samaops.facts.sample import WHOLE, Span
from samaops.model.history import PastChange

# Two times that lie so near to each other are one incident.
_NEAR = timedelta(minutes=10)
# A repair may be begun a little before the first minute that was seen to be down, and end behind the last one.
_BEFORE, _BEHIND = timedelta(minutes=5), timedelta(minutes=15)
_DONE = ("verified", "applied")
# What brings something back; a backup, a clean-up, a silence or a signature beside an incident is no repair of it.
_REPAIRS = (
    "troubleshoot", "docker restart", "docker unpause", "docker set-limit", "workers", "balancer", "rollback",
    "restore", "db cancel", "db terminate", "db checkpoint", "db set", "pool", "redis", "queue", "disk clean",
)  # fmt: skip
# What changes nothing that runs, whatever its plan is for.
_NO_REPAIRS = ("silence", "schedule", "checklist", "release", "config", "backup", "notify")


def of(
    availability: Sequence[Availability], changes: Sequence[PastChange], routines: Sequence[RoutineRun]
) -> tuple[Incident, ...]:
    """Return the incidents, oldest first."""
    spans = sorted(
        ((span, each) for each in availability for span in each.outages), key=lambda pair: pair[0].since
    )
    return tuple(_incident(group, changes, routines) for group in _grouped(spans))


def _grouped(
    spans: Iterable[tuple[Span, Availability]],
) -> Iterator[list[tuple[Span, Availability]]]:
    group: list[tuple[Span, Availability]] = []
    ends: datetime | None = None
    for span, of_ in spans:
        if ends is not None and span.since - ends > _NEAR:
            yield group
            group, ends = [], None
        group.append((span, of_))
        ends = span.until if ends is None else max(ends, span.until)
    if group:
        yield group


def _incident(
    group: Sequence[tuple[Span, Availability]],
    changes: Sequence[PastChange],
    routines: Sequence[RoutineRun],
) -> Incident:
    since = min(span.since for span, _of in group)
    until = max(span.until for span, _of in group)
    made = [each for each in changes if since - _BEFORE <= _moment(each.at) <= until + _BEHIND]
    by_id = {each.id: each for each in changes}
    done = [each for each in made if _is_repair(each, by_id)]
    whole = [(span, each) for span, each in group if each.subject == WHOLE]
    return Incident(
        since,
        until,
        tuple(dict.fromkeys(each.subject for _span, each in group)),
        sum(span.minutes for span, _each in whole),
        sum(span.minutes - _planned(span, each) for span, each in whole),
        is_over=all(span.is_over for span in {each.subject: span for span, each in group}.values()),
        cause=_cause(since, until, done, routines),
        repairs=tuple(each.title for each in done),
        changes=tuple(each.id for each in made),
        who=tuple(dict.fromkeys(f"{each.user}@{each.host}" for each in done)),
        is_verified=any(each.status == "verified" for each in done) if done else None,
    )


def _is_repair(made: PastChange, by_id: Mapping[str, PastChange]) -> bool:
    """Return whether a change was to bring something back, was done, and was not taken back.

    What takes another change back repairs where that one was of a kind that changes what runs; the end of a silence does not.
    """
    if made.status not in _DONE or made.undone_by:
        return False
    of = by_id.get(made.undoes) if made.undoes else made
    verb = of.verb if of is not None else ""
    if verb.partition(" ")[0] in _NO_REPAIRS:
        return False
    return bool(_cures(made)) or any(f"{verb} ".startswith(f"{each} ") for each in _REPAIRS)


def _planned(span: Span, of_: Availability) -> int:
    """Return how many minutes of a span lie in planned times, which cost no budget; those of two are counted once."""
    minutes = 0
    reached = span.since
    for planned in sorted(of_.planned, key=lambda each: each.since):
        begins, ends = max(reached, planned.since), min(span.until, planned.until)
        if ends > begins:
            minutes += round((ends - begins).total_seconds() / 60)
            reached = ends
    return minutes


def _cause(
    since: datetime, until: datetime, done: Sequence[PastChange], routines: Sequence[RoutineRun]
) -> str:
    """Return what a run of that time named; else what the repair was to cure; "" where nothing says it."""
    for run in routines:
        if since <= run.at <= until + _BEHIND and run.causes:
            return run.causes[0].title
    for each in done:
        cured = _cures(each)
        if cured:
            code, _at, subject = cured[0].partition("@")
            return f"{subject}: {code}" if subject else code
    return ""


def _cures(made: PastChange) -> Sequence[str]:
    """Return the findings that a change was to cure, as its plan has them."""
    plan = made.moments[0].details.get("plan") if made.moments else None
    cures = plan.get("cures") if isinstance(plan, Mapping) else None
    return [str(key) for key in cures] if isinstance(cures, Sequence) else []


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)
