"""The answers: which lists there are, what verifies an item, how all of them are now."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

from msgspec import Struct

from samaops.collect import registry
from samaops.config import checklists
from samaops.config.checklists import EVERYTHING, Checklist, Item
from samaops.facts.checklist import FAILED, OK, SEEN, TO_SIGN, UNKNOWN, BookFacts
from samaops.facts.selection import Selection
from samaops.facts.systems import SYSTEMS
from samaops.i18n import N_, _, joined, ngettext
from samaops.journal.checklist import Book
from samaops.journal.database import HistoryError
from samaops.model.status import NAGIOS_CODE, SEVERITY, worst
from samaops.model.table import Column, Table
from samaops.site import redaction
from samaops.site.commands import samaops, typed
from samaops.site.site import Site
from samaops.workflows import change, diagnose
from samaops.workflows.checklist import judged
from samaops.workflows.checklist.judged import SIGNED, WELL, Judged, Seen

DEADLINE_SECONDS = 60.0
WORDS = {
    OK: N_("ok"),
    SIGNED: N_("signed"),
    FAILED: N_("failed"),
    UNKNOWN: N_("unknown"),
    TO_SIGN: N_("to sign"),
}
Row = dict[str, Any]


class Answer(Struct, frozen=True):
    """A list, and the exit code of the contract that it ends with."""

    table: Table
    exit_code: int = 0


def listed(site: Site) -> Table:
    """Return the lists, and how they were when they were looked at last."""
    book, notes = _book(site)
    rows = [_row_of_list(each, book) for each in checklists.all_of().values()]
    columns = (
        Column("checklist", _("list"), is_copied=True),
        Column("title", _("what")),
        Column("items", _("items"), is_number=True),
        Column("closed", _("closed"), is_number=True),
        Column("seen", _("looked at")),
    )
    left = [row["checklist"] for row in rows if row["closed"] != row["items"]]
    text = (
        _("{count} checklists; {names} have open items")
        if left
        else _("{count} checklists, all of them closed")
    )
    answer = text.format(count=len(rows), names=", ".join(left))
    command = samaops(site, f"checklist run {left[0]}" if left else "checklist report")
    return Table("checklists", columns, tuple(rows), "", notes, answer, not notes, (command,))


def _row_of_list(each: Checklist, book: BookFacts) -> Row:
    seen = [entry for entry in book.entries if entry.checklist == each.id and entry.kind == SEEN]
    states = [judged.remembered(each.id, item, book) for item in each.items()]
    return {
        "checklist": each.id, "title": str(each.title), "items": len(states),
        "closed": sum(state in WELL for state in states),
        "seen": judged.said(seen[-1].at) if seen else None, "seen_at": seen[-1].at if seen else None,
    }  # fmt: skip


def shown(site: Site, name: str) -> Table:
    """Return what closes each item of a list, and how it was when it was looked at last; nothing is looked at."""
    checklist = checklists.named(name)
    book, notes = _book(site)
    rows = [
        _row_shown(name, str(part.title), item, book) for part in checklist.sections for item in part.items
    ]
    answer = _("{title}: {count} items").format(title=checklist.title, count=len(rows))
    commands = (samaops(site, f"checklist run {name}"),)
    return Table("checklist", _columns(), tuple(rows), "", notes, answer, not notes, commands)


def _row_shown(checklist: str, section: str, item: Any, book: BookFacts) -> Row:
    last = book.of(checklist, item.id, SEEN)[-1:]
    signature = book.signature(checklist, item.id)
    state = judged.remembered(checklist, item, book)
    since = last[0].at if last else None
    if state == SIGNED and signature is not None and (not last or last[0].state != SIGNED):
        since = signature.signed_at or signature.at
    reason = joined(_closing(item))
    return {
        "checklist": checklist, "section": section, "item": item.id, "title": str(item.title), "state": state,
        "word": _(WORDS[state]) if state in WORDS else _("not looked at"), "status": None, "reason": reason,
        "checks": [*item.checks, *item.also], "since": since, "well_until": None,
        "signed_by": signature.by if signature else None,
        "signed_at": (signature.signed_at or signature.at) if signature else None,
        "note": signature.note if signature else None, "command": None,
    }  # fmt: skip


def _closing(item: Item) -> Iterator[str]:
    """Yield what closes an item."""
    if item.checks:
        yield looked_at(item)
    if item.measured:
        yield _("samaops checklist measure {name}").format(name=item.measured)
    if item.signed:
        yield _("a person signs")


def looked_at(item: Item) -> str:
    """Return the checks that look at an item, "" where none does."""
    if item.checks == (EVERYTHING,):
        return _("all that samaops diagnose looks at")
    return ", ".join((*item.checks, *item.also))


def run(site: Site, names: Sequence[str], deadline_seconds: float = DEADLINE_SECONDS) -> Answer:
    """Look at what some lists name, say how each item is, and keep it."""
    looked = _look(site, names, deadline_seconds)
    title = joined(str(checklists.named(name).title) for name in names)
    answer = _("{word}: {text}").format(word=title, text=_counted(looked.items))
    left = _open(looked.items)
    commands = () if left else (samaops(site, f"checklist report {' '.join(names)}"),)
    return Answer(_table(site, looked, answer, commands, {}), looked.exit_code)


def report(site: Site, names: Sequence[str], deadline_seconds: float = DEADLINE_SECONDS) -> Answer:
    """Look as ``run`` does, and answer with go, no-go or not decided. Without names those lists that decide of the go-live."""
    names = names or checklists.DECISIVE
    return reported(site, names, _look(site, names, deadline_seconds))


def reported(site: Site, names: Sequence[str], looked: Looked) -> Answer:
    """Return what the meeting decides by, of what a look has shown. Pure."""
    items = looked.items
    figures = {
        "decision": judged.decision(items),
        "turned_back": _turned_back(looked),
        "first_looks": list(looked.first or ()),
        "lists": {
            name: dict(judged.counts(each for each in items if each.checklist == name)) for name in names
        },
    }
    return Answer(_table(site, looked, _decided(items), _next(site, items, names), figures), looked.exit_code)


class Looked(Struct, frozen=True):
    """What a look at some lists has shown; ``notes`` are what could not be seen or kept.

    ``first`` are those of which no earlier look is kept, None where what was kept could not be read.
    """

    items: tuple[Judged, ...]
    notes: tuple[str, ...]
    first: tuple[str, ...] | None
    exit_code: int


def _look(site: Site, names: Sequence[str], deadline_seconds: float) -> Looked:
    lists = [checklists.named(name) for name in names]
    book, notes = _book(site)
    selection = Selection(only=_asked(lists))
    if registry.collectors(site, selection):
        snapshot = diagnose.observe(site, selection, deadline_seconds)
        found, is_late = diagnose.judge(snapshot, site, selection), snapshot.deadline_hit
        findings, errors = found.findings, found.errors
    else:  # nothing of it is configured: each item says so, and what people sign is there all the same
        findings, errors, is_late = (), (), False
    seen = Seen(site, findings, book, datetime.now(timezone.utc))
    items = tuple(item for each in lists for item in judged.judge(each, seen))
    failures = (each.message for each in errors)
    return Looked(
        items,
        (*notes, *_kept(site, items, book), *_late(is_late), *failures),
        None if notes else _first_looked_at(names, book),
        errors[0].exit_code if errors else NAGIOS_CODE[worst(each.status for each in items)],
    )


def _table(
    site: Site, looked: Looked, answer: str, commands: tuple[str, ...], figures: Mapping[str, Any]
) -> Table:
    rows: tuple[Row, ...] = tuple(redaction.redacted([_row(each) for each in looked.items], site))
    notes = (*(_first_looks(site, looked.first or ()) if figures else ()), *looked.notes)
    counted = {"counts": dict(judged.counts(looked.items)), "open": _open(looked.items)}
    return Table(
        "checklist", _columns(), rows, "", notes, answer, not looked.notes, commands, {**counted, **figures}
    )


def _columns() -> tuple[Column, ...]:
    return (
        Column("item", _("item"), is_copied=True),
        Column("word", _("state")),
        Column("title", _("what")),
        Column("reason", _("why")),
    )


def _asked(lists: Iterable[Checklist]) -> tuple[str, ...]:
    codes = {code for each in lists for item in each.items() for code in (*item.checks, *item.also)}
    everything = (
        [system for system in SYSTEMS if system not in judged.ON_REQUEST] if EVERYTHING in codes else []
    )
    return (*everything, *sorted(codes - {EVERYTHING}))


def _book(site: Site) -> tuple[BookFacts, tuple[str, ...]]:
    """Return what is kept, and a note where it cannot be read."""
    journal = change.journal_of(site)
    try:
        return BookFacts(Book(journal, site.name).entries()), ()
    except HistoryError as error:
        note = _("what was seen and signed before could not be read: {reason}")
        return BookFacts(()), (note.format(reason=error.message),)
    finally:
        journal.close()


def _kept(site: Site, items: Sequence[Judged], book: BookFacts) -> Iterator[str]:
    """Keep what is otherwise than before; yield a note where that is not possible."""
    entries = judged.changed(items, book)
    if not entries:
        return
    journal = change.journal_of(site)
    try:
        Book(journal, site.name).add(redaction.redacted(entries, site))
    except HistoryError as error:
        yield _("what was seen could not be kept: {reason}").format(reason=error.message)
    finally:
        journal.close()


def _late(is_late: bool) -> Iterator[str]:
    if is_late:
        yield _("time was up before everything was looked at: --deadline gives more")


def _open(items: Iterable[Judged]) -> int:
    return sum(not each.is_closed for each in items)


def _first_looked_at(names: Iterable[str], book: BookFacts) -> tuple[str, ...]:
    """Return the lists of which no earlier look is kept."""
    seen = {entry.checklist for entry in book.entries if entry.kind == SEEN}
    return tuple(name for name in names if name not in seen)


def _first_looks(site: Site, names: Iterable[str]) -> Iterator[str]:
    """Say of each list that was never run that this is its first look, with the command that is next."""
    text = _(
        "The list {list} was never run before this report: what has turned back is not known; next: {command}"
    )
    for name in names:
        yield text.format(list=name, command=typed(site, f"checklist run {name}"))


def _turned_back(looked: Looked) -> int | None:
    """Return how many items were well and are not any more; None where nothing is known of what was before."""
    if looked.first is None or {each.checklist for each in looked.items} <= set(looked.first):
        return None
    return sum(bool(each.well_until) for each in looked.items)


def _counted(items: Sequence[Judged], failed: str = "") -> str:
    """Return how many items are open, by what is missing; ``failed`` is the worst of them."""
    left, every = _open(items), len(items)
    if not left:
        return ngettext("all {count} items are closed", "all {count} items are closed", every).format(
            count=every
        )
    counted = judged.counts(items)
    text = _("{count} failed (first of all: {title})") if failed else _("{count} failed")
    parts = [
        text.format(count=counted[FAILED], title=failed) if counted[FAILED] else "",
        _("{count} not known").format(count=counted[UNKNOWN]) if counted[UNKNOWN] else "",
        _("{count} to sign").format(count=counted[TO_SIGN]) if counted[TO_SIGN] else "",
    ]
    return ngettext(
        "{open} of {count} items is open: {parts}", "{open} of {count} items are open: {parts}", left
    ).format(open=left, count=every, parts=", ".join(filter(None, parts)))


def _decided(items: Sequence[Judged]) -> str:
    """Return go, no-go or not decided, and why."""
    decision = judged.decision(items)
    if decision == judged.NOT_DECIDED:
        return _("Not decided: nothing that was seen has failed, but {text}").format(text=_counted(items))
    word = _("Go") if decision == judged.GO else _("No-go")
    failed = min(
        (each for each in items if each.state == FAILED),
        key=lambda each: SEVERITY.index(each.status),
        default=None,
    )
    text = _counted(items, f"{failed.item.title}, {failed.section}" if failed else "")
    return _("{word}: {text}").format(word=word, text=text)


def _next(site: Site, items: Sequence[Judged], names: Sequence[str]) -> tuple[str, ...]:
    left = [each.checklist for each in items if not each.is_closed]
    if left:
        return tuple(samaops(site, f"checklist run {name}") for name in dict.fromkeys(left))
    behind = checklists.ORDER[checklists.ORDER.index(names[-1]) + 1 :]
    return (samaops(site, f"checklist run {behind[0]}"),) if behind else ()


def _row(each: Judged) -> Row:
    signature = each.signature
    return {
        "checklist": each.checklist, "section": each.section, "item": each.item.id,
        "title": str(each.item.title), "state": each.state, "word": _(WORDS[each.state]),
        "status": each.status.value, "reason": each.reason or None, "checks": [*each.item.checks, *each.item.also],
        "since": each.since, "well_until": each.well_until or None,
        "signed_by": signature.by if signature else None,
        "signed_at": (signature.signed_at or signature.at) if signature else None,
        "note": signature.note if signature else None, "command": each.command or None,
    }  # fmt: skip
