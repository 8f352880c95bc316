"""The history for people and programs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

from msgspec import to_builtins
from rich.console import Group, RenderableType
from rich.text import Text

from samaops.i18n import _
from samaops.model.history import STATUS_WORDS, PastChange, local
from samaops.render import escape
from samaops.render.layout import CommandLine, Hanging

SCHEMA = "samaops/history/1"
_STYLES = {
    "verified": "green",
    "failed": "bold red",
    "interrupted": "bold yellow",
    "unreadable": "bold yellow",
    "running": "cyan",
}


def document(changes: Sequence[PastChange]) -> dict[str, Any]:
    """Return changes as plain values, for JSON: what was asked for is the verb, without options of this command line."""
    plain = [to_builtins(change) for change in changes]
    for change in plain:
        del change["command"]
    return {"schema": SCHEMA, "changes": plain}


def table(changes: Sequence[PastChange], *, is_filtered: bool = False) -> Group:
    """Return a list of changes, newest first."""
    if not changes:
        return Group(Text(_("No change fits") if is_filtered else _("Nothing was changed yet")))
    return Group(*(line for change in changes for line in _summary(change)))


def page(change: PastChange) -> Group:
    """Return one change with all its events."""
    lines = [*_summary(change), Text("")]
    for moment in change.moments:
        lines.append(
            Hanging(
                Text(f"{_clock(moment.at, change.at)}  ", "dim"), Text(escape.plain(moment.text)), indent=2
            )
        )
    return Group(*lines)


def _summary(change: PastChange) -> Iterator[RenderableType]:
    status = _(STATUS_WORDS.get(change.status, change.status))
    head = Text(escape.plain(change.id), "bold").append("  ").append(status, _STYLES.get(change.status, ""))
    yield head
    yield Hanging(Text(""), Text(escape.plain(change.title)), indent=2)
    who = _("{user} on {host}, {at}").format(user=change.user, host=change.host, at=local(change.at))
    yield Hanging(Text(""), Text(escape.plain(who), "dim"), indent=2)
    if change.command:
        yield CommandLine(escape.command(change.command), indent=2, style="dim")
    else:
        yield Hanging(Text(""), Text(escape.plain(change.verb), "dim"), indent=2)
    for text in _more(change):
        yield Hanging(Text(""), Text(escape.plain(text)), indent=2)


def _more(change: PastChange) -> Iterable[str]:
    if change.reason:
        yield change.reason
    if change.unfinished_step:
        yield _("begun and not finished: {step}").format(step=change.unfinished_step)
    if change.undoes:
        yield _("takes back {id}").format(id=change.undoes)
    if change.undone_by:
        yield _("taken back by {id}").format(id=change.undone_by)


def _clock(at: str, began_at: str) -> str:
    """Return the local time of an event, with its day where that is not the one on which the change was begun."""
    moment, began = (datetime.fromisoformat(text).astimezone() for text in (at, began_at))
    day = "" if moment.date() == began.date() else f"{moment:%Y-%m-%d} "
    return f"{day}{moment:%H:%M:%S}.{moment.microsecond // 1000:03d}"
