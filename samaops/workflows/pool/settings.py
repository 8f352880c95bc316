"""PgBouncer's settings: what is expected and is not so, what somebody set, and what needs a restart."""

from __future__ import annotations

from samaops.facts.pgbouncer import is_same
from samaops.i18n import _, ngettext
from samaops.model.table import Column, Table
from samaops.site.site import Site
from samaops.workflows.lists import table
from samaops.workflows.pool import look


def settings(site: Site, *, is_all: bool) -> Table:
    """Return the settings that differ from what is expected, then those that differ from their default; all on request."""
    with look.connected(site) as client:
        shown = client.show("config")
    expected = site.settings.pgbouncer.expected_settings if site.settings.pgbouncer else {}
    present = {row["key"] for row in shown}
    rows = [_row(row, expected.get(row["key"])) for row in shown]
    rows += [_row({"key": name}, value) for name, value in expected.items() if name not in present]
    rows.sort(
        key=lambda row: (
            row["is_expected"] is not False,
            row["expected"] is None,
            row["is_default"] is not False,
            row["name"],
        )
    )
    kept = [row for row in rows if is_all or row["expected"] is not None or row["is_default"] is False]
    columns = (
        Column("name", _("setting"), is_copied=True),
        Column("value", _("value")),
        Column("expected", _("expected")),
        Column("default", _("default")),
        Column("is_changeable", _("without restart")),
    )
    notes = []
    if len(kept) < len(rows):
        text = _("{count} more have their default; they are shown with --all")
        notes.append(text.format(count=len(rows) - len(kept)))
    different = [row for row in rows if row["is_expected"] is False]
    if any(row["is_changeable"] for row in different):
        notes.append(_("what needs no restart is written in the file, then: samaops pool reload"))
    return table(site, "pool_settings", columns, kept, _answer(different, len(expected)), notes)


def _row(row: look.Row, expected: str | None) -> look.Row:
    value = None if row.get("value") is None else str(row["value"])
    default = None if row.get("default") is None else str(row["default"])
    return {
        "name": row["key"],
        "value": value,
        "expected": expected,
        "is_expected": None if expected is None else value is not None and is_same(expected, value),
        "default": default,
        "is_default": None if default is None or value is None else is_same(default, value),
        "is_changeable": None if row.get("changeable") is None else row["changeable"] == "yes",
    }


def _answer(different: list[look.Row], count: int) -> str:
    if not different:
        return ngettext(
            "The {count} expected setting is in force", "All {count} expected settings are in force", count
        ).format(count=count)
    words = ", ".join(
        _("{name} is {value}, not {expected}").format(
            name=row["name"], value=row["value"] or "-", expected=row["expected"]
        )
        for row in different
    )
    text = ngettext(
        "{different} of {count} expected settings differs: {words}",
        "{different} of {count} expected settings differ: {words}",
        len(different),
    )
    return text.format(different=len(different), count=count, words=words)
