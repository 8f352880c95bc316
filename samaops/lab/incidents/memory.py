"""What was broken on purpose and not healed yet: kept in the lab's directory, gone with it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from msgspec import Struct

from samaops.lab.layout import Layout


class Memory(Struct, frozen=True):
    """The file ``incidents.json``: incident -> since when, and what it must know to heal."""

    path: Path

    @staticmethod
    def of(layout: Layout) -> Memory:
        """Return the memory of a lab."""
        return Memory(layout.directory / "incidents.json")

    def broken(self) -> tuple[str, ...]:
        """Return what is broken, the oldest first."""
        return tuple(self._read())

    def begin(self, incident: str) -> None:
        """Remember that an incident begins, before it does: a break that is cut short can be healed."""
        content = self._read()
        content.setdefault(incident, {"since": datetime.now(timezone.utc).isoformat(), "notes": []})
        self._write(content)

    def note(self, incident: str, notes: Iterable[str]) -> None:
        """Remember what healing needs, such as the ids of tasks."""
        content = self._read()
        content[incident]["notes"].extend(notes)
        self._write(content)

    def notes(self, incident: str) -> tuple[str, ...]:
        """Return what was noted; empty when the incident is not remembered."""
        return tuple(self._read().get(incident, {}).get("notes", ()))

    def forget(self, incident: str) -> None:
        """Forget an incident that is healed."""
        content = self._read()
        content.pop(incident, None)
        self._write(content)

    def _read(self) -> dict[str, Any]:
        try:
            return dict(json.loads(self.path.read_text(encoding="utf-8")))
        except (FileNotFoundError, json.JSONDecodeError):
            return {}

    def _write(self, content: dict[str, Any]) -> None:
        aside = self.path.with_suffix(".tmp")
        aside.write_text(json.dumps(content, indent=1), encoding="utf-8")
        aside.replace(self.path)
