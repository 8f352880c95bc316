"""Which times were planned, by what is journaled: members that were taken out on purpose, and pauses of all jobs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

from samaops.errors import UnavailableError
from samaops.facts.availability import Period, Planned
from samaops.facts.sample import MEMBER
from samaops.i18n import _
from samaops.journal.history import DONE, Change
from samaops.site.site import Site
from samaops.workflows import change

DRAIN, ENABLE, PAUSE, RESUME, ALL = (
    "balancer drain",
    "balancer enable",
    "schedule pause",
    "schedule resume",
    "all",
)
# What lies before a period can reach into it for so long; a member that nobody has put back by then was forgotten.
LONGEST = timedelta(days=31)
LONGEST_DRAIN = timedelta(days=1)


def read(site: Site, period: Period) -> tuple[tuple[Planned, ...], str]:
    """Return the planned times that touch a period, and why they are not known, "" where they are."""
    journal = change.journal_of(site)
    try:
        changes = []
        for each in journal.newest_first():
            if datetime.fromisoformat(each.began_at) < period.since - LONGEST:
                break
            changes.append(each)
        undone = journal.undone_by()
    except UnavailableError as error:
        return (), error.message
    except (ValueError, KeyError, TypeError):
        return (), _("a change in the history cannot be read")
    finally:
        journal.close()
    return tuple(_touching(times(changes, undone, site), period)), ""


def _touching(planned: Iterable[Planned], period: Period) -> Iterator[Planned]:
    for each in planned:
        since, until = max(each.since, period.since), min(each.until, period.until)
        if since < until:
            yield Planned(since, until, each.what, each.source)


def times(changes: Sequence[Change], undone: dict[str, str], site: Site) -> Iterator[Planned]:
    """Yield the planned times of changes, which may stand in any order. Pure.

    ``what`` is a subject of samples, or ``all`` for a pause of everything.
    """
    done = [(each, _plan(each)) for each in sorted(changes, key=lambda each: each.began_at) if _is_done(each)]
    ended = {each.id: _ended_at(each) for each, _plan_ in done}
    for place, (each, plan) in enumerate(done):
        verb, arguments = str(plan.get("verb")), [str(argument) for argument in plan.get("arguments") or ()]
        if not arguments:
            continue
        taken_back = ended.get(undone.get(each.id, ""))
        if verb == DRAIN:
            until = _ended_at(each) + LONGEST_DRAIN
            until = min([until, *_ends(done[place + 1 :], (ENABLE, DRAIN), arguments[0])])
            member = site.member(arguments[0]) or site.member_at(arguments[0])
            what = f"{MEMBER}/{member.name if member else arguments[0]}"
            yield Planned(_began_at(each), min(until, taken_back or until), what, each.id)
        elif verb == PAUSE and arguments[0] == ALL and len(arguments) > 1:
            until = datetime.fromisoformat(arguments[1])
            until = min([until, *_ends(done[place + 1 :], (RESUME, PAUSE), ALL)])
            yield Planned(_ended_at(each), min(until, taken_back or until), ALL, each.id)


def _ends(
    later: Sequence[tuple[Change, dict[str, Any]]], verbs: Sequence[str], name: str
) -> Iterator[datetime]:
    """Yield when later changes ended what an earlier one began."""
    for each, plan in later:
        if plan.get("verb") in verbs and [str(word) for word in plan.get("arguments") or ()][:1] == [name]:
            yield _ended_at(each)


def _is_done(each: Change) -> bool:
    ended = each.last("ended")
    return ended is not None and ended.details.get("status") in DONE and bool(_plan(each))


def _plan(each: Change) -> dict[str, Any]:
    details = each.events[0].details
    plan = details.get("plan")
    return dict(plan) if isinstance(plan, dict) else {}


def _began_at(each: Change) -> datetime:
    return datetime.fromisoformat(each.began_at)


def _ended_at(each: Change) -> datetime:
    ended = each.last("ended")
    return datetime.fromisoformat(ended.at if ended else each.began_at)
