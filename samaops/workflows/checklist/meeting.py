"""The page for the go/no-go meeting, made of what ``checklist report`` answers. Pure: it holds that answer's figures and no others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from samaops.config import checklists
from samaops.config.checklists import Checklist, Part
from samaops.facts.checklist import FAILED, OK, TO_SIGN, UNKNOWN
from samaops.i18n import N_, _, joined, ngettext
from samaops.model.page import Chart, Page, Point, Section
from samaops.model.status import SEVERITY, Status
from samaops.model.table import Column, Table
from samaops.site import redaction
from samaops.site.commands import typed
from samaops.site.site import Site
from samaops.workflows.checklist import judged
from samaops.workflows.checklist.judged import SIGNED, WELL
from samaops.workflows.checklist.listing import WORDS, looked_at
from samaops.workflows.reports.parts.words import listed, worst

Row = Mapping[str, Any]
# The states in the order in which they are counted, and the colour of each.
STATES = (OK, SIGNED, FAILED, UNKNOWN, TO_SIGN)
_LEVELS = {
    OK: Status.OK,
    SIGNED: Status.OK,
    FAILED: Status.CRITICAL,
    UNKNOWN: Status.UNKNOWN,
    TO_SIGN: Status.WARNING,
}
_STATUS = {
    judged.GO: Status.OK,
    judged.NO_GO: Status.CRITICAL,
    judged.NOT_DECIDED: Status.WARNING,
}
_DECISIONS = {judged.GO: N_("go"), judged.NO_GO: N_("no-go"), judged.NOT_DECIDED: N_("not decided")}
# What stands in the way most comes first.
_WORST_FIRST = (FAILED, UNKNOWN, TO_SIGN)


def page(site: Site, table: Table, made_at: datetime) -> Page:
    """Return the page of an answer of ``listing.report``."""
    names = tuple(table.figures["lists"])
    decision = _DECISIONS[table.figures["decision"]]
    words = "checklist report" if names == checklists.DECISIVE else f"checklist report {' '.join(names)}"
    made: Page = redaction.redacted(
        Page(
            "",
            site.name,
            _("Going live: {decision}").format(decision=_(decision)),
            joined(str(checklists.named(name).title) for name in names),
            made_at,
            made_at,
            made_at,
            table.answer,
            tuple(_sections(table, names)),
            _STATUS[table.figures["decision"]],
            table.notes,
            (typed(site, f"{words} -o html"),),
            table.figures,
            table.is_whole,
        ),
        site,
    )
    return made


def _sections(table: Table, names: Sequence[str]) -> Iterator[Section]:
    yield _counted(table)
    yield _open(table)
    yield _turned_back(table)
    for name in names:
        checklist = checklists.named(name)
        for part in checklist.sections:
            yield _part(checklist, part, table)


def _counted(table: Table) -> Section:
    """Return how many items are in each state, list by list."""
    lists, total = table.figures["lists"], table.figures["counts"]
    rows = [_counts(str(checklists.named(name).title), counts) for name, counts in lists.items()]
    if len(rows) > 1:
        rows.append(_counts(_("together"), total))
    columns = (
        Column("list", _("list")),
        Column("items", _("items"), is_number=True),
        *(Column(state, _(WORDS[state]), is_number=True) for state in STATES),
    )
    points = tuple(
        Point(_(WORDS[state]), float(total[state]), str(total[state]), _LEVELS[state].value)
        for state in STATES
    )
    chart = Chart("bars", _("Items by state"), points)
    return Section("counts", _("By state"), listed("checklist", columns, rows, _sentence(total)), (chart,))


def _counts(title: str, counts: Mapping[str, int]) -> Row:
    level = worst(_LEVELS[state].value for state in STATES if counts[state])
    return {"list": title, "items": sum(counts.values()), **counts, "level": level}


def _sentence(counts: Mapping[str, int]) -> str:
    """Return the states that there are, with how many items are in each."""
    every = sum(counts.values())
    states = ", ".join(
        _("{state} {count}").format(count=counts[state], state=_(WORDS[state]))
        for state in STATES
        if counts[state]
    )
    text = ngettext("{count} item: {states}", "{count} items: {states}", every)
    return text.format(count=every, states=states)


def _open(table: Table) -> Section:
    """Return what blocks: every item that is open, the worst first, with the command that is next."""
    rows = sorted((row for row in table.rows if row["state"] not in WELL), key=_severity)
    columns = (
        Column("title", _("item")),
        Column("place", _("section")),
        Column("word", _("state")),
        Column("evidence", _("why")),
        Column("command", _("next command"), is_command=True),
    )
    shown = [_shown(row) for row in rows]
    answer = ngettext(
        "{count} item is in the way of a go", "{count} items are in the way of a go", len(rows)
    ).format(count=len(rows))
    section = listed(
        "checklist", columns, shown, answer if rows else _("Nothing is in the way"), commands=table.commands
    )
    return Section("open", _("What blocks"), section, status=_status(rows))


def _severity(row: Row) -> tuple[int, int]:
    return _WORST_FIRST.index(row["state"]), SEVERITY.index(Status(row["status"]))


def _turned_back(table: Table) -> Section:
    """Return the items that were well, and are not any more."""
    rows = [row for row in table.rows if row["well_until"]]
    columns = (
        Column("title", _("item")),
        Column("place", _("section")),
        Column("until", _("was well until"), is_copied=True),
        Column("word", _("state")),
        Column("evidence", _("why")),
        *_signed_column(rows),
    )
    known, title = table.figures["turned_back"], _("What has turned back")
    if known is None:
        answer = (
            _("It is not known what has turned back: no earlier look is kept")
            if table.figures["first_looks"]
            else _("It is not known what has turned back: what was kept could not be read")
        )
        empty = listed("checklist", columns, (), answer)
        return Section("turned_back", title, empty, status=Status.UNKNOWN.value, is_seen=False)
    answer = ngettext(
        "{count} item was well and is not any more", "{count} items were well and are not any more", known
    ).format(count=known)
    shown = [
        {**_shown(row), "until": judged.said(row["well_until"]), "evidence": _why_now(row)} for row in rows
    ]
    section = listed("checklist", columns, shown, answer if rows else _("Nothing has turned back"))
    return Section("turned_back", title, section, status=_status(rows))


def _why_now(row: Row) -> str:
    """Return why an item is not well any more, without until when it was."""
    until = judged.said(row["well_until"])
    return _behind(row["reason"] or "", _("was well until {moment}").format(moment=until))


def _behind(reason: str, words: str) -> str:
    """Return what a reason says behind these words, all of it where it does not begin with them."""
    return reason.removeprefix(words).removeprefix(joined(["", ""]))


def _part(checklist: Checklist, part: Part, table: Table) -> Section:
    """Return the items of a section of a list, each with what is known of it."""
    items = {item.id for item in part.items}
    rows = [row for row in table.rows if row["checklist"] == checklist.id and row["item"] in items]
    columns = (
        Column("title", _("item")),
        Column("word", _("state")),
        Column("since", _("since"), is_copied=True),
        Column("evidence", _("evidence")),
        *_signed_column(rows),
    )
    counts = {state: sum(row["state"] == state for row in rows) for state in STATES}
    title = _("{list}: {part}").format(list=checklist.title, part=part.title)
    shown = [_shown(row) for row in rows]
    section = listed("checklist", columns, shown, _sentence(counts))
    return Section(f"{checklist.id}-{part.id}", title, section, status=_status(rows))


def _signed_column(rows: Sequence[Row]) -> tuple[Column, ...]:
    """Return the column of the signatures, nothing where there is none."""
    return (Column("signed", _("signed by")),) if any(row["signed_by"] for row in rows) else ()


def _shown(row: Row) -> Row:
    """Return an item as the page shows it."""
    return {
        "title": row["title"],
        "place": _("{list}: {part}").format(list=row["checklist"], part=row["section"]),
        "word": row["word"],
        "since": judged.said(row["since"]),
        "evidence": _evidence(row),
        "signed": _signed(row),
        "command": row["command"],
        "level": row["status"] if row["state"] == FAILED else _LEVELS[row["state"]].value,
    }


def _evidence(row: Row) -> str:
    """Return by what an item is known to be so; whose signature it is stands beside that."""
    reason: str = row["reason"] or ""
    if row["state"] == SIGNED:
        reason = _behind(reason, judged.signed(row["signed_by"], row["signed_at"], row["note"]))
    if reason:
        return reason
    item = checklists.named(row["checklist"]).item(row["item"])
    if row["state"] in WELL and item.checks:
        return looked_at(item)
    return _("a person has signed") if row["state"] == SIGNED else _("a person signs")


def _signed(row: Row) -> str:
    if not row["signed_by"]:
        return ""
    text = _("{by}, {moment}: {note}") if row["note"] else _("{by}, {moment}")
    return text.format(by=row["signed_by"], moment=judged.said(row["signed_at"]), note=row["note"])


def _status(rows: Sequence[Row]) -> str:
    return worst(
        row["status"] if row["state"] == FAILED else _LEVELS[row["state"]].value for row in rows
    ) or (Status.OK.value)
