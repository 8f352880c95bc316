"""The databases that were replaced: one of them goes back into its place, or goes for good."""

from __future__ import annotations

from datetime import datetime, timezone

from samaops.changes.restoring import swap as swaps
from samaops.changes.restoring.work import (
    DROP,
    LOCK,
    SHORT_SECONDS,
    Dropping,
    Swapping,
    backup_of,
    configured,
    facts,
    operation,
)
from samaops.changes.verbs import verb
from samaops.errors import RefusedError
from samaops.facts.observation import Snapshot
from samaops.facts.restoring import Database, RestoringFacts
from samaops.i18n import _
from samaops.model.plan import Plan, Risk, Step
from samaops.model.quantities import duration, moment, size
from samaops.site.commands import typed
from samaops.site.site import Site

BACK, FORGET = "restore undo", "restore forget"


def _back_looks(site: Site, _name: str = "") -> tuple[str, ...]:
    backup_of(site)
    return swaps.codes(site)


def _typed(name: str = "") -> tuple[str, ...]:
    return (name,) if name else ()


@verb(BACK, looks=_back_looks, typed=_typed)
def plan_back(snapshot: Snapshot, site: Site, name: str = "") -> Plan:
    """Plan that the newest replaced database, or the named one, goes back into its place.

    The one that is there now is kept closed in its turn, so that this can be taken back too.
    """
    backup, live_name, seen = backup_of(site), configured(site).database, facts(snapshot)
    old = _replaced(site, seen, live_name, name)
    mark, live = old.mark, seen.database(live_name)
    assert mark is not None
    if live is not None:
        swaps.require_swappable(site, live, seen)
    stamp = datetime.fromtimestamp(seen.epoch, timezone.utc).strftime("%Y%m%d_%H%M%S")
    swapping = Swapping(
        live=live_name,
        outgoing=swaps.outgoing_name(seen, stamp),
        of=mark.of,
        keep_days=backup.keep_replaced_days,
        aliases=swaps.aliases_in(snapshot, site, live_name) if live else (),
        incoming=old.name,
        incoming_oid=old.oid,
        live_oid=live.oid if live else 0,
    )
    text = _("Put {name} back in the place of {live}: it was replaced {moment}, {age} ago")
    title = text.format(
        name=old.name, live=live_name, moment=moment(mark.at), age=duration(max(0.0, seen.epoch - mark.at))
    )
    lost = _("all that was written since {moment} goes out of sight: it is only in {name} then")
    destroys = lost.format(moment=moment(mark.at), name=swapping.outgoing) if live else ""
    undo = swaps.back(swapping, f"{swapping.outgoing}_back") if live else None
    return Plan(
        BACK,
        (name,) if name else (),
        title,
        target=live_name,
        steps=(swaps.swap_step(site, swapping, destroys, undo),),
        notes=tuple(swaps.notes(site, swapping, seen.sessions)),
        lock=LOCK,
    )


def _replaced(site: Site, seen: RestoringFacts, live: str, name: str) -> Database:
    """Return the newest replaced database, or the one of that name. Raises RefusedError."""
    known = seen.replaced(live)
    chosen = [each for each in known if name in ("", each.name)]
    if not chosen:
        text = _("there is no replaced database {name}") if name else _("no database was replaced")
        raise RefusedError(text.format(name=name), hint=typed(site, "restore list"))
    return chosen[0]


def _forget_looks(site: Site, _name: str) -> tuple[str, ...]:
    configured(site)
    return ()


@verb(FORGET, looks=_forget_looks)
def plan_forget(snapshot: Snapshot, site: Site, name: str) -> Plan:
    """Plan that a database of ours is dropped. Guards: its name and its comment are ours, nobody is in it."""
    seen = facts(snapshot)
    known = seen.database(name)
    plan_title = _("Drop {name}").format(name=name)
    if known is None:
        return Plan(
            FORGET,
            (name,),
            plan_title,
            name,
            nothing_to_do=_("there is no database {name}").format(name=name),
        )
    mark = known.mark
    if mark is None or name == configured(site).database:
        text = _("{name} is not a database that samaops made or replaced: it is not touched")
        raise RefusedError(text.format(name=name), hint=typed(site, "restore list"))
    if known.sessions:
        text = _("{count} sessions are in {name}")
        raise RefusedError(text.format(count=known.sessions, name=name), hint=typed(site, "db activity"))
    text = _("all that is in {name}, {size}: what {database} had until {moment}")
    step = Step(
        "restore.forget",
        plan_title,
        Risk.DESTRUCTIVE,
        operation=operation(DROP, Dropping(name), site, SHORT_SECONDS),
        before=(),
        after=(),
        no_undo=_("a database that was dropped is gone"),
        destroys=text.format(
            name=name, size=size(known.bytes), database=mark.database, moment=moment(mark.at)
        ),
        servers=(),
    )
    notes = []
    if mark.until is not None and mark.until > seen.epoch:
        kept = _("It was to be kept until {moment} ([backup] keep_replaced_days)")
        notes.append(kept.format(moment=moment(mark.until)))
    return Plan(FORGET, (name,), plan_title, name, steps=(step,), notes=tuple(notes), lock=LOCK)
