"""A page, or a list, as one file of HTML: no script, nothing loaded, for a screen, a phone, paper, by day and by night."""

from __future__ import annotations

import re
from datetime import datetime, timezone
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from samaops import i18n
from samaops.i18n import _
from samaops.model.history import local
from samaops.model.page import Page, Section
from samaops.model.status import Status, worst
from samaops.model.table import Column, Table
from samaops.render import escape, words
from samaops.render.pages import charts
from samaops.render.pages.text import drawn
from samaops.render.table import is_command, text_of

if TYPE_CHECKING:
    from jinja2 import Template

_TEMPLATES = Path(__file__).parent / "templates"
# What a cell says may be long: a reason, a command.
_LONGEST_CELL = 400
# So much stays on one line; a word that is longer than that may be broken anywhere.
_ONE_LINE, _LONGEST_WORD = 18, 28
# A date among words wants room, or it is broken at its hyphens.
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d")
_STATUSES = {status.value: status for status in Status}


def render(page: Page) -> str:
    """Return a page as a file of HTML."""
    words_of_page = {
        "made": _("made on {moment}").format(moment=local(page.made_at.isoformat())),
        "again": _("All of this again:"),
        "unseen": _("not observed"),
    }
    return _template("page.html").render(page=page, language=i18n.language(), words=words_of_page)


def mail(page: Page) -> str:
    """Return a page as mail programs show it: tables, and drawings in characters; they drop SVG and styles."""
    return _template("mail.html").render(page=page, language=i18n.language())


def render_table(table: Table, site: str, title: str) -> str:
    """Return a list as a file of HTML."""
    now = datetime.now(timezone.utc)
    section = Section(table.kind, title, table)
    levels = [_STATUSES[row["level"]] for row in table.rows if row.get("level") in _STATUSES]
    status = worst([*levels, table.status, *([] if table.is_whole else [Status.UNKNOWN])])
    if status is Status.OK and table.status is Status.SKIPPED:
        status = Status.SKIPPED
    page = Page("", site, title, "", now, now, now, table.answer or table.empty, (section,), status)
    return render(page)


@cache
def _template(name: str) -> Template:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        undefined=StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(
        cell=text_of, is_command=is_command, command=escape.command, line=charts.line, bars=charts.bars, runs_of=charts.runs_of,
        status_word=_status_word, shape=_shape, drawn=drawn,
    )  # fmt: skip
    environment.filters["plain"] = _plain
    return environment.get_template(name)


def _plain(text: object) -> str:
    return escape.plain(text, _LONGEST_CELL)


def _shape(text: str, column: Column) -> str:
    """Return the classes of a cell, by which the page knows where it may be broken."""
    classes = ["number"] if column.is_number else []
    if text == "-":
        classes.append("empty")
    if _MOMENT.search(text):
        classes.append("dated")
    if len(text) <= _ONE_LINE or (column.is_copied and len(text) <= _LONGEST_WORD):
        classes.append("short")
    elif max(map(len, text.split())) > _LONGEST_WORD:
        classes.append("long")
    return " ".join(classes)


def _status_word(value: str) -> str:
    status = _STATUSES.get(value)
    return words.status(status) if status else ""
