"""What is otherwise than at the look before: for who watches."""

from __future__ import annotations

from rich.text import Text

from samaops.i18n import _
from samaops.model.report import Report
from samaops.model.status import Status
from samaops.render import escape, words
from samaops.render.layout import Hanging
from samaops.render.words import Symbols

_BAD = (Status.WARNING, Status.CRITICAL, Status.UNKNOWN)


def lines(before: Report, after: Report, symbols: Symbols) -> tuple[Hanging, ...]:
    """Return a line for each finding that has come, gone or changed its status, with the time of the later look."""
    earlier = {finding.key: finding for finding in before.findings}
    later = {finding.key: finding for finding in after.findings}
    time = after.started_at.astimezone().strftime("%H:%M:%S")
    shown = []
    for key in sorted(earlier.keys() | later.keys()):
        was, now = earlier.get(key), later.get(key)
        statuses = [finding.status if finding else Status.OK for finding in (was, now)]
        if statuses[0] is statuses[1] or not set(statuses) & set(_BAD):
            continue
        finding = now or was
        assert finding is not None
        word = _word(*statuses)
        prefix = Text(f"{time}  {symbols.status[statuses[1]]} {word}  ", "dim")
        text = finding.title if statuses[1] in _BAD or was is None else was.title
        shown.append(Hanging(prefix, Text(f"{escape.plain(text)}  {escape.plain(key)}")))
    return tuple(shown)


def _word(was: Status, now: Status) -> str:
    if was not in _BAD:
        return _("new, {status}").format(status=words.status(now))
    if now not in _BAD:
        return _("no longer") if now is Status.OK else words.status(now)
    return _("{before}, now {after}").format(before=words.status(was), after=words.status(now))
