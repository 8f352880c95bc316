"""What was changed before, and the plan to take one change back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timezone
from functools import cache
from itertools import islice
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from samaops.changes import readings, verbs
from samaops.changes import undo as undoing
from samaops.changes.run import operations
from samaops.clients.errors import ClientError
from samaops.config import consistency, playbooks
from samaops.errors import RefusedError, UsageError
from samaops.facts.observation import Snapshot
from samaops.i18n import N_, _, joined
from samaops.journal import history
from samaops.journal.history import Change, Event, Journal
from samaops.journal.owner import Owner
from samaops.journal.plans import fault_of, plan_from
from samaops.model.history import Moment, PastChange, local
from samaops.model.plan import Plan
from samaops.site.commands import samaops
from samaops.site.shell_words import operands, quoted
from samaops.site.site import Site
from samaops.workflows import change_locks
from samaops.workflows.change import LiveWorld, go_on, journal_of, lock_for, prepare

# In the place of an id.
LAST = "last"
UNREADABLE = "unreadable"
_WITHOUT_EFFECT = ("reverted", "refused")
_MOST_SHOWN = 5
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
# How a change ended, one word as programs read it.
_ENDED = (N_("verified"), N_("applied"), N_("failed"), N_("reverted"), N_("refused"))


class Wanted(Struct, frozen=True):
    """Which changes are asked for: begun at ``since`` or later and before ``until``; "" stands for any."""

    since: datetime | None = None
    until: datetime | None = None
    kind: str = ""
    server: str = ""
    result: str = ""


ANY = Wanted()


def changes(
    site: Site, limit: int, wanted: Wanted = ANY, *, with_moments: bool = False
) -> tuple[PastChange, ...]:
    """Return the last changes that are wanted, newest first; with all their events, if asked for.

    Raises UnavailableError when the journal cannot be read, UsageError for a kind or a server that nothing has.
    """
    with _opened(site) as journal:
        holder = cache(lambda lock: _running(site, journal, lock))
        fitting = (change for change in _since(journal, wanted.since) if _fits(change, wanted, holder))
        changes, undone = tuple(islice(fitting, limit)), journal.undone_by()
        if not changes:
            _require_known(site, wanted)
        return tuple(
            _shown(site, change, _holder_of(change, holder), undone, with_moments=with_moments)
            for change in changes
        )


def _since(journal: Journal, since: datetime | None) -> Iterator[Change]:
    for change in journal.newest_first():
        if since is not None and not fault_of(change) and datetime.fromisoformat(change.began_at) < since:
            return
        yield change


def _fits(change: Change, wanted: Wanted, holder: Callable[[str], Owner | None]) -> bool:
    if fault_of(change):  # it may be any of those that are asked for
        return wanted.result in ("", UNREADABLE)
    words = {word.lstrip("-") for word in str(change.plan["verb"]).split()}
    servers = _servers_of(change)
    return (
        (wanted.until is None or datetime.fromisoformat(change.began_at) < wanted.until)
        and words.issuperset(wanted.kind.split())
        and (not wanted.server or not servers or wanted.server in servers)
        and (not wanted.result or change.status(_holder_of(change, holder)) == wanted.result)
    )


def _servers_of(change: Change) -> set[str]:
    """Return the servers that a change touches; none where it does not say, for that may be each of them."""
    servers: set[str] = set()
    for step in plan_from(change.plan).steps:
        places = [operation.server for operation in (step.operation, step.undo) if operation is not None]
        servers.update(server for server in (*places, *(step.servers or ())) if server)
    return servers


def _holder_of(change: Change, holder: Callable[[str], Owner | None]) -> Owner | None:
    """Ask who makes a change right now, only where that can be of interest."""
    return None if change.last(history.ENDED) else holder(change.lock)


def _require_known(site: Site, wanted: Wanted) -> None:
    kinds = {word.lstrip("-") for verb in (*verbs.names(), "undo") for word in verb.split()}
    for word in wanted.kind.split():
        if word not in kinds:
            text = _("There is no kind of change {kind!r}").format(kind=word)
            raise UsageError(text, hint=consistency.not_one_of(word, sorted(kinds)))
    servers = site.settings.servers
    if wanted.server and wanted.server not in servers:
        text = _("The configuration knows no server {server!r}").format(server=wanted.server)
        raise UsageError(text, hint=consistency.not_one_of(wanted.server, servers))


def change(site: Site, identifier: str) -> PastChange:
    """Return one change with all its events: by its id, the beginning of it, or as the ``last``.

    Raises UsageError when there is none, or several.
    """
    with _opened(site) as journal:
        change = next(journal.newest_first(), None) if identifier == LAST else None
        change = change or _find(journal, identifier)
        return _shown(
            site, change, _running(site, journal, change.lock), journal.undone_by(), with_moments=True
        )


def undo(site: Site, identifier: str) -> Plan:
    """Plan to take a change back: by its id, the beginning of it, or the ``last`` that has an effect.

    Nothing is changed. Raises UsageError when there is no such change, RefusedError when it cannot be taken back, or
    still runs.
    """
    with _opened(site) as journal:
        change = _last_effective(journal) if identifier == LAST else _find(journal, identifier)
        _require_understood(site, change)
        if change.status(_running(site, journal, change.lock)) == "running":
            raise RefusedError(_("The change {id} is still being made").format(id=change.id))
        is_proven = journal.is_proven(change)
    plan = _taken_back(site, change)
    if identifier == LAST or not is_proven:
        text = _("The last change is {id}, made by {user} on {host} at {at}")
        if identifier != LAST:
            text = _("The change {id} was made by {user} on {host} at {at}, as the history says")
        owner = change.owner
        note = text.format(id=change.id, user=owner.user, host=owner.host, at=local(change.began_at))
        plan = replace(plan, notes=(note, *plan.notes))
    if not is_proven:
        plan = _doubted(plan, change)
    return change_locks.with_notes(site, plan)


def _doubted(plan: Plan, change: Change) -> Plan:
    """Return the plan to take back what anybody who writes to the shared history may have put in: its id is typed."""
    doubt = _(
        "Nothing here proves that samaops wrote this change: another machine did, or whoever may write the history"
    )
    advice = _("A key that all control machines share ends that: key in [history] (docs/changes.md)")
    return replace(plan, target=change.id, doubt=doubt, notes=(*plan.notes, doubt, advice))


def _taken_back(site: Site, change: Change) -> Plan:
    original = plan_from(change.plan)
    if original.taken_back_by:
        verb, *arguments = original.taken_back_by
        plan = prepare(site, verb, arguments)
        title = _("Take back: {title}").format(title=original.title)
        return replace(plan, verb="undo", arguments=(change.id,), title=title, undoes=change.id)
    codes = undoing.codes_of(change)
    snapshot = LiveWorld(site).look(codes) if codes else Snapshot(datetime.now(timezone.utc))
    return undoing.plan(change, snapshot, operations.is_done)


def _last_effective(journal: Journal) -> Change:
    """Return the newest change that is not itself an undo, was not taken back, and has done something."""
    undone = journal.undone_by()
    for change in journal.newest_first():
        if fault_of(change):
            return change
        ended = change.last(history.ENDED)
        is_without_effect = (ended is not None and ended.details["status"] in _WITHOUT_EFFECT) or (
            change.last(history.STEP_BEGUN) is None and ended is not None
        )
        if not (change.plan.get("undoes") or change.id in undone or is_without_effect):
            return change
    raise RefusedError(_("No change is left to take back"), hint="samaops history list")


def _require_understood(site: Site, change: Change) -> None:
    """Raise RefusedError when it is not known here what was done: another version wrote it, or it was spoiled."""
    reason = fault_of(change)
    if not reason:
        try:
            for step in plan_from(change.plan).steps:
                readings.require_known((*step.needs, *step.before, *step.after))
                for operation in filter(None, (step.operation, step.undo)):
                    operations.lines(operation, site)
        except ClientError as error:  # the section of its system has gone
            reason = error.message
        except (LookupError, TypeError, ValueError) as error:
            reason = f"{type(error).__name__}: {error}"
    if reason:
        text = _("The change {id} cannot be taken back: what was done is not understood here: {reason}")
        raise RefusedError(
            text.format(id=change.id, reason=reason),
            hint=samaops(site, f"history show {operands(change.id)}"),
        )


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
        fitting = journal.beginning_with(identifier) if identifier else ()
        if len(fitting) > 1:
            shown = ", ".join((*fitting[:_MOST_SHOWN], *(["…"] if len(fitting) > _MOST_SHOWN else [])))
            text = _("Several changes begin with {id!r}: {ids}").format(id=identifier, ids=shown)
            raise UsageError(text, hint="samaops history list")
        change = journal.change(fitting[0]) if fitting else None
    if change is None:
        raise UsageError(
            _("There is no change {id!r} in the history").format(id=identifier), hint="samaops history list"
        )
    return change


def _running(site: Site, journal: Journal, lock: str) -> Owner | None:
    """Return who makes a change under a lock (``Plan.lock``) right now, None when nobody does."""
    return lock_for(site, journal, lock).holder()


def _shown(
    site: Site,
    change: Change,
    running: Owner | None,
    undone: Mapping[str, str],
    *,
    with_moments: bool = False,
) -> PastChange:
    """Return a change as it is shown; one that cannot be read is there too, with the reason."""
    reason = fault_of(change)
    if not reason:
        return _past(site, change, running, undone, with_moments=with_moments)
    return PastChange(
        id=change.id,
        at=change.began_at,
        user="?",
        host="?",
        verb="?",
        title="?",
        status=UNREADABLE,
        reason=reason,
        unfinished_step="",
        undoes=None,
        undone_by=undone.get(change.id),
    )


def _past(
    site: Site,
    change: Change,
    running: Owner | None,
    undone: Mapping[str, str],
    *,
    with_moments: bool = False,
) -> PastChange:
    ended, titles = change.last(history.ENDED), [str(step["title"]) for step in change.plan["steps"]]
    moments = tuple(_moment(event, titles) for event in change.events) if with_moments else ()
    status = change.status(running)
    reasons = (_reason(ended.details) if ended else "", _rest(site, change, status))
    return PastChange(
        id=change.id,
        at=change.began_at,
        user=change.owner.user,
        host=change.owner.host,
        verb=" ".join([str(change.plan["verb"]), *map(str, change.plan["arguments"])]),
        title=str(change.plan["title"]),
        status=status,
        reason=joined(filter(None, reasons)),
        unfinished_step="" if ended else _unfinished(change, titles),
        undoes=change.plan.get("undoes"),
        undone_by=undone.get(change.id),
        moments=moments,
        command=_command(site, change),
    )


def _command(site: Site, change: Change) -> str:
    """Return the command that asks for the same again, "" when there is none any more."""
    verb, arguments = str(change.plan["verb"]), [str(argument) for argument in change.plan["arguments"]]
    if verb in verbs.names():
        arguments = list(verbs.find(verb).typed(*arguments))
    elif verb != "undo":
        fix = verb.removeprefix("troubleshoot ")
        offering = [book.id for book in playbooks.all_of(site.settings).values() if fix in book.fixes]
        if len(offering) != 1:
            return ""
        verb, arguments = f"troubleshoot {offering[0]}", ["--apply", fix]
    return samaops(site, " ".join([verb, *map(quoted, arguments)]))


def _reason(details: Mapping[str, Any]) -> str:
    left_over = details.get("left_over")
    texts = (details.get("reason"), *(left_over if isinstance(left_over, list) else ()))
    return joined(str(text) for text in texts if text)


def _rest(site: Site, change: Change, status: str) -> str:
    """Say what goes on with a change that stopped before its last step; "" where nothing is left, or nothing does."""
    begun = {event.step for event in change.events if event.kind == history.STEP_BEGUN}
    rest = str(change.plan.get("rest") or "")
    if not rest or status == "running" or not begun or len(begun) == len(change.plan["steps"]):
        return ""
    return go_on(site, rest)


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
    if output in _ENDED:
        output = _(output)
    text = _(": ").join([*words, str(output)] if output else words)
    return Moment(event.at, event.kind, event.step, text, details)
