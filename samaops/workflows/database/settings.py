"""The server's settings: against the guide, against the last look that was kept, and what waits for a restart."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from pathlib import PurePosixPath

from msgspec.structs import replace

from samaops.checks.postgresql.units import difference
from samaops.facts.portrait import Trait
from samaops.i18n import N_, _, ngettext
from samaops.journal import digests, well
from samaops.model.table import Column, Table
from samaops.site.commands import typed
from samaops.site.shell_words import quoted
from samaops.site.site import Site
from samaops.workflows import lists
from samaops.workflows.database import look

# PostgreSQL's own words for where a value comes from; our own session's hide what the server has.
_OURS = ("client", "session")
_NOT_KEPT = ("default", "override", "client", "session", "user", "database", "database user")
# A setting with a dot may be anybody's own.
_MAY_BE_SECRET = re.compile(r"\.|conninfo|passphrase", re.IGNORECASE)
_HAS_PASSWORD = re.compile(r"://|passw|secret|token", re.IGNORECASE)
_MASK = "********"
_AUTO = "postgresql.auto.conf"
_MARKS = {
    "different": N_("different"),
    "pending": N_("waits for a restart"),
    "changed": N_("changed"),
}


def settings(site: Site, pattern: str) -> Table:
    """Return the settings whose name has the pattern in it (``*`` stands for anything), what is wrong first.

    Without a pattern those of the guide, those that wait for a restart, and those that were changed.
    """
    with look.connected(site) as client:
        rights = client.read_one("rights")
        rows = client.read("settings_all")
    section = site.settings.postgresql
    expected = section.expected_settings if section else {}
    kept = well.load(site.name)
    before = kept.portrait.get("postgresql/setting") if kept else None
    every = [_row(site, row, expected, before) for row in rows]
    chosen = [row for row in every if _is_wanted(row, pattern)]
    chosen.sort(key=lambda row: (-len(row["marks"]), row["expected"] is None, row["name"]))
    columns = (
        Column("name", _("setting"), is_copied=True),
        Column("value", _("value")),
        Column("expected", _("guide")),
        Column("was", _("was")),
        Column("place", _("from")),
        Column("mark", _("note")),
    )
    notes = _notes(every, kept is not None, rights, expected, pattern)
    answer = _answer(chosen, pattern, len(every))
    table = lists.table(site, "settings", columns, chosen, answer, notes, is_whole=rights["sees_settings"])
    commands = [row["command"] for row in chosen if row["command"]]
    if any(row["is_ours"] for row in chosen):
        names = "; ".join(f"SHOW {row['name']}" for row in chosen if row["is_ours"])
        commands.append(typed(site, f"db psql -- -c {quoted(names)}"))
    figures = {"kept_at": kept.at.isoformat() if kept else None}
    return replace(table, commands=tuple(commands[:3]), figures=figures)


def _row(
    site: Site, row: look.Row, expected: dict[str, str], before: dict[str, dict[str, Trait]] | None
) -> look.Row:
    name, is_ours = row["name"], row["source"] in _OURS
    wanted = expected.get(name)
    was, is_changed = _before(row, before) if before is not None and not is_ours else (None, False)
    is_different = wanted is not None and difference(wanted, row["shown"], row["setting"], row["unit"])
    marks = [
        mark
        for mark, holds in zip(_MARKS, (is_different, row["pending_restart"], is_changed), strict=True)
        if holds
    ]
    needs_restart = row["context"] in ("postmaster", "internal")
    command = f"db set {name} {quoted(str(wanted))}" if is_different and not needs_restart else None
    shown = _shown(row)
    return {
        "name": name,
        # What this session has for itself says nothing about the others.
        "value": None if is_ours else shown,
        "setting": None if is_ours else shown if shown == _MASK else row["setting"],
        "unit": row["unit"],
        "expected": wanted,
        "is_different": is_different,
        "was": was,
        "is_changed": is_changed,
        "pending_restart": row["pending_restart"],
        "needs_restart": needs_restart,
        "is_ours": is_ours,
        "default": row["default"],
        "source": row["source"],
        "file": row["file"],
        "line": row["line"],
        "place": _place(row, is_ours=is_ours),
        "marks": marks,
        "mark": "; ".join(_(_MARKS[mark]) for mark in marks),
        "description": row["description"],
        "command": typed(site, command) if command else None,
    }


def _place(row: look.Row, *, is_ours: bool) -> str:
    if is_ours:
        return _("this session hides it")
    if row["file"] is None:
        return str(row["source"])
    name = PurePosixPath(row["file"]).name
    return f"{'ALTER SYSTEM' if name == _AUTO else name}:{row['line']}"


def _before(row: look.Row, before: dict[str, dict[str, Trait]]) -> tuple[str | None, bool]:
    """Return what a setting was in the look that was kept, and whether it is another now.

    Only what was no default was kept, some of it as a digest, which says nothing else.
    """
    kept = before.get(row["name"], {}).get("")
    is_default = row["source"] in _NOT_KEPT
    if kept is None:
        return None if is_default else row["default"], not is_default
    now = (
        digests.of(row["shown"]) if "." in row["name"] else digests.unless_harmless(row["name"], row["shown"])
    )
    was = None if kept.value.startswith("#") else kept.value
    return was, is_default or kept.value != now


def _shown(row: look.Row) -> str:
    """Return a value as it may be shown: what may hold a password is not."""
    may_be_secret = _MAY_BE_SECRET.search(row["name"]) or _HAS_PASSWORD.search(row["shown"])
    return _MASK if row["shown"] and may_be_secret else str(row["shown"])


def _is_wanted(row: look.Row, pattern: str) -> bool:
    if not pattern:
        return bool(row["marks"]) or row["expected"] is not None
    words = pattern.lower()
    return fnmatchcase(row["name"].lower(), words if "*" in words else f"*{words}*")


def _notes(
    rows: list[look.Row], is_kept: bool, rights: look.Row, expected: dict[str, str], pattern: str
) -> list[str]:
    notes = []
    if not is_kept:
        notes.append(_("no look was kept to compare with: samaops diagnose keeps one when all is well"))
    absent = sorted(set(expected) - {row["name"] for row in rows})
    if absent and not pattern:
        notes.append(_("the server does not show {names}").format(names=", ".join(absent)))
    if not rights["sees_settings"]:
        text = _("the server hides files, lines and some settings from {role}; it needs the role pg_monitor")
        notes.append(text.format(role=rights["role"]))
    return notes


def _answer(rows: list[look.Row], pattern: str, count: int) -> str:
    if pattern and not rows:
        return _("None of {count} settings has {pattern} in its name").format(count=count, pattern=pattern)
    count = len(rows)
    asked = ngettext("{count} setting", "{count} settings", count).format(count=count)
    if pattern:
        asked = _("{settings} with {pattern} in the name").format(settings=asked, pattern=pattern)
    numbers = {mark: sum(mark in row["marks"] for row in rows) for mark in _MARKS}
    if not any(numbers.values()):
        return _(
            "{settings}: none is otherwise than in the guide, was changed, or waits for a restart"
        ).format(settings=asked)
    text = _(
        "{settings}: {different} not as in the guide, {pending} waiting for a restart, {changed} changed"
    )
    return text.format(settings=asked, **numbers)
