"""The configuration in effect: every value and where it comes from. Secrets come masked."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from samaops.i18n import N_, _
from samaops.render import escape
from samaops.render.layout import Hanging

SCHEMA = "samaops/configuration/1"
_SOURCES = {"file": N_("file"), "default": N_("default")}
Values = Sequence[tuple[str, Any, str]]


def table(path: str, values: Values) -> Group:
    """Return one line per value: key, value, source."""
    lines: list[RenderableType] = [Text(escape.plain(path), "bold")]
    for key, value, source in values:
        shown = escape.plain(json.dumps(value, ensure_ascii=False))
        origin = _(_SOURCES[source]) if source in _SOURCES else escape.plain(source)
        body = Text(shown).append(f"  ({origin})", "dim")
        lines.append(Hanging(Text(f"{escape.plain(key)} = ", "cyan"), body))
    return Group(*lines)


def document(path: str, values: Values) -> dict[str, Any]:
    """Return the same as plain values."""
    entries = [{"key": key, "value": value, "source": source} for key, value, source in values]
    return {"schema": SCHEMA, "path": path, "values": entries}
