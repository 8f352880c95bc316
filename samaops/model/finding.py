"""What a check found."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any

from msgspec import Struct, field

from samaops.model.status import Status

Value = float | int | str | bool | None
NO_EVIDENCE: Mapping[str, Any] = MappingProxyType({})


class Silenced(Struct, frozen=True):
    """That nobody is told of a finding: until when, by whom and why; ``number`` ends it (``samaops silence end``)."""

    number: int
    until: datetime
    by: str
    reason: str


class Finding(Struct, frozen=True):
    """One judged observation.

    ``code`` is stable and dotted; ``subject`` is ``system/name``; both together are unique in a report.
    ``evidence`` holds plain JSON values. ``hint`` is the next command to type. ``cause`` is the id of the
    root cause that explains it, once causes were searched. ``site`` is set where a report is of several.
    ``silenced`` says that nobody is told of it for some time.
    """

    code: str
    status: Status
    subject: str
    title: str
    server: str | None = None
    detail: str = ""
    value: Value = None
    unit: str | None = None
    warning: float | None = None
    critical: float | None = None
    evidence: Mapping[str, Any] = field(default_factory=lambda: NO_EVIDENCE)
    hint: str | None = None
    cause: str | None = None
    site: str | None = None
    silenced: Silenced | None = None

    @property
    def key(self) -> str:
        """The name by which a cause refers to it: ``code@subject``."""
        return f"{self.code}@{self.subject}"

    @property
    def system(self) -> str:
        """The system it belongs to, the first word of its code."""
        return self.code.partition(".")[0]
