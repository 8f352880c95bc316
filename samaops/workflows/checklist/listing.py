"""The answers: which lists there are, what verifies an item, how all of them are now."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timezone
from typing import Any

from msgspec import Struct

from samaops.config import checklists
from samaops.config.checklists import EVERYTHING, Checklist
from samaops.facts.checklist import FAILED, OK, SEEN, TO_SIGN, UNKNOWN, BookFacts
from samaops.facts.selection import Selection
from samaops.facts.systems import SYSTEMS
from samaops.i18n import N_, _, joined, ngettext
from samaops.journal.checklist import Book
from samaops.journal.history import HistoryError
from samaops.model.status import NAGIOS_CODE, worst
from samaops.model.table import Column, Table
from samaops.site import redaction
from samaops.site.commands import samaops
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


def _closing(item: Any) -> Iterator[str]:
    """Yield what closes an item."""
    if item.checks == (EVERYTHING,):
        yield _("all that samaops diagnose looks at")
    elif item.checks:
        yield ", ".join((*item.checks, *item.also))
    if item.measured:
        yield _("samaops checklist measure {name}").format(name=item.measured)
    if item.signed:
        yield _("a person signs")


def run(site: Site, names: Sequence[str], deadline_seconds: float = DEADLINE_SECONDS) -> Answer:
    """Look at what some lists name, say how each item is, and keep it."""
    return _answered(site, names, deadline_seconds, is_report=False)


def report(site: Site, names: Sequence[str], deadline_seconds: float = DEADLINE_SECONDS) -> Answer:
    """Look as ``run`` does, and answer with go or no-go. Without names those lists that decide of the go-live."""
    return _answered(site, names or checklists.DECISIVE, deadline_seconds, is_report=True)


def _answered(site: Site, names: Sequence[str], deadline_seconds: float, *, is_report: bool) -> Answer:
    lists = [checklists.named(name) for name in names]
    book, notes = _book(site)
    selection = Selection(only=_asked(lists))
    found = diagnose.judge(snapshot := diagnose.observe(site, selection, deadline_seconds), site, selection)
    seen = Seen(site, found.findings, book, datetime.now(timezone.utc))
    items = tuple(item for each in lists for item in judged.judge(each, seen))
    notes = (*notes, *_kept(site, items, book), *_late(snapshot.deadline_hit))
    rows: tuple[Row, ...] = tuple(redaction.redacted([_row(each) for each in items], site))
    title = "" if is_report else joined(str(each.title) for each in lists)
    table = Table(
        "checklist", _columns(), rows, "", notes, _verdict(items, title, is_report=is_report), not notes,
        _next(site, items, names, is_report=is_report), {"counts": dict(judged.counts(items)), "open": _open(items)},
    )  # fmt: skip
    code = NAGIOS_CODE[worst(each.status for each in items)]
    return Answer(table, found.errors[0].exit_code if found.errors else code)


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


def _verdict(items: Sequence[Judged], title: str, *, is_report: bool) -> str:
    left, every = _open(items), len(items)
    if not left:
        text = ngettext("all {count} items are closed", "all {count} items are closed", every).format(
            count=every
        )
        word = _("Go")
    else:
        counted = judged.counts(items)
        parts = [
            _("{count} failed").format(count=counted[FAILED]) if counted[FAILED] else "",
            _("{count} not known").format(count=counted[UNKNOWN]) if counted[UNKNOWN] else "",
            _("{count} to sign").format(count=counted[TO_SIGN]) if counted[TO_SIGN] else "",
        ]
        text = ngettext(
            "{open} of {count} items is open: {parts}", "{open} of {count} items are open: {parts}", left
        ).format(open=left, count=every, parts=", ".join(filter(None, parts)))
        word = _("No-go")
    return _("{word}: {text}").format(word=word if is_report else title, text=text)


def _next(site: Site, items: Sequence[Judged], names: Sequence[str], *, is_report: bool) -> tuple[str, ...]:
    left = [each for each in items if not each.is_closed]
    if is_report and left:
        return tuple(dict.fromkeys(samaops(site, f"checklist run {each.checklist}") for each in left))
    if left:
        return ()
    return () if is_report else (samaops(site, f"checklist report {' '.join(names)}"),)


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
