"""What was changed before, and the plan to take one change back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import Any

from samaops.changes import undo as undoing
from samaops.changes.run import operations
from samaops.errors import RefusedError, UsageError
from samaops.facts.observation import Snapshot
from samaops.i18n import N_, _
from samaops.journal import history
from samaops.journal.history import Change, Event, Journal
from samaops.journal.owner import Owner
from samaops.model.history import Moment, PastChange
from samaops.model.plan import Plan
from samaops.site.site import Site
from samaops.workflows import exclusion
from samaops.workflows.change import LiveWorld, journal_of, lock_of

_KINDS = {
    history.BEGUN: N_("begun"),
    history.STEP_BEGUN: N_("begun"),
    history.STEP_ENDED: N_("the command ended"),
    history.STEP_VERIFIED: N_("seen to work"),
    history.UNDO_BEGUN: N_("taking back begun"),
    history.UNDO_ENDED: N_("taking back ended"),
    history.ENDED: N_("ended"),
    history.INTERRUPTED: N_("found interrupted"),
}


def changes(site: Site, limit: int) -> tuple[PastChange, ...]:
    """Return the last changes, newest first. Raises UnavailableError when the journal cannot be read."""
    with _opened(site) as journal:
        changes, undone = journal.changes(limit), journal.undone_by()
        is_open = any(not change.last(history.ENDED) for change in changes)
        running = _running(site, journal) if is_open else None
        return tuple(_past(change, running, undone) for change in changes)


def change(site: Site, identifier: str) -> PastChange:
    """Return one change with all its events. Raises UsageError when there is none of this id."""
    with _opened(site) as journal:
        change = _find(journal, identifier)
        return _past(change, _running(site, journal), journal.undone_by(), with_moments=True)


def undo(site: Site, identifier: str) -> Plan:
    """Plan to take a change back; nothing is changed.

    Raises UsageError when there is no such change, RefusedError when it cannot be taken back, or still runs.
    """
    with _opened(site) as journal:
        change = _find(journal, identifier)
        if change.status(_running(site, journal)) == "running":
            raise RefusedError(_("The change {id} is still being made").format(id=identifier))
    codes = undoing.codes_of(change)
    snapshot = LiveWorld(site).look(codes) if codes else Snapshot(datetime.now(timezone.utc))
    return exclusion.with_notes(site, undoing.plan(change, snapshot, operations.is_done))


@contextmanager
def _opened(site: Site) -> Iterator[Journal]:
    journal = journal_of(site)
    try:
        yield journal
    finally:
        journal.close()


def _find(journal: Journal, identifier: str) -> Change:
    change = journal.change(identifier)
    if change is None:
        raise UsageError(
            _("There is no change {id!r} in the history").format(id=identifier), hint="samaops history list"
        )
    return change


def _running(site: Site, journal: Journal) -> Owner | None:
    """Return who makes a change right now, None when nobody does."""
    return lock_of(site, journal).holder()


def _past(
    change: Change, running: Owner | None, undone: Mapping[str, str], *, with_moments: bool = False
) -> PastChange:
    ended, titles = change.last(history.ENDED), [str(step["title"]) for step in change.plan["steps"]]
    moments = tuple(_moment(event, titles) for event in change.events) if with_moments else ()
    return PastChange(
        id=change.id,
        at=change.began_at,
        user=change.owner.user,
        host=change.owner.host,
        verb=" ".join([str(change.plan["verb"]), *map(str, change.plan["arguments"])]),
        title=str(change.plan["title"]),
        status=change.status(running),
        reason=_reason(ended.details) if ended else "",
        unfinished_step="" if ended else _unfinished(change, titles),
        undoes=change.plan.get("undoes"),
        undone_by=undone.get(change.id),
        moments=moments,
    )


def _reason(details: Mapping[str, Any]) -> str:
    return "; ".join(text for text in (details.get("reason", ""), *details.get("left_over", ())) if text)


def _unfinished(change: Change, titles: list[str]) -> str:
    """Return the step that was begun and of which nothing more is known."""
    last = change.last(history.STEP_BEGUN, history.STEP_ENDED, history.STEP_VERIFIED, history.UNDO_BEGUN)
    if last is None or last.step is None or last.kind == history.STEP_VERIFIED:
        return ""
    return titles[last.step]


def _moment(event: Event, titles: list[str]) -> Moment:
    words = [_(_KINDS.get(event.kind, event.kind))]
    if event.step is not None:
        words.insert(0, titles[event.step])
    details = event.details
    # An earlier version called the output what was "said".
    output = details.get("output") or details.get("said") or details.get("status")
    text = ": ".join([*words, str(output)] if output else words)
    return Moment(event.at, event.kind, event.step, text, details)
